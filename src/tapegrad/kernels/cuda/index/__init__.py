"""Views, rearrangements, sorting, places of elements."""
