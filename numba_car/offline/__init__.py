"""Files larger than memory: rescaled block by block, stopped and resumed, on one machine or many.

>>> from numba_car import offline
>>> offline.rescale("x.npy", "delta.npy", out="v.npy", eps=8.0)  # doctest: +SKIP
"""

from numba_car.offline.errors import OfflineError
from numba_car.offline.run import rescale

__all__ = ["OfflineError", "rescale"]
