"""What frameworks differentiate: the outputs of the solver as formulas of `closed_form` and `step_forms`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from numba_car.interop import closed_form, step_forms
from numba_car.interop.closed_form import Arrays, Setting
from numba_car.interop.step_forms import STEPS


def with_derivatives(
    lib: Any, name: str, arrays: Arrays, found: Sequence[Any], setting: Setting
) -> tuple[Any, ...]:
    """Return the outputs found by the solver with the derivatives of their formulas; infinite ones have none."""
    formulas = outputs(lib, name, arrays, found, setting)

    def follow(value: Any, formula: Any) -> Any:
        value = lib.stop(lib.cast(value, formula.dtype))
        return value + lib.where(abs(value) < math.inf, formula - lib.stop(formula), 0.0)

    floats = [follow(value, formula) for value, formula in zip(found, formulas, strict=False)]
    return *floats, *found[len(floats) :]


def outputs(
    lib: Any, name: str, arrays: Arrays, found: Sequence[Any], setting: Setting
) -> tuple[Any, ...]:
    """Return formulas, in the dtype of x, of the floats that `backend_cpu.compute` finds under this name."""
    dtype = arrays.x.dtype
    found = [lib.stop(lib.cast(found[0], dtype)), *map(lib.stop, found[1:])]
    arrays = arrays._replace(eps=lib.cast(arrays.eps, dtype))
    arrays = closed_form.poisoned(lib, arrays, found[0])
    if name == "max_norm":
        return (closed_form.max_norm(lib, arrays, found[0], setting),)
    if name == "norm":
        return (step_forms.norm(lib, arrays, found[0], setting),)
    if name in STEPS:
        return STEPS[name](lib, arrays, *found, setting)
    formula, moved = closed_form.rescaled(lib, arrays, found[0], setting)
    if name == "eta":
        return (formula,)
    if name == "rescale":
        return formula, moved
    _, _, largest, saturated = found
    reachable = closed_form.max_norm(lib, arrays, largest, setting)
    return formula, lib.where(saturated, reachable, arrays.eps), reachable
