"""What type checkers read of the public functions: the kind of array that goes in comes out.

Overloads stand before each function: of NumPy arrays and what converts to them; of a framework's arrays; of all
others, such as tables, whose results no checker knows. The options are the same in all three.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias, TypedDict, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from numba_car._options import Axis, Bounds, Infeasible, Method, Side


class Tensor(Protocol):
    """An array of PyTorch, JAX, TensorFlow, xarray, EagerPy or Dask."""

    @property
    def shape(self) -> Any:
        """Its sizes."""

    @property
    def dtype(self) -> Any:
        """The type of its elements."""


T = TypeVar("T", bound=Tensor)
OfNumPy: TypeAlias = NDArray[Any] | np.generic | float | Sequence[Any]
AnyArray: TypeAlias = ArrayLike | Tensor


class NormOptions(TypedDict, total=False):
    """The options of `max_norm` and `norm`."""

    p: float
    bounds: Bounds
    axis: Axis
    dim: Axis
    keepdims: bool
    num_threads: int | None


class SolveOptions(NormOptions, total=False):
    """The options of `eta` and `solve`."""

    infeasible: Infeasible
    method: Method


class RescaleOptions(SolveOptions, total=False):
    """The options of `rescale`, but for those that decide what is returned."""

    side: Side
    step: float | None


class MaximizeOptions(TypedDict, total=False):
    """The options of `maximize`, but for `out`."""

    p: float
    bounds: Bounds
    axis: Axis
    dim: Axis
    num_threads: int | None
    side: Side


class ProjectOptions(MaximizeOptions, total=False):
    """The options of `project`, but for `out`."""

    method: Method
