"""An interpreter of PTX, NVIDIA's intermediate language: what Numba makes of a kernel, run by NumPy on a CPU."""
