"""Views, joining, splitting, rearranging."""
