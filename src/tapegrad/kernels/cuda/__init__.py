"""CUDA kernels. So far only their source text is made, from the same bodies as the CPU's; nothing here imports CUDA."""
