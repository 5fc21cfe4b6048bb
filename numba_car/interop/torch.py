"""PyTorch: the public functions for tensors, over the operators of `torch_operators`."""

from __future__ import annotations

from typing import Any

import numpy as np

from numba_car._extras import extras_named

with extras_named(__name__):
    import torch
    from torch import Tensor

from numba_car import _numpy
from numba_car._options import Options, Rescaled, Solution
from numba_car.interop import formulas
from numba_car.interop.protocol import Arguments, one_device, prepare
from numba_car.interop.torch_eager import Solve, is_transformed, serves
from numba_car.interop.torch_library import NATIVE, Torch
from numba_car.interop.torch_operators import is_on_host, solvers, tensor_of

_PLAIN = (Tensor, int, float, np.generic, type(None))


def _run(name: str, arguments: Arguments, lib: Torch) -> tuple[Tensor, ...]:
    """Return the outputs of that name, with derivatives in both directions."""
    arrays, setting, task = arguments.arrays, arguments.setting, arguments.task
    transformed = is_transformed()
    if name in ("eta", "rescale") and not transformed:
        if serves(*arrays):
            return tuple(Solve.apply(name, task, *arrays))
        found = solvers[name](*arrays, *task)
        return found if isinstance(found, tuple) else (found,)
    found = solvers[name](*(tensor.detach() for tensor in arrays), *task)
    found = found if isinstance(found, tuple) else (found,)
    tracked = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in arrays)
    if not (transformed or tracked):
        return found
    return formulas.with_derivatives(lib, name, arrays, found, setting)


def _device_of(*values: Any) -> torch.device:
    """Return the device of the tensors among some values; raise where it is not one that the solver has kernels for."""
    device = one_device("tensors", {value.device for value in values if isinstance(value, Tensor)})
    if device.type not in ("cpu", "cuda"):
        raise NotImplementedError(
            f"tensors must be on the CPU or a CUDA device, found {device}: "
            "tensor.cpu() brings them to the first"
        )
    return device


def _prepare(name: str, x: Any, delta: Any, eps: Any, options: Options) -> tuple[Arguments, Torch]:
    """Return the checked call, and the library for its device."""
    device = _device_of(x, delta, eps, *options.bounds)
    floats = [a.dtype for a in (x, delta) if isinstance(a, Tensor) and a.is_floating_point()]
    lib = Torch(device, floats[0] if floats else None)
    return prepare(lib, x, delta, eps, options, name), lib


def _as_numpy(*values: Any) -> list[Any] | None:
    """Return tensors as NumPy arrays of the same memory, or None if a transform or a gradient needs them.

    None too where NumPy and torch may promote dtypes differently.
    """
    if torch.compiler.is_compiling() or is_transformed():
        return None
    x, delta = values[:2]
    if not (isinstance(x, Tensor) and isinstance(delta, Tensor)):
        return None
    if not (x.dtype == delta.dtype and x.dtype in NATIVE):
        return None
    if not all(isinstance(v, _PLAIN) and not getattr(v, "requires_grad", False) for v in values):
        return None
    try:
        return [value.numpy() if isinstance(value, Tensor) else value for value in values]
    except (RuntimeError, TypeError):  # a tensor is fake, mapped or not in host memory
        return None


def _call(name: str, arguments: tuple[Any, ...], options: Options) -> Any:
    """Return the result of the function of that name; its arguments are x, delta and perhaps eps."""
    if arrays := _as_numpy(*arguments, *options.bounds):
        *arrays, lower, upper = arrays
        found = getattr(_numpy, name)(*arrays, options._replace(bounds=(lower, upper)))
        return Solution(*map(tensor_of, found)) if name == "solve" else tensor_of(found)
    x, delta, *eps = arguments
    prepared, lib = _prepare(name, x, delta, eps[0] if eps else 0.0, options)
    return prepared.restore(lib, name, _run(name, prepared, lib))


def _on_grid(name: str, x: Any, delta: Any, eps: Any, options: Options) -> Any:
    """Return what that function gives on the grid of `options.step`, which NumPy finds for tensors in host memory."""
    values = x, delta, eps, *options.bounds
    if torch.compiler.is_compiling() or is_transformed():
        raise NotImplementedError("step must be None where torch compiles or transforms a call")
    tensors = [value for value in values if isinstance(value, Tensor)]
    if any(tensor.requires_grad for tensor in tensors) and torch.is_grad_enabled():
        raise TypeError("step must be None where a gradient is required: a grid has no derivatives")
    _device_of(*tensors)
    is_here = all(map(is_on_host, tensors))
    given = [v.detach() if isinstance(v, Tensor) else v for v in values]
    a, b, c, *bounds = (v.numpy() if is_here and isinstance(v, Tensor) else v for v in given)
    options = options._replace(bounds=tuple(bounds))
    if not is_here:
        from numba_car.interop import backend_cuda

        return getattr(backend_cuda, name)(a, b, c, options)
    found = getattr(_numpy, name)(a, b, c, options)
    return tensor_of(found) if name == "rescale" else Rescaled(*map(tensor_of, found))


def _store(found: Tensor, out: Tensor) -> Tensor:
    """Return `out` with the result copied into it."""
    if not isinstance(out, Tensor):
        raise TypeError(f"out must be a tensor, found {type(out).__name__}")
    if found.requires_grad or out.requires_grad:
        raise TypeError("out cannot hold what requires a gradient; detach it, or leave out away")
    for rule in ("shape", "dtype", "device"):
        wanted, given = getattr(found, rule), getattr(out, rule)
        if wanted != given:
            raise ValueError(f"out must have the {rule} {wanted} of the result, found {given}")
    return out.copy_(found)


def eta(x: Any, delta: Any, eps: Any, options: Options) -> Tensor:
    """Return `numba_car.eta` of tensors."""
    return _call("eta", (x, delta, eps), options)


def rescale(x: Any, delta: Any, eps: Any, options: Options, out: Tensor | None = None) -> Tensor:
    """Return `numba_car.rescale` of tensors."""
    if options.step is None:
        found = _call("rescale", (x, delta, eps), options)
    else:
        found = _on_grid("rescale", x, delta, eps, options)
    return found if out is None else _store(found, out)


def rescale_on_grid(
    x: Any, delta: Any, eps: Any, options: Options, out: Tensor | None = None
) -> Rescaled[Tensor]:
    """Return `numba_car.rescale` of tensors on a grid, with full output."""
    found: Rescaled[Tensor] = _on_grid("rescale_and_solve", x, delta, eps, options)
    return found if out is None else found._replace(out=_store(found.out, out))


def solve(x: Any, delta: Any, eps: Any, options: Options) -> Solution[Any]:
    """Return `numba_car.solve` of tensors."""
    solution: Solution[Any] = _call("solve", (x, delta, eps), options)
    return solution


def max_norm(x: Any, delta: Any, options: Options) -> Tensor:
    """Return `numba_car.max_norm` of tensors."""
    return _call("max_norm", (x, delta), options)


def norm(x: Any, delta: Any, eta: Any, options: Options) -> Tensor:
    """Return `numba_car.norm` of tensors."""
    return _call("norm", (x, delta, eta), options)


def project(x: Any, z: Any, eps: Any, options: Options, out: Tensor | None = None) -> Tensor:
    """Return `numba_car.project` of tensors."""
    found = _call("project", (x, z, eps), options)
    return found if out is None else _store(found, out)


def maximize(x: Any, g: Any, eps: Any, options: Options, out: Tensor | None = None) -> Tensor:
    """Return `numba_car.maximize` of tensors."""
    found = _call("maximize", (x, g, eps), options)
    return found if out is None else _store(found, out)
