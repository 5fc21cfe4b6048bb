"""PyTorch: operators with fake implementations, autograd and vmap; zero-copy on the CPU."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from numba_car import _api
from numba_car._api import Call, Solution
from numba_car._arrays import batch_of, pair
from numba_car.interop import closed_form, host
from numba_car.interop.arguments import Arguments, prepare
from numba_car.interop.closed_form import Arrays, Setting
from numba_car.interop.host import OUTPUTS, Task

_INPUTS = "Tensor x, Tensor delta, Tensor eps, Tensor lower, Tensor upper"
_TASK = "float p, int[] axes, str precision, str of_x, str infeasible, str method, int? num_threads"
_NATIVE = (torch.float32, torch.float64)
_PLAIN = (Tensor, int, float, np.generic, type(None))


class _Torch:
    """`Library` for tensors, new ones on the device of those there are."""

    eps_dtype = torch.float64

    def __init__(self, device: torch.device, dtype: torch.dtype | None = None) -> None:
        self._device, self._dtype = device, dtype

    def array(self, name: str, value: Any) -> Tensor:
        if isinstance(value, Tensor):
            return self._checked(name, value)
        # A list is rounded to nothing less than the tensor beside it; None is the default dtype.
        dtype = torch.float64 if name not in ("x", "delta") else self._dtype
        try:
            if isinstance(value, (int, float)):  # as_tensor, or full, would compile anew for each
                dtype = torch.float64 if isinstance(value, float) else torch.int64
                return torch.zeros((), dtype=dtype, device=self._device) + value
            return self._checked(name, torch.as_tensor(value, dtype=dtype, device=self._device))
        except (ValueError, TypeError, RuntimeError, OverflowError) as error:
            raise TypeError(f"{name} must be a tensor or convert to one: {error}") from error

    def _checked(self, name: str, tensor: Tensor) -> Tensor:
        if tensor.is_complex() or tensor.is_quantized:
            raise TypeError(f"{name} must hold integers or floats, found dtype {tensor.dtype}")
        if tensor.is_nested or tensor.layout != torch.strided:
            raise TypeError(f"{name} must be a dense tensor, found layout {tensor.layout}")
        return tensor

    def result_type(self, x: Tensor, delta: Tensor) -> tuple[torch.dtype, str]:
        # As torch.result_type, which no compiled function may call.
        dtype = torch.promote_types(x.dtype, delta.dtype)
        for number, tensor in ((x, delta), (delta, x)):
            if number.dim() == 0 < tensor.dim() and tensor.is_floating_point():
                dtype = tensor.dtype
        dtype = dtype if dtype.is_floating_point else torch.get_default_dtype()
        return dtype, str(dtype).removeprefix("torch.")

    def compute_type(self, dtype: torch.dtype) -> torch.dtype:
        return dtype if dtype in _NATIVE else torch.float32

    def cast(self, array: Tensor, dtype: torch.dtype) -> Tensor:
        return array.to(dtype)

    def reshape(self, array: Tensor, shape: tuple[int, ...]) -> Tensor:
        return array.reshape(shape)

    def arange(self, n: int, like: Tensor) -> Tensor:
        return torch.arange(n, device=like.device)

    def where(self, condition: Tensor, chosen: Any, other: Any) -> Tensor:
        return torch.where(condition, chosen, other)

    def sum(self, array: Tensor, axes: tuple[int, ...]) -> Tensor:
        return array.sum(axes, keepdim=True) if axes else array

    def max(self, array: Tensor, axes: tuple[int, ...]) -> Tensor:
        return array.amax(axes, keepdim=True) if axes and array.numel() else self.sum(array, axes)

    def min(self, array: Tensor, axes: tuple[int, ...]) -> Tensor:
        return array.amin(axes, keepdim=True) if axes and array.numel() else self.sum(array, axes)

    def stop(self, array: Tensor) -> Tensor:
        return array.detach()


def _formulas(
    name: str, arrays: Arrays, found: Sequence[Tensor], setting: Setting
) -> tuple[Tensor, ...]:
    dtype = arrays.x.dtype
    known = tuple(f.detach() if f.dtype == torch.bool else f.detach().to(dtype) for f in found)
    arrays = arrays._replace(eps=arrays.eps.to(dtype))
    return closed_form.outputs(_Torch(arrays.x.device), name, arrays, known, setting)


def _setting(arrays: Sequence[Tensor], task: Task) -> Setting:
    shape = torch.broadcast_shapes(*(array.shape for array in arrays))
    return Setting(shape, tuple(len(shape) + axis for axis in task.axes), task.p)


def _tensor(found: Any) -> Tensor:
    """Take what NumPy found, in the layout that fake tensors promise."""
    return torch.from_numpy(np.asarray(found, order="C"))


def _compute(name: str, *arguments: Any) -> Any:
    arrays = Arrays(*(tensor.detach().numpy() for tensor in arguments[:5]))
    found = host.compute(name, arrays, Task(*arguments[5:]))
    tensors = tuple(_tensor(values) for values in found)
    return tensors if len(tensors) > 1 else tensors[0]


def _fake(name: str, *arguments: Any) -> Any:
    x, setting = arguments[0], _setting(arguments[:5], Task(*arguments[5:]))
    kept = batch_of(setting.shape, setting.axes, keepdims=True)
    dtypes = {"eta": torch.float64 if name != "solve" else x.dtype, "saturated": torch.bool}
    tensors = tuple(
        x.new_empty(setting.shape if output == "out" else kept, dtype=dtypes.get(output, x.dtype))
        for output in OUTPUTS[name]
    )
    return tensors if len(tensors) > 1 else tensors[0]


def _batched(operator: Any, spread: bool, info: Any, in_dims: Any, *arguments: Any) -> Any:
    """Move what vmap maps over to the front: axes count from the last, and ranks stay equal."""
    moved = list(arguments)
    for place, (argument, axis) in enumerate(zip(arguments, in_dims, strict=True)):
        if isinstance(argument, Tensor):
            tensor = argument.unsqueeze(0) if axis is None else argument.movedim(axis, 0)
            # A gradient is asked for by example: nothing may be summed over the batch.
            moved[place] = tensor.expand(info.batch_size, *tensor.shape[1:]) if spread else tensor
    found = operator(*moved)
    return found, (0,) * len(found) if isinstance(found, tuple) else 0


def _operator(name: str, schema: str, compute: Any, fake: Any, *, spread: bool = False) -> Any:
    """Define an operator; `spread` repeats what vmap does not map over."""
    operator = torch.library.custom_op(
        f"numba_car::{name}", compute, mutates_args=(), schema=schema
    )
    operator.register_fake(fake)
    operator.register_vmap(functools.partial(_batched, operator, spread))
    return operator


_solvers = {
    name: _operator(
        name,
        f"({_INPUTS}, {_TASK}) -> ({', '.join(['Tensor'] * len(outputs))})",
        functools.partial(_compute, name),
        functools.partial(_fake, name),
    )
    for name, outputs in OUTPUTS.items()
}


def _differentiate(
    x: Tensor,
    delta: Tensor,
    eps: Tensor,
    lower: Tensor,
    upper: Tensor,
    eta: Tensor,
    grad_eta: Tensor,
    grad_out: Tensor | None,
    wanted: Sequence[bool],
    *task: Any,
) -> tuple[Tensor, ...]:
    tensors = x, delta, eps, lower, upper
    arrays = Arrays(*(tensor.detach().numpy() for tensor in tensors))
    g = None if grad_out is None else grad_out.detach().numpy()
    h = grad_eta.detach().numpy()
    found = host.differentiate(arrays, eta.numpy(), h, g, Arrays(*wanted), Task(*task))
    return tuple(
        _tensor(gradient) if want else tensor.new_empty(0)
        for gradient, tensor, want in zip(found, tensors, wanted, strict=True)
    )


def _fake_gradients(*arguments: Any) -> tuple[Tensor, ...]:
    tensors, wanted = arguments[:5], arguments[8]
    return tuple(
        torch.empty_like(tensor, memory_format=torch.contiguous_format)
        if want
        else tensor.new_empty(0)
        for tensor, want in zip(tensors, wanted, strict=True)
    )


_gradients = _operator(
    "gradients",
    f"({_INPUTS}, Tensor eta, Tensor grad_eta, Tensor? grad_out, bool[] wanted, {_TASK})"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    _differentiate,
    _fake_gradients,
    spread=True,
)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    ctx.save_for_backward(*inputs[:5], output[0] if isinstance(output, tuple) else output)
    ctx.task = inputs[5:]


def _backward(ctx: Any, grad_eta: Tensor, grad_out: Tensor | None = None) -> tuple[Any, ...]:
    wanted = list(ctx.needs_input_grad[:5])
    found = _gradients(*ctx.saved_tensors, grad_eta, grad_out, wanted, *ctx.task)
    kept = (gradient if want else None for gradient, want in zip(found, wanted, strict=True))
    return *kept, *(None for _ in ctx.task)


def _save_gradients(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ARG001
    *tensors, ctx.wanted = inputs[:9]
    ctx.save_for_backward(*tensors)
    ctx.task = inputs[9:]


def _backward_gradients(ctx: Any, *upstream: Tensor) -> tuple[Any, ...]:
    """Differentiate the gradients, by way of the formulas that they are the gradients of."""
    *arguments, eta, grad_eta, grad_out = ctx.saved_tensors
    name = "eta" if grad_out is None else "rescale"
    setting = _setting(arguments, Task(*ctx.task))

    def gradients(*tensors: Tensor) -> tuple[Tensor, ...]:
        _, pull = torch.func.vjp(
            lambda *given: _formulas(name, Arrays(*given), (eta,), setting), *tensors[:5]
        )
        pulled = pull((tensors[5].to(arguments[0].dtype), *tensors[6:]))
        return tuple(g for g, want in zip(pulled, ctx.wanted, strict=True) if want)

    given = (*arguments, grad_eta) if grad_out is None else (*arguments, grad_eta, grad_out)
    _, pull = torch.func.vjp(gradients, *given)
    found = pull(tuple(g for g, want in zip(upstream, ctx.wanted, strict=True) if want))
    by_out = None if grad_out is None else found[6]
    return *found[:5], None, found[5], by_out, None, *(None for _ in ctx.task)


for _name in ("eta", "rescale"):
    _solvers[_name].register_autograd(_backward, setup_context=_save)
_gradients.register_autograd(_backward_gradients, setup_context=_save_gradients)


def _is_transformed() -> bool:
    """Whether torch.func or forward mode is at work, which autograd of operators is no part of."""
    return bool(torch._C._are_functorch_transforms_active()) or forward_ad._current_level >= 0


def _run(name: str, arguments: Arguments) -> tuple[Tensor, ...]:
    """Compute, differentiably in both directions."""
    arrays, setting, task = arguments.arrays, arguments.setting, arguments.task
    transformed = _is_transformed()
    if name in ("eta", "rescale") and not transformed:
        found = _solvers[name](*arrays, *task)
        return found if isinstance(found, tuple) else (found,)
    found = _solvers[name](*(tensor.detach() for tensor in arrays), *task)
    found = found if isinstance(found, tuple) else (found,)
    tracked = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in arrays)
    if not (transformed or tracked):
        return found
    formulas = _formulas(name, arrays, found, setting)
    lib = _Torch(arrays.x.device)
    floats = [
        closed_form.follow(lib, value.to(formula.dtype), formula)
        for value, formula in zip(found, formulas, strict=False)
    ]
    return *floats, *found[len(formulas) :]


def _prepare(x: Any, delta: Any, eps: Any, call: Call) -> tuple[Arguments, _Torch]:
    arrays = x, delta, eps, *pair(call.bounds)
    devices = {array.device for array in arrays if isinstance(array, Tensor)}
    if len(devices) > 1:
        raise TypeError(f"tensors must be on one device, found {sorted(map(str, devices))}")
    (device,) = devices
    if device.type != "cpu":
        raise NotImplementedError(
            f"tensors must be on the CPU for now, found {device}: tensor.cpu() brings them there"
        )
    floats = [a.dtype for a in (x, delta) if isinstance(a, Tensor) and a.is_floating_point()]
    lib = _Torch(device, floats[0] if floats else None)
    return prepare(lib, x, delta, eps, call), lib


def _on_host(*values: Any) -> tuple[Any, ...] | None:
    """Return tensors as the NumPy arrays that they are, if nobody watches what becomes of them."""
    if torch.compiler.is_compiling() or _is_transformed():
        return None
    x, delta = values[:2]
    if not (isinstance(x, Tensor) and isinstance(delta, Tensor)):
        return None
    if not (x.dtype == delta.dtype and x.dtype in _NATIVE):
        return None
    if not all(isinstance(value, _PLAIN) for value in values):
        return None
    try:
        return tuple(value.numpy() if isinstance(value, Tensor) else value for value in values)
    except (RuntimeError, TypeError):  # it requires a gradient, or it is fake, mapped or elsewhere
        return None


def _call(name: str, x: Any, delta: Any, eps: Any, call: Call) -> tuple[Tensor, ...]:
    arguments, lib = _prepare(x, delta, eps, call)
    found = _run(name, arguments)
    return tuple(
        arguments.restore(lib, output, values)
        for output, values in zip(OUTPUTS[name], found, strict=True)
    )


def eta(x: Any, delta: Any, eps: Any, call: Call) -> Tensor:
    """`numba_car.eta` for tensors."""
    if arrays := _on_host(x, delta, eps, *call.bounds):
        return _tensor(_api.eta(*arrays[:3], **call._replace(bounds=arrays[3:])._asdict()))
    return _call("eta", x, delta, eps, call)[0]


def rescale(x: Any, delta: Any, eps: Any, call: Call, out: Tensor | None = None) -> Tensor:
    """`numba_car.rescale` for tensors."""
    if arrays := _on_host(x, delta, eps, *call.bounds):
        found = _tensor(_api.rescale(*arrays[:3], **call._replace(bounds=arrays[3:])._asdict()))
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


def solve(x: Any, delta: Any, eps: Any, call: Call) -> Solution:
    """`numba_car.solve` for tensors."""
    return Solution(*_call("solve", x, delta, eps, call))


def max_norm(x: Any, delta: Any, call: Call) -> Tensor:
    """`numba_car.max_norm` for tensors."""
    return _call("max_norm", x, delta, 0.0, call)[0]
