"""On grids: convolution, pooling, padding, resampling."""
