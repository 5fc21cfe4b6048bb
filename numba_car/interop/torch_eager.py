"""The operators "eta" and "rescale" as an autograd function, which PyTorch calls in a tenth of an operator's time.

It serves plain tensors in host memory while nothing transforms, compiles or records the call.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from numba_car.interop.backend_cpu import Task
from numba_car.interop.closed_form import Arrays
from numba_car.interop.torch_operators import compute_on_host, differentiate, gradients, is_on_host

_PLAIN = (Tensor, torch.nn.Parameter)
# The key of tensors under the vmap of autograd itself, which is no transform of torch.func.
_BATCHED = torch._C._parse_dispatch_key("Batched")


def is_transformed() -> bool:
    """Return whether a transform of torch.func or forward mode is active; operators have no rules for these."""
    return bool(torch._C._are_functorch_transforms_active()) or forward_ad._current_level >= 0


def serves(*tensors: Tensor | None) -> bool:
    """Return whether NumPy may compute on these tensors now; None is ignored."""
    if torch.compiler.is_compiling() or is_transformed() or torch._C._len_torch_dispatch_stack():
        return False
    return all(
        t is None
        or (type(t) in _PLAIN and is_on_host(t) and not torch._C._dispatch_keys(t).has(_BATCHED))
        for t in tensors
    )


class Solve(torch.autograd.Function):  # type: ignore[misc]
    """The outputs of `backend_cpu.compute` for "eta" or "rescale"; its gradients have derivatives, too."""

    @staticmethod
    def forward(ctx: Any, name: str, task: Task, *arrays: Tensor) -> tuple[Tensor, ...]:
        """Return eta, and for "rescale" the result."""
        found = compute_on_host(name, Arrays(*(tensor.detach() for tensor in arrays)), task)
        ctx.save_for_backward(*arrays, found[0])
        ctx.task = task
        return found

    @staticmethod
    def backward(ctx: Any, grad_eta: Tensor, grad_out: Tensor | None = None) -> tuple[Any, ...]:
        """Return the gradients of the arrays; the operator has derivatives where a graph is made of them."""
        tensors, wanted = (*ctx.saved_tensors, grad_eta, grad_out), [*ctx.needs_input_grad[2:]]
        is_direct = not torch.is_grad_enabled() and serves(*tensors)
        found = (differentiate if is_direct else gradients)(*tensors, wanted, *ctx.task)
        return None, None, *(g if want else None for g, want in zip(found, wanted, strict=True))
