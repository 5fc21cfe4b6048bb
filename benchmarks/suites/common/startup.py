"""What a new process pays: the import, the first call with and without compiled kernels."""

import subprocess
import sys

INPUT = "import numpy as np; x = np.full((4, 784), 0.5, 'float32')"
UNCACHED = "import os; os.environ['NUMBA_CAR_CACHE'] = '0'"
CALL = "import numba_car; numba_car.eta(x, x, 1.0)"
CODES = {  # what is timed, and what comes before
    "import numpy": ("import numpy", ""),
    "import numba_car after numpy": ("import numba_car", "import numpy"),
    "numba alone: import, compile x + 1": ("import numba; numba.njit(lambda x: x + 1)(1)", ""),
    "first eta, to be compiled": (CALL, f"{UNCACHED}; {INPUT}"),
    "first eta, kernels in the cache": (CALL, INPUT),
}


def seconds_of(name):
    """Run one of `CODES` in a process of its own."""
    code, before = CODES[name]
    program = f"import time; {before}\nstart = time.perf_counter(); {code}\n"
    found = subprocess.run(
        [sys.executable, "-c", f"{program}print(time.perf_counter() - start)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(found.stdout)
