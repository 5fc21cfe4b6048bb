"""PyTorch as `protocol.Library`, for the operators and the public functions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

NATIVE = (torch.float32, torch.float64)


class Torch:
    """`Library` for tensors; new ones go to that device."""

    eps_dtype = torch.float64

    def __init__(self, device: torch.device, dtype: torch.dtype | None = None) -> None:
        self._device, self._dtype = device, dtype

    def array(self, name: str, value: Any) -> Tensor:
        if isinstance(value, Tensor):
            return self._checked(name, value)
        # A list of x or delta takes the dtype of the other, so as not to lose digits; None is torch's default.
        dtype = self._dtype if name in ("x", "delta", "z", "g") else torch.float64
        try:
            if isinstance(value, (int, float)):
                dtype = torch.float64 if isinstance(value, float) else torch.int64
                if not torch.compiler.is_compiling():
                    # On a GPU, torch.tensor would copy it from the host, and wait for that.
                    if self._device.type == "cpu":
                        return torch.tensor(value, dtype=dtype)
                    return torch.full((), value, dtype=dtype, device=self._device)
                # as_tensor, or full, would compile anew for each
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
        return dtype if dtype in NATIVE else torch.float32

    def cast(self, array: Tensor, dtype: torch.dtype) -> Tensor:
        return array if array.dtype == dtype else array.to(dtype)

    def reshape(self, array: Tensor, shape: tuple[int, ...]) -> Tensor:
        return array if array.shape == shape else array.reshape(shape)

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
