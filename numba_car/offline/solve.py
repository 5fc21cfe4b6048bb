"""The functions that blocks are solved by: those for NumPy arrays, on the CPU or on a GPU."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from numba_car import _numpy
from numba_car._layout import Array
from numba_car._options import Options
from numba_car.offline.errors import OfflineError


def functions_on(device: str, *, with_eta: bool) -> Any:
    """Return `rescale_with_eta`, `rescale_on_grid`, `max_norm` and `solve` of `numba_car._numpy`, on a device.

    The GPU measures norms where it is asked for eta, so that its eta is NaN unless with_eta. OfflineError is
    raised where there is no such device.
    """
    if device == "cpu":
        return _numpy
    try:
        from numba_car import cuda
        from numba_car._cuda.device_memory import check_driver

        check_driver()
    except (ImportError, RuntimeError) as error:
        raise OfflineError(f"device {device}: {error}") from error

    def with_facts(x: Array, delta: Array, eps: Array, options: Options) -> tuple[Any, Any]:
        found = cuda.rescale(x, delta, eps, full_output=True, **options._asdict())
        return found.out, found.eta

    def rescale_with_eta(x: Array, delta: Array, eps: Array, options: Options) -> tuple[Any, Any]:
        """Return eta and the rescaled batch."""
        if with_eta:
            out, eta = with_facts(x, delta, eps, options)
            return eta, out
        return np.nan, cuda.rescale(x, delta, eps, **options._asdict())

    def rescale_on_grid(
        x: Array, delta: Array, eps: Array, options: Options, _: None, **__: bool
    ) -> tuple[Any, Any]:
        """Return the results on the grid of `options.step`, and eta."""
        return with_facts(x, delta, eps, options)

    return SimpleNamespace(
        rescale_with_eta=rescale_with_eta,
        rescale_on_grid=rescale_on_grid,
        max_norm=lambda x, delta, options: cuda.max_norm(x, delta, **options.for_max_norm()),
        solve=lambda x, delta, eps, options: cuda.solve(x, delta, eps, **options.for_solve()),
    )
