# pyright: strict, reportUnknownMemberType=false, reportUnnecessaryTypeIgnoreComment=true
"""A user's program, which type checkers read and nobody runs: see test_typing.py."""

from collections.abc import Sequence
from typing import Any, Literal, assert_type

import numpy as np
from numpy.typing import NDArray

import numba_car as car


class Tensor:
    """Has what makes an array a framework's."""

    shape: tuple[int, ...] = ()
    dtype: str = ""

    def __getitem__(self, index: Any) -> "Tensor":
        return self


class Table:
    """Another library's object."""


Floats = NDArray[np.float32]


def on_numpy(x: Floats, delta: Floats, eps: Sequence[float], out: Floats) -> None:
    assert_type(car.eta(x, delta, 8.0), NDArray[Any])
    assert_type(car.eta(x, [0.5, 1.0], eps, bounds=[0, 1], axis="all"), NDArray[Any])
    assert_type(car.max_norm(x, 1, p=np.inf, axis=(1, 2)), NDArray[Any])
    assert_type(car.norm(x, delta, np.float64(1), keepdims=True), NDArray[Any])
    assert_type(car.rescale(x, delta, 8, out=out), NDArray[Any])
    assert_type(car.project(x, delta, 8, side="inside", dim=-1), NDArray[Any])
    assert_type(car.maximize(x, delta, 8, bounds=(x, None)), NDArray[Any])
    assert_type(car.solve(x, delta, 8), car.Solution[NDArray[Any]])
    assert_type(car.solve(x, delta, 8).norm, NDArray[Any])
    assert_type(car.rescale(x, delta, 8, full_output=True), car.Rescaled[NDArray[Any]])
    assert_type(car.rescale_vjp(x, delta, 8, x), car.Gradients)


def on_tensors(x: Tensor, delta: Tensor, table: Table) -> None:
    assert_type(car.eta(x, delta, 8.0), Tensor)
    assert_type(car.eta(x, 1.0, x, bounds=(x, 1), dim=(1, 2)), Tensor)
    assert_type(car.max_norm(x, delta), Tensor)
    assert_type(car.norm(x, delta, x), Tensor)
    assert_type(car.rescale(x, delta, 8.0, step=1), Tensor)
    assert_type(car.project(x, delta, 8.0), Tensor)
    assert_type(car.maximize(x, delta, 8.0, out=x), Tensor)
    assert_type(car.solve(x, delta, 8.0).saturated, Tensor)
    assert_type(car.rescale(x, delta, 8.0, full_output=True).out, Tensor)
    assert_type(car.eta(table, table, 1.0), Any)


def options(x: Floats, rule: Literal["nan", "warn"]) -> None:
    car.eta(x, x, 1, infeasible=rule)
    car.eta(x, x, 1, infeasible="never")  # type: ignore[call-overload]
    car.project(x, x, 1, method="bisect")  # type: ignore[call-overload]
    car.maximize(x, x, 1, side="outside")  # type: ignore[call-overload]
    car.solve(x, x, 1, epsilon=3)  # type: ignore[call-overload]
    car.max_norm(x, x, p="inf")  # type: ignore[call-overload]
