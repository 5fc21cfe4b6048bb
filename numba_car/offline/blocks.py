"""The results of a block of rows, from the open input files and the settings of a run."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np

import numba_car as car
from numba_car import _noise
from numba_car._cpu.distance import distances
from numba_car._layout import Array, DType
from numba_car._options import Options
from numba_car._problem import broadcasts, check_order, problem
from numba_car.offline.bounds import Bound, Box, first_of, integers_of
from numba_car.offline.errors import OfflineError, in_file
from numba_car.offline.formats import open_source
from numba_car.offline.settings import Settings
from numba_car.offline.solve import functions_on
from numba_car.offline.sources import Source, shape_error

# What is kept of every row.
RECORD = np.dtype([("eps", "<f8"), ("eta", "<f8"), ("norm", "<f8"), ("saturated", "?")])
_FIRST = 32  # elements of a row that are tested before R is measured


class BlockSolver:
    """The input files of a run, opened and checked, and what is computed from their rows."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.x = open_source(settings.x)
        if len(self.x.shape) < 2 or 0 in self.x.shape[1:]:
            raise shape_error(self.x, "must have rows along the first axis and more axes in them")
        self.delta = open_source(settings.delta) if settings.delta is not None else None
        if self.delta:
            self._check_delta(self.delta)
        self.eps = open_source(settings.eps) if isinstance(settings.eps, str) else None
        self._check_eps()
        self.bounds = [Bound(given, self.x) for given in settings.bounds]
        self.integers = integers_of(self.x.dtype, settings.input_range)
        found = f"found {self.x.dtype} in {settings.x}"
        if settings.round and self.x.dtype.kind not in "iu":
            raise ValueError(f"round=True needs integers in x, {found}")
        if settings.input_range and self.x.dtype.kind == "f":
            raise ValueError(f"input_range= needs integers in x, {found}")
        if settings.snr_db is not None:
            self._check_ratio(settings.snr_db)
        self._check_first_row()

    def _check_delta(self, delta: Source) -> None:
        """Raise OfflineError unless delta has as many rows as x, and they broadcast."""
        if len(delta.shape) < 2 or delta.shape[0] != self.count:
            raise shape_error(delta, f"must have {self.count} rows, as {self.settings.x} has")
        if len(delta.shape) != len(self.x.shape) or not broadcasts(delta.shape, self.x.shape):
            raise shape_error(delta, f"must broadcast to {self.x.shape}, the shape of x")

    def _check_ratio(self, snr_db: float) -> None:
        """Raise unless a ratio is allowed, and integers have one unit for all elements."""
        car.eps_for_snr(np.zeros(1), snr_db)
        if self.integers and self.box(0, min(1, self.count)).step is None:
            raise ValueError(
                "bounds must be numbers for snr_db where x holds integers, which are scaled to them"
            )

    def _check_eps(self) -> None:
        """Raise unless eps is a number, or has one for each row."""
        allowed = (self.count,), (self.count, 1)
        rule = f"must have one eps for each of {self.count} rows of x"
        if self.eps and self.eps.shape not in allowed:
            raise shape_error(self.eps, rule)
        if isinstance(self.settings.eps, np.ndarray) and self.settings.eps.shape not in allowed:
            raise ValueError(f"eps {rule}, found shape {self.settings.eps.shape}")

    def _check_first_row(self) -> None:
        """Raise unless eps, p and the bounds of the first row are allowed."""
        count = min(1, self.count)
        row = np.broadcast_to(self.compute_dtype.type(0), (count, *self.x.shape[1:]))
        eps = self.settings.eps if np.isscalar(self.settings.eps) and not self.eps else 0.0
        box = self.box(0, count)
        try:
            problem(row, row, eps, self._options(box.lower, box.upper))
            check_order(*map(np.asarray, box.sides))  # which `problem` leaves to kernels if large
            box.check()
        except ValueError as error:
            files = [bound.source.place.name for bound in self.bounds if bound.source]
            if files and str(error).startswith("bounds"):
                raise OfflineError(f"{' and '.join(files)}: {error}") from error
            raise

    @cached_property
    def functions(self) -> Any:
        """The functions of the device; OfflineError where there is no such device."""
        return functions_on(self.settings.device, with_eta=self.settings.with_eta)

    @property
    def count(self) -> int:
        """The number of rows."""
        return self.x.shape[0]

    def _options(self, lower: Any, upper: Any) -> Options:
        """Return the options of a call, for rows with these bounds."""
        return Options(
            p=self.settings.p,
            bounds=(lower, upper),
            axis=tuple(range(1, len(self.x.shape))),
            infeasible="nan" if self.settings.infeasible == "nan" else "saturate",
            num_threads=self.settings.num_threads,
        )

    @cached_property
    def compute_dtype(self) -> DType:
        """The dtype that rows are solved in."""
        if self.settings.dtype is not None:
            return np.dtype(self.settings.dtype)
        floats = [s.dtype for s in (self.x, self.delta) if s and s.dtype.kind == "f"]
        return np.result_type(*floats).newbyteorder("=") if floats else np.dtype(np.float32)

    @property
    def out_dtype(self) -> DType:
        """The dtype of the output."""
        return self.x.dtype.newbyteorder("=") if self.settings.round else self.compute_dtype

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of the output."""
        return math.prod(self.x.shape[1:]) * self.out_dtype.itemsize

    @property
    def memory_per_row(self) -> int:
        """Bytes that a row takes while its block is solved and the block before is written."""
        n = math.prod(self.x.shape[1:])
        drawn = 8 * (self.settings.noise == "laplace") + max(4, self.compute_dtype.itemsize)
        floats = 5 * self.compute_dtype.itemsize  # x, the result, and temporary arrays
        read = self.x.dtype.itemsize + (self.delta.dtype.itemsize if self.delta else 0)
        bounds = sum(bound.memory_per_row for bound in self.bounds)
        return n * (read + drawn + floats) + 2 * self.row_bytes + bounds

    @property
    def held(self) -> int:
        """Bytes that the input files take, however few rows a block has."""
        files = (self.x, self.delta, self.eps, *self.bounds)
        return sum(file.held for file in files if file)

    @property
    def sources(self) -> dict[str, Source]:
        """The input files by the name of their argument."""
        lower, upper = (bound.source for bound in self.bounds)
        named = {"x": self.x, "delta": self.delta, "eps": self.eps, "lower": lower, "upper": upper}
        return {name: source for name, source in named.items() if source}

    def box(self, start: int, stop: int) -> Box:
        """Return the bounds of rows start to stop."""
        lower, upper = (bound.of(start, stop) for bound in self.bounds)
        return Box(lower, upper, self.integers)

    def _directions(self, start: int, stop: int) -> Array:
        """Return delta of rows start to stop, read or drawn."""
        if self.delta:
            return self.delta.read(start, stop).astype(self.compute_dtype, copy=False)
        shape = (stop - start, *self.x.shape[1:])
        run, dtype = self.settings, self.compute_dtype
        return _noise.directions(str(run.noise), run.seed, start, shape, dtype, run.num_threads)

    def _norms(self, start: int, stop: int, raw: Array, box: Box) -> Array:
        """Return eps of rows start to stop, read, drawn or relative to the norms of the rows."""
        if self.eps:
            return self.eps.read(start, stop).reshape(-1)
        if self.settings.eps_uniform is not None:
            return _noise.uniform_norms(*self.settings.eps_uniform, self.settings.seed, start, stop)
        if self.settings.snr_db is not None:
            return self._relative_norms(self.settings.snr_db, raw, box)
        if isinstance(self.settings.eps, np.ndarray):
            return self.settings.eps[start:stop].reshape(-1).astype(np.float64)
        return np.full(stop - start, self.settings.eps, np.float64)

    def _relative_norms(self, snr_db: float, raw: Array, box: Box) -> Array:
        """Return eps of rows for the ratio to the norms that their numbers have in the file; 0 where it is NaN.

        Rows with NaN become NaN whatever eps is.
        """
        p, threads = self.settings.p, self.settings.num_threads
        axis = tuple(range(1, raw.ndim))
        eps: Array = car.eps_for_snr(raw, snr_db, p=p, axis=axis, num_threads=threads)
        return np.nan_to_num(eps * (box.step or 1.0), posinf=np.inf)

    def compute(self, start: int, stop: int) -> tuple[Array, Array]:
        """Return the output and the records of rows start to stop."""
        settings, box = self.settings, self.box(start, stop)
        raw = self.x.read(start, stop)
        delta, eps = self._directions(start, stop), self._norms(start, stop, raw, box)
        records = np.empty(stop - start, RECORD)
        records["eps"] = eps
        try:
            box.check()
            if settings.input_range:
                box.check_integers(raw)
            x = box.scale(raw, self.compute_dtype)
            if settings.round and box.step:
                out, records["eta"] = self._rescale_on_grid(raw, delta, eps, box)
                v = box.scale(out, self.compute_dtype)
                v[np.isnan(records["eta"])] = np.nan
            else:
                options = self._options(box.lower, box.upper)
                records["eta"], v = self.functions.rescale_with_eta(x, delta, eps, options)
                out = box.unscale(v, self.out_dtype) if settings.round else v
            records["saturated"] = self._saturated(x, delta, eps, v, box)
        except (ValueError, MemoryError) as error:
            files = {name: source.place.name for name, source in self.sources.items()}
            raise in_file(error, files, start, stop) from error
        self._check_rows(start, v, eps, records["saturated"])
        reached = box.scale(out, self.compute_dtype) if settings.round else v
        records["norm"] = distances(reached, x, settings.p, settings.num_threads)
        records["norm"][_is_nan(v)] = np.nan
        return out, records

    def _rescale_on_grid(
        self, raw: Array, delta: Array, eps: Array, box: Box
    ) -> tuple[Array, Array]:
        """Return integers whose norm is the nearest to eps that integers reach, and eta; 0 in rows without eta.

        In units of the distance of neighbouring integers, the bounds are integers, and so is the grid.
        """
        assert box.step
        assert box.integers
        whole = raw.astype(np.result_type(raw.dtype, np.float32))  # which may become NaN
        options = self._options(*box.integers)._replace(step=1.0)
        v, eta = self.functions.rescale_on_grid(
            whole, delta, eps / box.step, options, None, with_facts=False
        )
        return np.nan_to_num(v, copy=False).astype(self.out_dtype), eta * box.step

    def _saturated(self, x: Array, delta: Array, eps: Array, v: Array, box: Box) -> Array:
        """Return whether eps > R, for each row.

        R is measured only of rows that may be saturated. A row is not if one of its first elements
        moved and is off its bounds by more than rounding; most rows have such an element. A row whose
        eps is R but for rounding is solved again, for `solve` compares with R before it is rounded.
        """
        first = (first_of(np.broadcast_to(a, x.shape), _FIRST) for a in (x, delta, v, *box.sides))
        from_x, along, to_v, lower, upper = first
        with np.errstate(invalid="ignore"):
            off = 16 * np.finfo(x.dtype).eps * (np.abs(to_v) + np.abs(from_x))
            free = (along != 0) & (to_v - lower > off) & (upper - to_v > off)
        found = np.zeros(len(x), bool)
        rows = np.flatnonzero(~free.any(axis=1))
        if rows.size:
            options = self._options(*box.of_rows(rows, x.shape))
            reach = self.functions.max_norm(x[rows], delta[rows], options)
            with np.errstate(over="ignore"):  # R may be the largest float
                above = np.nextafter(reach, np.inf, dtype=x.dtype)
            found[rows] = eps[rows] > reach
            rows = rows[found[rows] & (eps[rows] <= above)]
        if rows.size:
            options = self._options(*box.of_rows(rows, x.shape))
            found[rows] = self.functions.solve(x[rows], delta[rows], eps[rows], options).saturated
        return found

    def _check_rows(self, start: int, v: Array, eps: Array, saturated: Array) -> None:
        """Raise OfflineError for the first row that is saturated or NaN where it must not be."""
        settings = self.settings
        if settings.infeasible == "raise" and saturated.any():
            row = int(np.argmax(saturated))
            raise OfflineError(
                f"{settings.x}: row {start + row} cannot reach its eps of {eps[row]:.9g}; "
                'infeasible="saturate" or infeasible="nan" takes such rows'
            )
        is_nan = _is_nan(v)
        bad = is_nan & ~saturated
        if settings.nan == "fail" and bad.any():
            row = start + int(np.argmax(bad))
            what = f"{settings.x}: row {row} has NaN or infinite values, or its direction has"
            raise OfflineError(f'{what}; nan="keep" makes such rows NaN')
        if settings.round and is_nan.any():
            row = start + int(np.argmax(is_nan))
            raise OfflineError(f"{settings.x}: row {row} becomes NaN, which integers cannot hold")


def _is_nan(v: Array) -> Array:
    """Return which rows are NaN: either all elements of a row are NaN or none is."""
    return np.isnan(v.reshape(len(v), -1)[:, 0])
