"""The functions that rescale blocks: for NumPy arrays, on the CPU or on a GPU."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import numba_car as car
from numba_car._api import options_of, restore
from numba_car._cpu import solve as solver
from numba_car._layout import Array
from numba_car._problem import problem, result_rows
from numba_car.offline.errors import OfflineError


class Functions(NamedTuple):
    """The functions of a device."""

    rescale_with_eta: Any
    max_norm: Any
    solve: Any


def rescale_with_eta(
    x: Array,
    delta: Array,
    eps: Array,
    *,
    p: float,
    bounds: Any,
    axis: tuple[int, ...],
    infeasible: str = "saturate",
    num_threads: int | None = None,
    out: Array | None = None,
) -> tuple[Array, Array]:
    """Return eta as `numba_car.eta` does and v as `numba_car.rescale` does, from one solve."""
    options = options_of(infeasible, "auto", num_threads)
    task = problem(x, delta, eps, p, bounds, axis)
    result, rows, in_one_go = result_rows(task, out)
    flat = solver.rescale(task, options, rows, in_one_go=in_one_go)
    if out is not None and result is not out:
        out[...] = result
    with np.errstate(over="ignore"):
        eta = restore(flat.astype(task.dtype, copy=False), task, keepdims=False)
    return eta, result if out is None else out


def functions_on(device: str, *, with_eta: bool) -> Functions:
    """Return the functions of a device, or raise OfflineError where there is no such device.

    The GPU finds eta by a second solve, so that its eta is NaN unless with_eta.
    """
    if device == "cpu":
        return Functions(rescale_with_eta, car.max_norm, car.solve)
    try:
        from numba_car import cuda
        from numba_car._cuda.device_memory import check_driver

        check_driver()
    except (ImportError, RuntimeError) as error:
        raise OfflineError(f"device {device}: {error}") from error

    def on_gpu(*arrays: Array, **options: Any) -> tuple[Any, Array]:
        eta = cuda.eta(*arrays, **options) if with_eta else np.nan
        return eta, cuda.rescale(*arrays, **options)

    return Functions(on_gpu, cuda.max_norm, cuda.solve)
