"""CUDA kernels of the solver and its derivatives; the only folder that imports numba.cuda."""
