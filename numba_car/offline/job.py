"""What is to be done to every row, and the doing of it to a block of rows."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

import numba_car as car
from numba_car._cpu.distance import distances
from numba_car._layout import Array, DType
from numba_car._problem import broadcasts
from numba_car.offline import noise
from numba_car.offline.box import Bound, Box, first_of, in_words, integers_of
from numba_car.offline.errors import OfflineError
from numba_car.offline.places import Source, identity, open_source, shape_error

RECORD = np.dtype([("eta", "<f8"), ("norm", "<f8"), ("saturated", "?")])  # kept of every row
_LOOKED_AT = 32  # elements of a row that may show that it is not saturated
# Files may be named otherwise when a run goes on, and threads change no byte.
_NOT_COMPARED = ("x", "delta", "num_threads")


@dataclass(frozen=True)
class Job:
    """The settings of a run, all of them plain values; see `rescale` for their meaning."""

    x: str
    delta: str | None
    eps: float | str | None
    noise: str | None
    seed: int
    eps_uniform: tuple[float, float] | None
    p: float
    bounds: tuple[Any, Any]
    infeasible: str
    nan: str
    dtype: str | None
    input_range: tuple[float, float] | None
    round: bool
    with_eta: bool
    num_threads: int | None
    device: str = "cpu"

    def settings(self) -> dict[str, Any]:
        """All that the result depends on, besides what the files hold."""
        found = {k: v for k, v in self.described().items() if k not in _NOT_COMPARED}
        eps, *bounds = (
            "a file" if isinstance(value, str) else value for value in (self.eps, *found["bounds"])
        )
        return found | {"eps": eps, "bounds": bounds, "numba_car": car.__version__}

    def described(self) -> dict[str, Any]:
        """All settings, without the elements of arrays."""
        return asdict(self) | {"bounds": [in_words(bound) for bound in self.bounds]}


def _functions_on(device: str) -> Any:
    """Return the module that has the public functions for a device."""
    if device == "cpu":
        return car
    try:
        from numba_car import cuda
        from numba_car._cuda.device_memory import check_driver

        check_driver()
    except (ImportError, RuntimeError) as error:
        raise OfflineError(f"device {device}: {error}") from error
    return cuda


class Work:
    """A job with its files open: blocks of rows in, blocks of results out."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.x = open_source(job.x)
        if len(self.x.shape) < 2 or 0 in self.x.shape[1:]:
            raise shape_error(self.x, "must have rows along the first axis and more axes in them")
        self.delta = open_source(job.delta) if job.delta is not None else None
        if self.delta:
            self._check_delta(self.delta)
        self.eps = open_source(job.eps) if isinstance(job.eps, str) else None
        if self.eps and self.eps.shape not in ((self.count,), (self.count, 1)):
            raise shape_error(self.eps, f"must have one eps for each of {self.count} rows of x")
        self.bounds = [Bound(given, self.x) for given in job.bounds]
        self.integers = integers_of(self.x.dtype, job.input_range)
        if job.round and self.x.dtype.kind not in "iu":
            raise ValueError(
                f"round must be False unless x holds integers, found {self.x.dtype} in {job.x}"
            )

    def _check_delta(self, delta: Source) -> None:
        if len(delta.shape) < 2 or delta.shape[0] != self.count:
            raise shape_error(delta, f"must have {self.count} rows, as {self.job.x} has")
        if len(delta.shape) != len(self.x.shape) or not broadcasts(delta.shape, self.x.shape):
            raise shape_error(delta, f"must broadcast to {self.x.shape}, the shape of x")

    @cached_property
    def _functions(self) -> Any:
        """Where `rescale`, `eta` and `solve` are for the job's device."""
        return _functions_on(self.job.device)

    def check_device(self) -> None:
        """Raise where there is no such device, before anything is written."""
        _ = self._functions

    @property
    def count(self) -> int:
        """How many rows there are."""
        return self.x.shape[0]

    @cached_property
    def compute_dtype(self) -> DType:
        """The floats that rows are computed in."""
        if self.job.dtype is not None:
            return np.dtype(self.job.dtype)
        floats = [s.dtype for s in (self.x, self.delta) if s and s.dtype.kind == "f"]
        return np.result_type(*floats).newbyteorder("=") if floats else np.dtype(np.float32)

    @property
    def out_dtype(self) -> DType:
        """What is written."""
        return self.x.dtype.newbyteorder("=") if self.job.round else self.compute_dtype

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of the result."""
        return math.prod(self.x.shape[1:]) * self.out_dtype.itemsize

    @property
    def memory_per_row(self) -> int:
        """Bytes that a row takes while it is in work, and once more while it is written."""
        n = math.prod(self.x.shape[1:])
        drawn = 8 * (self.job.noise == "laplace") + max(4, self.compute_dtype.itemsize)
        floats = 5 * self.compute_dtype.itemsize  # x, result, and what comes in between
        read = self.x.dtype.itemsize + (self.delta.dtype.itemsize if self.delta else 0)
        bounds = sum(bound.memory_per_row for bound in self.bounds)
        return n * (read + drawn + floats) + 2 * self.row_bytes + bounds

    @property
    def held(self) -> int:
        """Bytes that are taken however few rows a block has."""
        files = (self.x, self.delta, self.eps, *self.bounds)
        return sum(file.held for file in files if file)

    @property
    def sources(self) -> dict[str, Source]:
        """All files that are read, by what they are."""
        lower, upper = (bound.source for bound in self.bounds)
        named = {"x": self.x, "delta": self.delta, "eps": self.eps, "lower": lower, "upper": upper}
        return {name: source for name, source in named.items() if source}

    def identities(self) -> dict[str, Any]:
        """Tell each input from a changed one."""
        return {name: identity(source) for name, source in self.sources.items()}

    def box(self, start: int, stop: int) -> Box:
        """Where rows start to stop must lie."""
        lower, upper = (bound.of(start, stop) for bound in self.bounds)
        return Box(lower, upper, self.integers)

    def _directions(self, start: int, stop: int) -> Array:
        if self.delta:
            return self.delta.read(start, stop).astype(self.compute_dtype, copy=False)
        shape = (stop - start, *self.x.shape[1:])
        kind = str(self.job.noise)
        return noise.directions(
            kind, self.job.seed, start, shape, self.compute_dtype, self.job.num_threads
        )

    def _norms(self, start: int, stop: int) -> Array:
        if self.eps:
            return self.eps.read(start, stop).reshape(-1)
        if self.job.eps_uniform is not None:
            return noise.uniform_norms(*self.job.eps_uniform, self.job.seed, start, stop)
        return np.full(stop - start, self.job.eps, np.float64)

    def compute(self, start: int, stop: int) -> tuple[Array, Array]:
        """Results of rows start to stop, and their records."""
        job, box = self.job, self.box(start, stop)
        raw = self.x.read(start, stop)
        delta, eps = self._directions(start, stop), self._norms(start, stop)
        options: dict[str, Any] = {
            "p": job.p, "bounds": (box.lower, box.upper), "axis": tuple(range(1, raw.ndim)),
            "infeasible": "nan" if job.infeasible == "nan" else "saturate",
            "num_threads": job.num_threads,
        }  # fmt: skip
        records = np.full(stop - start, np.nan, RECORD)
        try:
            box.check()
            x = box.enter(raw, self.compute_dtype)
            v = self._functions.rescale(x, delta, eps, **options)
            if job.with_eta:
                records["eta"] = self._functions.eta(x, delta, eps, **options)
            records["saturated"] = self._saturated(x, delta, eps, v, box)
        except (ValueError, MemoryError) as error:
            files = " and ".join(source.place.name for source in self.sources.values())
            where = f"{files}, rows {start} to {stop - 1} (counted from {start}, each"
            raise OfflineError(f"{where} of shape {raw.shape[1:]}): {error}") from error
        self._judge(start, v, eps, records["saturated"])
        out = box.leave(v, self.out_dtype) if job.round else v
        reached = box.enter(out, self.compute_dtype) if job.round else v
        records["norm"] = distances(reached, x, job.p, job.num_threads)
        records["norm"][_without_result(v)] = np.nan
        return out, records

    def _saturated(self, x: Array, delta: Array, eps: Array, v: Array, box: Box) -> Array:
        """Whether eps > R, which is asked only of rows that may be.

        Most have an early element that could move on: it moves, and is off its bounds by more than
        rounding. (`car.solve` of all rows would take longer than `car.rescale`.)
        """
        lower, upper = box.first(x.shape, _LOOKED_AT)
        moves = first_of(np.broadcast_to(delta, x.shape), _LOOKED_AT) != 0
        some, from_x = first_of(v, _LOOKED_AT), first_of(x, _LOOKED_AT)
        with np.errstate(invalid="ignore"):
            off = 16 * np.finfo(x.dtype).eps * (np.abs(some) + np.abs(from_x))
            free = moves & (some - lower > off) & (upper - some > off)
        found = np.zeros(len(x), bool)
        asked = np.flatnonzero(~free.any(axis=1))
        if asked.size:
            job, axis = self.job, tuple(range(1, x.ndim))
            found[asked] = self._functions.solve(
                x[asked], delta[asked], eps[asked], p=job.p, axis=axis,
                bounds=box.of_rows(asked, x.shape), num_threads=job.num_threads,
            ).saturated  # fmt: skip
        return found

    def _judge(self, start: int, v: Array, eps: Array, saturated: Array) -> None:
        """Raise where rows must not be what they are."""
        job = self.job
        if job.infeasible == "raise" and saturated.any():
            row = int(np.argmax(saturated))
            raise OfflineError(
                f"{job.x}: row {start + row} cannot reach its eps of {eps[row]:.9g}; "
                'infeasible="saturate" or "nan" takes such rows'
            )
        without = _without_result(v)
        bad = without & ~saturated
        if job.nan == "fail" and bad.any():
            row = start + int(np.argmax(bad))
            what = f"{job.x}: row {row} has NaN or infinite values, or its direction has"
            raise OfflineError(f'{what}; nan="keep" makes such rows NaN')
        if job.round and without.any():
            row = start + int(np.argmax(without))
            raise OfflineError(f"{job.x}: row {row} becomes NaN, which integers cannot hold")


def _without_result(v: Array) -> Array:
    """Which rows are NaN, as rows without an eta are from end to end."""
    return np.isnan(v.reshape(len(v), -1)[:, 0])
