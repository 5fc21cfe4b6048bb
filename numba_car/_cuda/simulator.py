"""What numba's simulator lacks: shuffles and barriers within a warp. See `_cuda.jit`."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numba.cuda.simulator import kernel

_PATIENCE = 120.0  # seconds until a warp whose threads parted gives up


class _Warp:
    """Where the 32 threads of one warp meet."""

    def __init__(self) -> None:
        # Two sets, in turns: none is written to while a slower thread still reads.
        self.values: list[list[Any]] = [[None] * 32, [None] * 32]
        self.turns = [0] * 32
        self.barrier = threading.Barrier(32, timeout=_PATIENCE)


class _Shared:
    """Shared memory, by line of source; numba's own may give two threads that race an array each."""

    def __init__(self, module: Any, lock: threading.Lock) -> None:
        self._module, self._lock = module, lock

    def array(self, shape: Any, dtype: Any) -> Any:
        if shape == 0:
            return self._module.shared.array(0, np.dtype(dtype))
        frame = sys._getframe(1)
        with self._lock:
            arrays = vars(self._module).setdefault("numba_car_shared", {})
            line = frame.f_code, frame.f_lineno
            if line not in arrays:
                arrays[line] = np.empty(shape, dtype)
            return arrays[line]


class _Warps:
    """`numba.cuda` as kernels see it, of the block that the calling thread belongs to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(kernel._get_kernel_context(), name)

    @property
    def shared(self) -> _Shared:
        return _Shared(kernel._get_kernel_context(), self._lock)

    def _place(self) -> tuple[_Warp, int]:
        thread: Any = threading.current_thread()
        with self._lock:
            warps = vars(thread._manager).setdefault("numba_car_warps", {})
            warp = warps.setdefault(thread.thread_id // 32, _Warp())
        return warp, thread.thread_id % 32

    def _gather(self, value: Any) -> tuple[list[Any], int]:
        """Return the values that all threads of the warp bring, and which is this one's."""
        warp, like = self._place()
        values = warp.values[warp.turns[like] % 2]
        warp.turns[like] += 1
        values[like] = value
        warp.barrier.wait()
        return values, like

    def shfl_xor_sync(self, mask: int, value: Any, distance: int) -> Any:  # noqa: ARG002
        values, like = self._gather(value)
        return values[like ^ distance]

    def ballot_sync(self, mask: int, predicate: Any) -> int:  # noqa: ARG002
        values, _ = self._gather(predicate)
        return sum(1 << like for like, value in enumerate(values) if value)

    def butterfly(self, combine: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
        """Do what `team.butterfly` does, meeting once instead of five times."""

        def across_warp(value: Any) -> Any:
            values = list(self._gather(value)[0])
            while len(values) > 1:  # a thread's sum is that of every other one, to the bit
                half = len(values) // 2
                values = [combine(values[i], values[i + half]) for i in range(half)]
            return values[0]

        return across_warp


WARPS = _Warps()
