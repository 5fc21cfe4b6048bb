"""EagerPy, which foolbox passes: the tensors inside go to the function again."""

from __future__ import annotations

from typing import Any

import eagerpy as ep
import numpy as np

from numba_car import _api
from numba_car._options import Options, Solution, pair


def _raw(value: Any) -> Any:
    return value.raw if isinstance(value, ep.Tensor) else value


def _tensor(found: Any) -> ep.Tensor:
    """Wrap a result; NumPy's for a single row is no array."""
    return ep.astensor(np.asarray(found) if isinstance(found, np.generic) else found)


def _options(call: Options, *without: str) -> dict[str, Any]:
    lower, upper = pair(call.bounds)
    options = call._replace(bounds=(_raw(lower), _raw(upper)))._asdict()
    return {name: value for name, value in options.items() if name not in without}


def eta(x: Any, delta: Any, eps: Any, call: Options) -> ep.Tensor:
    """`numba_car.eta` for EagerPy tensors."""
    return _tensor(_api.eta(_raw(x), _raw(delta), _raw(eps), **_options(call)))


def rescale(x: Any, delta: Any, eps: Any, call: Options, out: Any = None) -> ep.Tensor:
    """`numba_car.rescale` for EagerPy tensors."""
    found = _api.rescale(_raw(x), _raw(delta), _raw(eps), **_options(call), out=_raw(out))
    return _tensor(found)


def solve(x: Any, delta: Any, eps: Any, call: Options) -> Solution:
    """`numba_car.solve` for EagerPy tensors."""
    return Solution(*map(_tensor, _api.solve(_raw(x), _raw(delta), _raw(eps), **_options(call))))


def max_norm(x: Any, delta: Any, call: Options) -> ep.Tensor:
    """`numba_car.max_norm` for EagerPy tensors."""
    options = _options(call, "infeasible", "method")
    return _tensor(_api.max_norm(_raw(x), _raw(delta), **options))
