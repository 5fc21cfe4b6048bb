"""PyTorch: the public functions for tensors, over the operators of `torch_operators`."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from numba_car import _api
from numba_car._options import Options, Solution, pair
from numba_car.interop import closed_form
from numba_car.interop.backend_cpu import OUTPUTS
from numba_car.interop.protocol import Arguments, one_device, prepare
from numba_car.interop.torch_library import NATIVE, Torch
from numba_car.interop.torch_operators import formulas, solvers, tensor_of

_PLAIN = (Tensor, int, float, np.generic, type(None))


def _is_transformed() -> bool:
    """Whether torch.func or forward mode is at work, which autograd of operators is no part of."""
    return bool(torch._C._are_functorch_transforms_active()) or forward_ad._current_level >= 0


def _run(name: str, arguments: Arguments) -> tuple[Tensor, ...]:
    """Compute, differentiably in both directions."""
    arrays, setting, task = arguments.arrays, arguments.setting, arguments.task
    transformed = _is_transformed()
    if name in ("eta", "rescale") and not transformed:
        found = solvers[name](*arrays, *task)
        return found if isinstance(found, tuple) else (found,)
    found = solvers[name](*(tensor.detach() for tensor in arrays), *task)
    found = found if isinstance(found, tuple) else (found,)
    tracked = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in arrays)
    if not (transformed or tracked):
        return found
    followed = formulas(name, arrays, found, setting)
    lib = Torch(arrays.x.device)
    floats = [
        closed_form.follow(lib, value.to(formula.dtype), formula)
        for value, formula in zip(found, followed, strict=False)
    ]
    return *floats, *found[len(followed) :]


def _prepare(x: Any, delta: Any, eps: Any, call: Options) -> tuple[Arguments, Torch]:
    arrays = x, delta, eps, *pair(call.bounds)
    devices = {array.device for array in arrays if isinstance(array, Tensor)}
    device = one_device("tensors", devices)
    if device.type not in ("cpu", "cuda"):
        raise NotImplementedError(
            f"tensors must be on the CPU or a CUDA device, found {device}: "
            "tensor.cpu() brings them to the first"
        )
    floats = [a.dtype for a in (x, delta) if isinstance(a, Tensor) and a.is_floating_point()]
    lib = Torch(device, floats[0] if floats else None)
    return prepare(lib, x, delta, eps, call), lib


def _on_host(*values: Any) -> tuple[Any, ...] | None:
    """Return tensors as the NumPy arrays that they are, if nobody watches what becomes of them."""
    if torch.compiler.is_compiling() or _is_transformed():
        return None
    x, delta = values[:2]
    if not (isinstance(x, Tensor) and isinstance(delta, Tensor)):
        return None
    if not (x.dtype == delta.dtype and x.dtype in NATIVE):
        return None
    if not all(isinstance(value, _PLAIN) for value in values):
        return None
    try:
        return tuple(value.numpy() if isinstance(value, Tensor) else value for value in values)
    except (RuntimeError, TypeError):  # it requires a gradient, or it is fake, mapped or elsewhere
        return None


def _call(name: str, x: Any, delta: Any, eps: Any, call: Options) -> tuple[Tensor, ...]:
    arguments, lib = _prepare(x, delta, eps, call)
    found = _run(name, arguments)
    return tuple(
        arguments.restore(lib, output, values)
        for output, values in zip(OUTPUTS[name], found, strict=True)
    )


def eta(x: Any, delta: Any, eps: Any, call: Options) -> Tensor:
    """`numba_car.eta` for tensors."""
    if arrays := _on_host(x, delta, eps, *call.bounds):
        return tensor_of(_api.eta(*arrays[:3], **call._replace(bounds=arrays[3:])._asdict()))
    return _call("eta", x, delta, eps, call)[0]


def rescale(x: Any, delta: Any, eps: Any, call: Options, out: Tensor | None = None) -> Tensor:
    """`numba_car.rescale` for tensors."""
    if arrays := _on_host(x, delta, eps, *call.bounds):
        found = tensor_of(_api.rescale(*arrays[:3], **call._replace(bounds=arrays[3:])._asdict()))
    else:
        found = _call("rescale", x, delta, eps, call)[1]
    return found if out is None else _store(found, out)


def _store(found: Tensor, out: Tensor) -> Tensor:
    if not isinstance(out, Tensor):
        raise TypeError(f"out must be a tensor, found {type(out).__name__}")
    if found.requires_grad or out.requires_grad:
        raise TypeError("out cannot hold what requires a gradient; detach it, or leave out away")
    for rule in ("shape", "dtype", "device"):
        wanted, given = getattr(found, rule), getattr(out, rule)
        if wanted != given:
            raise ValueError(f"out must have the {rule} {wanted} of the result, found {given}")
    return out.copy_(found)


def solve(x: Any, delta: Any, eps: Any, call: Options) -> Solution:
    """`numba_car.solve` for tensors."""
    return Solution(*_call("solve", x, delta, eps, call))


def max_norm(x: Any, delta: Any, call: Options) -> Tensor:
    """`numba_car.max_norm` for tensors."""
    return _call("max_norm", x, delta, 0.0, call)[0]
