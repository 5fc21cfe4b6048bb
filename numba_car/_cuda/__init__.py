"""CUDA kernels of the solver and its derivatives; the only folder that imports numba.cuda."""

from importlib.util import find_spec

if find_spec("numba_cuda") is None:  # the numba.cuda of numba itself is an older one
    raise ImportError(
        "arrays in device memory need numba-cuda: pip install 'numba_car[cuda13]' (or cuda12); "
        "the CPU path works: pass NumPy arrays"
    )
