"""EagerPy, which foolbox passes: the functions for the arrays that its tensors hold."""

from __future__ import annotations

from typing import Any

import numpy as np

from numba_car._extras import extras_named

with extras_named(__name__):
    import eagerpy as ep

from numba_car._dispatch import library_of
from numba_car._options import Options, Rescaled, Solution, arrays_of


def _raw(value: Any) -> Any:
    """Return what a tensor holds, or the value."""
    return value.raw if isinstance(value, ep.Tensor) else value


def _tensor(found: Any) -> ep.Tensor:
    """Return a result as a tensor; NumPy's for a single row is no array."""
    return ep.astensor(np.asarray(found) if isinstance(found, np.generic) else found)


def _call(name: str, arguments: tuple[Any, ...], options: Options, *out: Any) -> Any:
    """Return what the function of that name returns for the arrays that tensors hold."""
    raw, bounds = list(map(_raw, arguments)), tuple(map(_raw, options.bounds))
    given = raw if len(raw) > 2 else [*raw, None]  # max_norm has no eps
    library = library_of(*given, *bounds, *out, names=arrays_of(name))
    return getattr(library, name)(*raw, options._replace(bounds=bounds), *out)


def eta(x: Any, delta: Any, eps: Any, options: Options) -> ep.Tensor:
    """Return `numba_car.eta` of EagerPy tensors."""
    return _tensor(_call("eta", (x, delta, eps), options))


def rescale(x: Any, delta: Any, eps: Any, options: Options, out: Any = None) -> ep.Tensor:
    """Return `numba_car.rescale` of EagerPy tensors."""
    return _tensor(_call("rescale", (x, delta, eps), options, _raw(out)))


def rescale_on_grid(
    x: Any, delta: Any, eps: Any, options: Options, out: Any = None
) -> Rescaled[ep.Tensor]:
    """Return `numba_car.rescale` of EagerPy tensors on a grid, with full output."""
    return Rescaled(*map(_tensor, _call("rescale_on_grid", (x, delta, eps), options, _raw(out))))


def solve(x: Any, delta: Any, eps: Any, options: Options) -> Solution[Any]:
    """Return `numba_car.solve` of EagerPy tensors."""
    return Solution(*map(_tensor, _call("solve", (x, delta, eps), options)))


def max_norm(x: Any, delta: Any, options: Options) -> ep.Tensor:
    """Return `numba_car.max_norm` of EagerPy tensors."""
    return _tensor(_call("max_norm", (x, delta), options))


def norm(x: Any, delta: Any, eta: Any, options: Options) -> ep.Tensor:
    """Return `numba_car.norm` of EagerPy tensors."""
    return _tensor(_call("norm", (x, delta, eta), options))


def project(x: Any, z: Any, eps: Any, options: Options, out: Any = None) -> ep.Tensor:
    """Return `numba_car.project` of EagerPy tensors."""
    return _tensor(_call("project", (x, z, eps), options, _raw(out)))


def maximize(x: Any, g: Any, eps: Any, options: Options, out: Any = None) -> ep.Tensor:
    """Return `numba_car.maximize` of EagerPy tensors."""
    return _tensor(_call("maximize", (x, g, eps), options, _raw(out)))
