"""Jit options of the device functions and kernels, and what numba's simulator needs instead.

Device functions call the formulas of `_core` as they are: numba compiles those once more, for CUDA.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

from numba import cuda
from numba.core import config
from numba.core.dispatcher import Dispatcher

from numba_car._jit import interpreted

IS_SIMULATED = bool(config.ENABLE_CUDASIM)


def _simulated(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a copy of a function that calls interpreted formulas, and warps that can shuffle.

    The simulator replaces `cuda` in a function's scope while a thread runs it, and puts it back when the
    first thread leaves, while others still run; in the copy there is nothing to replace.
    """
    from numba_car._cuda.simulator import SIMULATED_CUDA

    def resolve(value: Any) -> Any:
        if isinstance(value, Dispatcher):
            return interpreted(value, {})
        return SIMULATED_CUDA if isinstance(value, ModuleType) and value is cuda else value

    scope = {name: resolve(value) for name, value in function.__globals__.items()}
    cells = function.__closure__
    return FunctionType(function.__code__, scope, function.__name__, function.__defaults__, cells)


def device(function: Callable[..., Any]) -> Any:
    """Return a function jitted for calls from kernels: lazily typed, strict arithmetic."""
    return _simulated(function) if IS_SIMULATED else cuda.jit(device=True)(function)


class _Kernel:
    """A kernel launched without numba's warning of too few blocks, which a batch of few rows needs."""

    _configuring = threading.Lock()

    def __init__(self, dispatcher: Any) -> None:
        self._dispatcher = dispatcher
        self.py_func = dispatcher.py_func

    def __getitem__(self, shape: tuple[Any, ...]) -> Any:
        with self._configuring:
            before = config.CUDA_LOW_OCCUPANCY_WARNINGS
            config.CUDA_LOW_OCCUPANCY_WARNINGS = 0
            try:
                return self._dispatcher[shape]
            finally:
                config.CUDA_LOW_OCCUPANCY_WARNINGS = before


def kernel(function: Callable[..., Any]) -> Any:
    """Return a kernel, which is compiled, or loaded, when first launched: importing must need no driver."""
    if IS_SIMULATED:
        return cuda.jit(_simulated(function))
    from numba_car._cuda.kernel_cache import cached

    return _Kernel(cached(cuda.jit(function)))
