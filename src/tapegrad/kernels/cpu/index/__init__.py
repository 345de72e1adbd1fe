"""Indexing, sorting, and arrays rearranged."""
