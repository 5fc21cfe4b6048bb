"""The definition of the problem as scalar functions that CPU and CUDA kernels share."""
