"""What a caller passes besides arrays, and the named tuples that come back."""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Sequence
from typing import Any, Generic, Literal, NamedTuple, TypeAlias, TypeVar, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = TypeVar("Values")  # an array of the caller's library
# Names of dimensions are for xarray.
Axis: TypeAlias = int | str | Sequence[int | str] | None
Bounds: TypeAlias = Sequence[Any] | NDArray[Any]
Infeasible: TypeAlias = Literal["saturate", "warn", "nan", "raise"]
Method: TypeAlias = Literal["auto", "newton", "sort"]
Side: TypeAlias = Literal["nearest", "inside"]

RULES, METHODS, SIDES = get_args(Infeasible), get_args(Method), get_args(Side)


class Options(NamedTuple):
    """The options of a call, as they are passed; see `numba_car.eta`."""

    p: float = 2
    bounds: Bounds = (0.0, 1.0)
    axis: Axis = None
    keepdims: bool = False
    infeasible: str = "saturate"
    method: str = "auto"
    num_threads: int | None = None
    side: str = "nearest"
    step: float | None = None

    def quiet(self) -> Options:
        """Return the same options, without a warning of rows out of reach."""
        return self._replace(infeasible="saturate") if self.infeasible == "warn" else self

    def for_solve(self) -> dict[str, Any]:
        """Return those that `eta` and `solve` take, by name."""
        given = self._asdict()
        del given["side"], given["step"]
        return given

    def for_max_norm(self) -> dict[str, Any]:
        """Return those that `max_norm` and `norm` take, by name."""
        names = "p", "bounds", "axis", "keepdims", "num_threads"
        return {name: getattr(self, name) for name in names}


class Solution(NamedTuple, Generic[Values]):
    """Result of `solve`, one value per row in each field.

    Attributes
    ----------
    eta : ndarray
        The scale: the smallest ``eta >= 0`` with ``N(eta) = min(eps, max_norm)``.
    norm : ndarray
        ``N(eta) = ||clip(x + eta*delta, lower, upper) - x||_p``, measured with `eta` as returned.
    max_norm : ndarray
        ``R``, the largest norm that any eta reaches.
    saturated : ndarray of bool
        Whether ``eps > max_norm``: everything that can move is at its bound.
    """

    eta: Values
    norm: Values
    max_norm: Values
    saturated: Values


class Rescaled(NamedTuple, Generic[Values]):
    """Result of `rescale` under ``full_output=True``.

    Attributes
    ----------
    out : ndarray
        The rescaled batch.
    eta, norm, max_norm, saturated : ndarray
        One value per row, as in `Solution`.
    """

    out: Values
    eta: Values
    norm: Values
    max_norm: Values
    saturated: Values


class Gradients(NamedTuple):
    """Gradients of the arguments, each of its argument's shape and of the result's dtype.

    Attributes
    ----------
    x, delta, eps : ndarray or scalar
        The gradient of the argument, summed over the axes that it was broadcast along.
    lower, upper : ndarray, scalar or None
        The same for the bounds; None for a bound that is None.
    """

    x: Any
    delta: Any
    eps: Any
    lower: Any
    upper: Any


class ProjectGradients(NamedTuple):
    """Gradients of the arguments of `project`, as `Gradients` has those of `rescale`.

    Attributes
    ----------
    x, z, eps, lower, upper : ndarray, scalar or None
        As in `Gradients`.
    """

    x: Any
    z: Any
    eps: Any
    lower: Any
    upper: Any


class MaximizeGradients(NamedTuple):
    """Gradients of the arguments of `maximize`, as `Gradients` has those of `rescale`.

    Attributes
    ----------
    x, g, eps, lower, upper : ndarray, scalar or None
        As in `Gradients`.
    """

    x: Any
    g: Any
    eps: Any
    lower: Any
    upper: Any


# What functions call the arguments that stand in the place of delta and eps.
NAMES = {"project": ("z", "eps"), "maximize": ("g", "eps"), "norm": ("delta", "eta")}


WITH_OUT = ("rescale", "project", "maximize")  # functions whose results are shaped like x


def check_no_out(out: Any, kind: str) -> None:
    """Raise TypeError if there is an `out`, which that kind of arrays does not take."""
    if out is not None:
        raise TypeError(f"out must be None for {kind}")


def names_of(function: str) -> tuple[str, str]:
    """Return what the function of that name calls delta and eps."""
    return NAMES.get(function, ("delta", "eps"))


def arrays_of(function: str, *more: str) -> tuple[str, ...]:
    """Return the names of the function's arrays in the order of `library_of`; `more` stands in the place of out."""
    return ("x", *names_of(function), "lower", "upper", *(more or ("out",)))


def check_p(p: float) -> float:
    """Return p as a float in (0, inf]."""
    try:
        value = float(operator.pos(p))  # fails for a string, which float alone would parse
    except (TypeError, ValueError):
        cure = ": write np.inf" if isinstance(p, str) and p.lower() in ("inf", "infinity") else ""
        raise TypeError(f"p must be a number in (0, inf], found {p!r}{cure}") from None
    except OverflowError:
        value = math.copysign(math.inf, p > 0 or -1)
    if not value > 0:
        raise ValueError(f"p must be in (0, inf], found {p!r}")
    return value


def check_order_of_projection(p: float) -> None:
    """Raise unless p is 1, 2 or inf."""
    if check_p(p) not in (1.0, 2.0, math.inf):
        raise ValueError(f"p must be 1, 2 or inf for a projection, found {p!r}")


def check_order_of_ascent(p: float) -> None:
    """Raise unless p is 1 or more: below, the ball is not convex."""
    if check_p(p) < 1.0:
        raise ValueError(f"p must be at least 1 for best ascent, found {p!r}")


def axis_of(axis: Axis, dim: Axis) -> Axis:
    """Return the axes of a row, which may be given by either name."""
    if dim is None:
        return axis
    if axis is not None:
        raise TypeError(f"axis and dim are one argument, found axis={axis!r} and dim={dim!r}")
    return dim


def _is_pair(value: Any) -> bool:
    """Return whether a value is a list or tuple of two numbers."""
    return isinstance(value, (list, tuple)) and len(value) == 2 and not any(map(np.ndim, value))


def _has_pairs(bounds: Any) -> bool:
    """Return whether bounds are pairs, perhaps of features."""
    if isinstance(bounds, np.ndarray):
        return bool(bounds.shape[1:] == (2,))
    return isinstance(bounds, (list, tuple)) and len(bounds) > 0 and all(map(_is_pair, bounds))


def pair(bounds: Bounds) -> tuple[ArrayLike | None, ArrayLike | None]:
    """Return lower and upper."""
    try:
        lower, upper = bounds
    except (TypeError, ValueError):
        cure = ": np.transpose(bounds) if each is that of a feature" if _has_pairs(bounds) else ""
        cure = ": (None, None) for none" if bounds is None else cure
        raise ValueError(f"bounds must be a pair (lower, upper), found {bounds!r}{cure}") from None
    if type(lower) is not float and _is_pair(lower) and _is_pair(upper):  # a float costs no call
        raise ValueError(
            f"bounds must not be a pair of pairs, found {bounds!r}: np.transpose(bounds) if each is "
            "(lower, upper) of a feature, np.array(bounds) if the first is lower and the second upper"
        )
    return lower, upper


def check_step(step: float | None) -> None:
    """Raise unless step is None or a finite number above 0."""
    if step is None:
        return
    if not isinstance(step, (int, float, np.integer, np.floating)) or isinstance(step, bool):
        raise TypeError(f"step must be a number or None, found {step!r}")
    if not 0 < step <= sys.float_info.max:
        raise ValueError(f"step must be finite and above 0, found {step!r}")


def check_options(options: Options) -> int | None:
    """Check infeasible, method, side and num_threads; return the last as an int or None."""
    for name, value, allowed in (
        ("infeasible", options.infeasible, RULES),
        ("method", options.method, METHODS),
        ("side", options.side, SIDES),
    ):
        if not isinstance(value, str) or value not in allowed:
            raise ValueError(f"{name} must be one of {allowed}, found {value!r}")
    check_step(options.step)
    num_threads = options.num_threads
    if num_threads is None:
        return None
    if not isinstance(num_threads, (int, np.integer)) or isinstance(num_threads, bool):
        raise TypeError(f"num_threads must be an integer or None, found {num_threads!r}")
    if num_threads < 1:
        raise ValueError(f"num_threads must be at least 1, found {num_threads!r}")
    return min(int(num_threads), sys.maxsize)
