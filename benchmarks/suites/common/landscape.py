"""The price of exactness: one thread's time over that of an inexact rescale, function by function and cell by cell.

The inexact rescale is two passes over a row, as fast as they can be written: the 2-norm of delta, then
min(max(x + eps/norm * delta, 0), 1). It always runs on contiguous rows with numbers as bounds, in the dtype that the
library computes in: float32 for halves. It takes p = 2, whatever p the cell has.
"""

import math
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import numba
import numpy as np

import numba_car as car

from .calls import bounds_like
from .data import batch, slow_rows
from .timing import seconds_of

FUNCTIONS = ("rescale", "rescale_vjp", "eta", "solve", "max_norm")
POWERS = {0.5: "0.5", 1.5: "1.5", 3: "3", 4: "4", math.pi: "pi"}


@numba.njit(nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz", "nnan"})
def _inexact(x, delta, eps, low, high, out):
    for row in range(len(x)):
        here, along, into = x[row], delta[row], out[row]
        total = x.dtype.type(0)
        for i in range(along.size):
            total += along[i] * along[i]
        scale = eps / np.sqrt(total)
        for i in range(here.size):
            into[i] = min(max(here[i] + scale * along[i], low), high)


class Cell(NamedTuple):
    """One kind of call, and how many times the inexact rescale's time each function may take."""

    name: str
    rescale: float | None = None
    rescale_vjp: float | None = None
    shape: tuple[int, int] = (2048, 3072)
    dtype: str = "float32"
    p: float = 2
    change: str = ""  # what makes it another call, see `_changed`
    others: dict[str, float] = MappingProxyType({})  # goals of the other functions
    in_rescales: bool = False  # the goals but rescale's are multiples of rescale's own time

    def goals(self, found):
        """Return the goal of each function that has one, as a multiple of the inexact rescale."""
        given = {"rescale": self.rescale, "rescale_vjp": self.rescale_vjp, **self.others}
        unit = found["rescale"] if self.in_rescales else 1
        return {name: goal * unit for name, goal in given.items() if goal is not None}


def _powers():
    for p, name in POWERS.items():
        yield Cell(f"p = {name}", *((6, 9) if p == math.pi else (4, 6)), p=p)
    for p, name in POWERS.items():
        goals = {0.5: (20, 6), math.pi: (10, 15)}.get(p, (4, 6))
        yield Cell(f"p = {name}, float64", *goals, dtype="float64", p=p)
    for p in (1, 2):
        yield Cell(f"p = {p}, float64", 2, 3, dtype="float64", p=p)


def _steps():
    """Give the calls that are measured over our own rescale of the same p."""
    yield Cell("project, over rescale", 1.2, change="project")
    yield Cell("project p = 1, over rescale", 2, p=1, change="project")
    yield Cell("maximize p = 3, over rescale", 1.2, p=3, change="maximize")
    yield Cell("maximize p = 1, over rescale", 2, p=1, change="maximize")
    yield Cell('side="inside", over "nearest"', 1.4, change="inside")
    yield Cell("step = 1/255, over rescale", 4, change="step")


_LONG = {"eta": 1.3, "solve": 2.5, "max_norm": 1.2}
_THREE = {"rescale_vjp": 3, "eta": 3, "solve": 3, "max_norm": 3}
CELLS = (
    Cell("2048 x 3072", 2, 3, others=_LONG),
    Cell("42 x 150,528", 2, 3, (42, 150528), others=_LONG),
    Cell("1 x 6,000,000", 2, 3, (1, 6_000_000), others=_LONG),
    Cell("1,000,000 x 4", 3, 5, (1_000_000, 4)),
    Cell("500,000 x 16", 3, 5, (500_000, 16)),
    Cell("100,000 x 64", 2.5, 4, (100_000, 64)),
    Cell("32 x 784", 4, 8, (32, 784)),
    Cell("1 x 784", shape=(1, 784), others=_THREE, in_rescales=True),
    *_powers(),
    Cell("float16", 3, 5, dtype="float16"),
    Cell("bfloat16", 3, 5, dtype="bfloat16"),
    Cell("Fortran order", 3, 5, change="fortran"),
    Cell("rows are columns, axis=0", 3, 5, change="columns"),
    Cell("NHWC, a row per channel", 3, 5, (126, 50176), change="channels last"),
    Cell("bounds per channel", 2, 4, change="bounds per channel"),
    Cell("one delta for all rows", 2, 4, change="one delta"),
    Cell("bounds per element", 2.5, 4.5, change="bounds per element"),
    Cell("all saturated", 3, 4.5, change="saturated"),
    Cell("eps = 0.999 R", 3, 4.5, change="0.999 R"),
    Cell('infeasible="nan"', 3, 4.5, change="infeasible"),
    Cell('method="sort"', 15, change="sort"),
    Cell("slow for Newton, over the sort", 1.3, shape=(64, 3072), dtype="float64", change="slow"),
    *_steps(),
    Cell("torch 1 x 784", None, 1.5, (1, 784), change="torch"),
    Cell("torch 32 x 784", None, 1.2, (32, 784), change="torch"),
    Cell("torch 128 x 3,072", None, 0.7, (128, 3072), change="torch"),
    Cell("torch 16 x 150,528", None, 0.4, (16, 150528), change="torch"),
)


def _by_channel(made):
    x, delta = (values.reshape(-1, 3, 32, len(values[0]) // 96) for values in made[:2])
    low, high = (np.full((3, 1, 1), bound, x.dtype) for bound in (0, 1))
    return x, delta, made.eps, {"bounds": (low, high)}


def _channels_last(made):
    x, delta = (
        np.ascontiguousarray(values.reshape(-1, 3, 224, 224).transpose(0, 2, 3, 1))
        for values in made[:2]
    )
    return x, delta, made.eps, {"axis": (1, 2)}


def _changed(change, made):
    """Return x, delta, eps and options of the library's calls on the rows of a batch."""
    x, delta, eps, p = made
    if change == "fortran":
        return np.asfortranarray(x), np.asfortranarray(delta), eps, {}
    if change == "columns":
        return x.T.copy(), delta.T.copy(), eps, {"axis": 0}
    if change == "channels last":
        return _channels_last(made)
    if change == "bounds per channel":
        return _by_channel(made)
    options = {
        "bounds per element": {"bounds": bounds_like(x)},
        "infeasible": {"infeasible": "nan"},
        "sort": {"method": "sort"},
    }.get(change, {})
    if change == "one delta":
        delta = delta[:1]
    if change == "saturated":
        eps = float(x.shape[1])  # R is at most the root of that
    if change == "0.999 R":
        eps = 0.999 * car.max_norm(x, delta, p=p)
    return x, delta, eps, options


def one_liner(x, delta, eps, p, options):
    """Return a call of what most people write, in NumPy, on the same arrays."""
    low, high = options.get("bounds", (0, 1))
    axis, order = options.get("axis", 1), None if p == 2 else p
    eps = np.asarray(eps, x.dtype)
    if eps.ndim:
        eps = eps[:, None]

    def norms():
        if delta.ndim == 4 and axis == 1:  # images
            flat = np.linalg.norm(delta.reshape(len(delta), -1), axis=1)
            return flat.reshape(-1, 1, 1, 1)
        return np.linalg.norm(delta, order, axis, keepdims=True)

    return lambda: np.clip(x + eps / norms() * delta, low, high)


def _torch_calls(made, threads):
    """Return forward and backward of v.square().sum(): inexactly in torch, and through our function."""
    import torch

    if threads:
        torch.set_num_threads(threads)  # for the rest of the process
    x, delta = (torch.from_numpy(values) for values in made[:2])
    delta.requires_grad_()

    def differentiated(rescale):
        def call():
            delta.grad = None
            rescale().square().sum().backward()

        return call

    def inexact():
        return (x + made.eps / delta.norm(dim=1, keepdim=True) * delta).clamp(0, 1)

    ours = partial(car.rescale, x, delta, made.eps, num_threads=1)
    return differentiated(inexact), {"rescale_vjp": differentiated(ours)}


def _step_calls(cell, shape):
    """Return our rescale, and the call that the cell is of, on the same rows."""
    x, delta, eps, _ = batch(shape, cell.dtype, cell.p)
    options, name = {"p": cell.p, "num_threads": 1, "out": np.empty_like(x)}, "rescale"
    if cell.change == "step":
        x = np.rint(x * 255) / x.dtype.type(255)
    rescale = partial(car.rescale, x, delta, eps, **options)
    if cell.change == "step":
        options["step"] = 1 / 255
    elif cell.change == "inside":
        options["side"] = "inside"
    else:
        name = cell.change
    along = x + delta if name == "project" else delta
    return rescale, {"rescale": partial(getattr(car, name), x, along, eps, **options)}, None, x.size


def _call(name, x, delta, eps, options):
    options = {"num_threads": 1, **options}
    if name == "max_norm":
        options.pop("method", None)
        options.pop("infeasible", None)
        return partial(car.max_norm, x, delta, **options)
    given = [x, delta, eps]
    if name == "rescale":
        options["out"] = np.empty_like(x)
    if name == "rescale_vjp":
        given.append(np.ones_like(x))
    return partial(getattr(car, name), *given, **options)


def calls_of(cell, shape=None, threads=1):
    """Return the yardstick's call, ours by name of the function, the one-liner's, and how many elements there are.

    ImportError: the cell's library is not installed. `threads` is how many torch may have; None leaves that alone.
    """
    shape = shape or cell.shape
    if cell.change == "slow":
        x, delta, eps, _ = slow_rows(*shape)
        newton, sort = (
            _call("rescale", x, delta, eps, {"method": method}) for method in ("newton", "sort")
        )
        return sort, {"rescale": newton}, None, x.size
    if cell.change in ("project", "maximize", "inside", "step"):
        return _step_calls(cell, shape)
    made = batch(shape, "float64" if cell.dtype == "float64" else "float32", cell.p)
    if cell.change == "torch":
        return *_torch_calls(made, threads), None, made.x.size
    low, high = made.x.dtype.type(0), made.x.dtype.type(1)
    eps = made.x.dtype.type(0.3 * math.sqrt(shape[1]))
    inexact = partial(_inexact, *made[:2], eps, low, high, np.empty_like(made.x))
    if cell.dtype == "bfloat16":
        import ml_dtypes  # noqa: F401  # registers it
    dtype = np.dtype(cell.dtype)
    x, delta, eps, options = _changed(cell.change, made)
    x, delta = x.astype(dtype, copy=False), delta.astype(dtype, copy=False)
    names = FUNCTIONS if cell.change != "sort" else ("rescale", "eta", "solve")
    ours = {name: _call(name, x, delta, eps, {"p": cell.p, **options}) for name in names}
    return inexact, ours, one_liner(x, delta, eps, cell.p, options), x.size


def _rounds(calls, seconds):
    """Time calls that take turns for so many seconds, or once each if that takes longer."""
    first = seconds_of(calls, 1)
    lasts = first.sum()
    if 2 * lasts > seconds:
        return first
    number = max(1, int(2e-3 / lasts))
    return seconds_of(calls, max(1, min(99, int(seconds / (number * lasts)))), number)


def measured(cell, seconds, names=FUNCTIONS, shape=None):
    """Return medians of rounds: our times and the one-liner's over the yardstick's, and ns an element of rescale."""
    yardstick, ours, wrong, size = calls_of(cell, shape)
    ours = {name: call for name, call in ours.items() if name in names}
    calls = [yardstick, *ours.values(), *([wrong] if wrong else [])]
    taken = _rounds(calls, seconds)
    prices = np.median(taken[:, 1:] / taken[:, :1], axis=0).tolist()
    found = dict(zip([*ours, "one-liner"], prices, strict=False))
    if "rescale" in ours:
        found["ns"] = 1e9 * float(np.median(taken[:, 1 + list(ours).index("rescale")])) / size
    return found
