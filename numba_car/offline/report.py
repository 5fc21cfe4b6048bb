"""What a run did, in plain values."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from typing import Any

import numba
import numpy as np

import numba_car as car
from numba_car._layout import Array
from numba_car.offline.job import Job
from numba_car.offline.manifest import plain
from numba_car.offline.state import State


def _indices(pieces: Iterator[Array]) -> dict[str, Any]:
    found = np.concatenate([*pieces, np.empty(0, np.int64)])
    return {"count": len(found), "indices": found.tolist()}


def _achieved(state: State) -> dict[str, float | None]:
    """Smallest, mean and largest norm of the rows that have one; the sum is by pieces of fixed size."""
    low, high, total, count = np.inf, -np.inf, 0.0, 0
    for _, records in state.all_records():
        norms = records["norm"][~np.isnan(records["norm"])]
        low, high = norms.min(initial=low), norms.max(initial=high)
        total, count = total + float(norms.sum()), count + norms.size
    if not count:
        return {"min": None, "mean": None, "max": None}
    return {"min": float(low), "mean": total / count, "max": float(high)}


def versions() -> dict[str, str]:
    """Versions of what had a part in the result."""
    return {
        "numba_car": car.__version__,
        "numpy": np.__version__,
        "numba": numba.__version__,
        "python": platform.python_version(),
    }


def summary(state: State, job: Job, run: dict[str, Any]) -> dict[str, Any]:
    """Sum the records up; `run` is what else is to be said."""
    each = state.all_records
    found = {
        "out": state.output.place.name,
        "rows": state.count,
        "saturated": _indices(start + np.flatnonzero(r["saturated"]) for start, r in each()),
        "nan": _indices(start + np.flatnonzero(np.isnan(r["norm"])) for start, r in each()),
        "norm": _achieved(state),
        "norm_is_of": "integers, after rounding" if job.round else "floats",
        **run,
        "versions": versions(),
        "parameters": job.described(),
        "inputs": state.manifest.header["inputs"],
    }
    result: dict[str, Any] = plain(found)
    return result
