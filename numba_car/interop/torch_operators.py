"""PyTorch's operators numba_car::*, with fake implementations, autograd and vmap; zero-copy."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from numba_car._options import WITH_OUT
from numba_car.interop import backend_cpu, formulas
from numba_car.interop.backend_cpu import OUTPUTS, Task
from numba_car.interop.closed_form import Arrays, Setting
from numba_car.interop.torch_library import Torch

# On a GPU each call reads back whether a row was in error, which no CUDA graph may: torch.compile splits its graph there.
_OUTSIDE_GRAPHS: dict[str, Any] = (
    {"tags": (torch.Tag.cudagraph_unsafe,)} if hasattr(torch.Tag, "cudagraph_unsafe") else {}
)
_INPUTS = "Tensor x, Tensor delta, Tensor eps, Tensor lower, Tensor upper"
_TASK = (
    "float p, int[] axes, str precision, str of_x, str infeasible, str method, int? num_threads, "
    'str side="nearest"'
)


def _task(values: Sequence[Any]) -> Task:
    """Return the task that an operator gets as single arguments, axes as a list."""
    p, axes, *others = values
    return Task(p, tuple(axes), *others)


def _setting(arrays: Sequence[Tensor], task: Task) -> Setting:
    """Return the setting of tensors, real or fake."""
    return task.setting(torch.broadcast_shapes(*(array.shape for array in arrays)))


def tensor_of(found: Any) -> Tensor:
    """Return a NumPy result as a tensor of the same memory."""
    return torch.from_numpy(np.asarray(found))


def empty_result(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return memory for the output "out", real or fake: in the memory format of x, unless x is broadcast."""
    if is_on_host(x) and x.shape == shape:
        return torch.empty_like(x)
    return x.new_empty(shape)


def is_on_host(tensor: Tensor) -> bool:
    """Return whether a tensor is in host memory."""
    return bool(tensor.device.type == "cpu")


def compute_on_host(name: str, arrays: Arrays, task: Task) -> tuple[Tensor, ...]:
    """Return the outputs of `backend_cpu.compute` for tensors in host memory."""
    given = Arrays(*(tensor.numpy() for tensor in arrays))
    out = None
    if name in WITH_OUT:
        out = empty_result(arrays.x, _setting(arrays, task).shape).numpy()
    return tuple(tensor_of(values) for values in backend_cpu.compute(name, given, task, out))


def _compute(name: str, *arguments: Any) -> Any:
    """Return the outputs of `backend_cpu.compute`, or the one that there is, as tensors."""
    arrays, task = Arrays(*(t.detach() for t in arguments[:5])), _task(arguments[5:])
    if is_on_host(arrays.x):
        tensors = compute_on_host(name, arrays, task)
    else:
        from numba_car.interop import backend_cuda

        tensors = backend_cuda.compute(name, arrays, task)
    return tensors if len(tensors) > 1 else tensors[0]


def _fake(name: str, *arguments: Any) -> Any:
    """Return tensors of the shapes and dtypes of what `_compute` returns."""
    x, setting = arguments[0], _setting(arguments[:5], _task(arguments[5:]))
    dtypes = {"eta": torch.float64 if name != "solve" else x.dtype, "saturated": torch.bool}
    tensors = tuple(
        empty_result(x, setting.shape)
        if output == "out"
        else x.new_empty(setting.shape_of(output), dtype=dtypes.get(output, x.dtype))
        for output in OUTPUTS[name]
    )
    return tensors if len(tensors) > 1 else tensors[0]


def _batched(operator: Any, spread: bool, info: Any, in_dims: Any, *arguments: Any) -> Any:
    """Return the operator's result for arguments with the axis that vmap maps over in front, in all tensors."""
    moved = list(arguments)
    for place, (argument, axis) in enumerate(zip(arguments, in_dims, strict=True)):
        if isinstance(argument, Tensor):
            tensor = argument.unsqueeze(0) if axis is None else argument.movedim(axis, 0)
            # Each example gets a gradient of its own: none may be summed over the batch.
            moved[place] = tensor.expand(info.batch_size, *tensor.shape[1:]) if spread else tensor
    found = operator(*moved)
    return found, (0,) * len(found) if isinstance(found, tuple) else 0


def _operator(name: str, schema: str, compute: Any, fake: Any, *, spread: bool = False) -> Any:
    """Return a new operator; under vmap, `spread` repeats the tensors that are not mapped over."""
    operator = torch.library.custom_op(
        f"numba_car::{name}", compute, mutates_args=(), schema=schema, **_OUTSIDE_GRAPHS
    )
    operator.register_fake(fake)
    operator.register_vmap(functools.partial(_batched, operator, spread))
    return operator


solvers = {
    name: _operator(
        name,
        f"({_INPUTS}, {_TASK}) -> ({', '.join(['Tensor'] * len(outputs))})",
        functools.partial(_compute, name),
        functools.partial(_fake, name),
    )
    for name, outputs in OUTPUTS.items()
}


def differentiate(
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
    """Return the gradients of the five arrays; an empty tensor where none is wanted."""
    tensors = Arrays(*(tensor.detach() for tensor in (x, delta, eps, lower, upper)))
    known, h, g = eta.detach(), grad_eta.detach(), None if grad_out is None else grad_out.detach()
    which, how = Arrays(*wanted), _task(task)
    if is_on_host(x):
        arrays = Arrays(*(tensor.numpy() for tensor in tensors))
        upstream = h.numpy(), None if g is None else g.numpy()
        found = backend_cpu.differentiate(arrays, known.numpy(), *upstream, which, how)
        gradients = [tensor_of(gradient).contiguous() for gradient in found]
    else:
        from numba_car.interop import backend_cuda

        gradients = [*backend_cuda.differentiate(tensors, known, h, g, which, how)]
    return tuple(
        gradient if want else tensor.new_empty(0)
        for gradient, tensor, want in zip(gradients, tensors, wanted, strict=True)
    )


def _fake_gradients(*arguments: Any) -> tuple[Tensor, ...]:
    """Return tensors of the shapes and dtypes of what `differentiate` returns."""
    tensors, wanted = arguments[:5], arguments[8]
    return tuple(
        torch.empty_like(tensor, memory_format=torch.contiguous_format)
        if want
        else tensor.new_empty(0)
        for tensor, want in zip(tensors, wanted, strict=True)
    )


gradients = _operator(
    "gradients",
    f"({_INPUTS}, Tensor eta, Tensor grad_eta, Tensor? grad_out, bool[] wanted, {_TASK})"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    differentiate,
    _fake_gradients,
    spread=True,
)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    """Save the arrays, eta and the task for `_backward`."""
    ctx.save_for_backward(*inputs[:5], output[0] if isinstance(output, tuple) else output)
    ctx.task = inputs[5:]


def _backward(ctx: Any, grad_eta: Tensor, grad_out: Tensor | None = None) -> tuple[Any, ...]:
    """Return the gradients of all inputs of an operator, None for those of the task."""
    wanted = list(ctx.needs_input_grad[:5])
    found = gradients(*ctx.saved_tensors, grad_eta, grad_out, wanted, *ctx.task)
    kept = (gradient if want else None for gradient, want in zip(found, wanted, strict=True))
    return *kept, *(None for _ in ctx.task)


def _save_gradients(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ARG001
    """Save the tensors and the task for `_backward_gradients`."""
    *tensors, ctx.wanted = inputs[:9]
    ctx.save_for_backward(*tensors)
    ctx.task = inputs[9:]


def _backward_gradients(ctx: Any, *upstream: Tensor) -> tuple[Any, ...]:
    """Return the gradients of the gradients, by differentiating the closed forms twice."""
    *arguments, eta, grad_eta, grad_out = ctx.saved_tensors
    name = "eta" if grad_out is None else "rescale"
    lib, setting = Torch(eta.device), _setting(arguments, _task(ctx.task))

    def gradients(*tensors: Tensor) -> tuple[Tensor, ...]:
        _, pull = torch.func.vjp(
            lambda *given: formulas.outputs(lib, name, Arrays(*given), [eta], setting),
            *tensors[:5],
        )
        pulled = pull((tensors[5].to(arguments[0].dtype), *tensors[6:]))
        return tuple(g for g, want in zip(pulled, ctx.wanted, strict=True) if want)

    given = (*arguments, grad_eta) if grad_out is None else (*arguments, grad_eta, grad_out)
    _, pull = torch.func.vjp(gradients, *given)
    found = pull(tuple(g for g, want in zip(upstream, ctx.wanted, strict=True) if want))
    by_out = None if grad_out is None else found[6]
    return *found[:5], None, found[5], by_out, None, *(None for _ in ctx.task)


for _name in ("eta", "rescale"):
    solvers[_name].register_autograd(_backward, setup_context=_save)
gradients.register_autograd(_backward_gradients, setup_context=_save_gradients)
