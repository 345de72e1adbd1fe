"""One scalar expression each: arithmetic, functions, comparisons, bits."""
