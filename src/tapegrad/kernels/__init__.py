"""Arrays in, arrays out: the native kernels of each device. Nothing here knows of tensors."""
