"""The functions that blocks are solved by: those for NumPy arrays, on the CPU or on a GPU."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from numba_car import _numpy
from numba_car._layout import Array
from numba_car._options import Options
from numba_car.offline.errors import OfflineError


class Functions(NamedTuple):
    """The functions of a device, each of arrays and `Options`."""

    rescale_with_eta: Any
    max_norm: Any
    solve: Any


def functions_on(device: str, *, with_eta: bool) -> Functions:
    """Return the functions of a device, or raise OfflineError where there is no such device.

    The GPU finds eta by a second solve, so that its eta is NaN unless with_eta.
    """
    if device == "cpu":
        return Functions(_numpy.rescale_with_eta, _numpy.max_norm, _numpy.solve)
    try:
        from numba_car import cuda
        from numba_car._cuda.device_memory import check_driver

        check_driver()
    except (ImportError, RuntimeError) as error:
        raise OfflineError(f"device {device}: {error}") from error

    def rescale_with_eta(x: Array, delta: Array, eps: Array, options: Options) -> tuple[Any, Any]:
        """Return eta and the rescaled batch."""
        eta = cuda.eta(x, delta, eps, **options._asdict()) if with_eta else np.nan
        return eta, cuda.rescale(x, delta, eps, **options._asdict())

    return Functions(
        rescale_with_eta,
        lambda x, delta, options: cuda.max_norm(x, delta, **options.for_max_norm()),
        lambda x, delta, eps, options: cuda.solve(x, delta, eps, **options._asdict()),
    )
