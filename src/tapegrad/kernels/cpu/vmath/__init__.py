"""Scalar functions that kernels call: one implementation of each."""
