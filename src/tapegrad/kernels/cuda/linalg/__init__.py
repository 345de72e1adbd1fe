"""Matrix products, and what of linear algebra is built on them."""
