"""Benchmarks beside PyTorch: ``python -m benchmarks [family...] [--quick] [--json PATH]``."""
