"""CUDA kernels of the solver and its derivatives; the only folder that imports numba.cuda."""

try:
    import numba.cuda  # noqa: F401
except ImportError as error:  # numba without CUDA: numba-cuda is an extra
    raise ImportError(
        "arrays in device memory need numba-cuda: pip install 'numba_car[cuda13]' (or cuda12); "
        "the CPU path works: pass NumPy arrays"
    ) from error
