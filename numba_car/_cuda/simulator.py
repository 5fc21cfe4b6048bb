"""`numba.cuda` as simulated kernels see it, with what numba's simulator lacks: shuffles and votes of a warp."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numba.cuda.simulator import kernel

_PATIENCE = 120.0  # seconds that a thread waits for the others of its warp


class _Warp:
    """The values that the 32 threads of one warp exchange, and their barrier."""

    def __init__(self) -> None:
        # Two sets, in turns: none is written to while a slower thread still reads.
        self.values: list[list[Any]] = [[None] * 32, [None] * 32]
        self.turns = [0] * 32
        self.barrier = threading.Barrier(32, timeout=_PATIENCE)


class _Shared:
    """Shared arrays by line of source; numba's own may give each of two threads that race another array."""

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


class _SimulatedCuda:
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
        """Return the values of all threads of the warp, and the place of this thread among them."""
        warp, place = self._place()
        values = warp.values[warp.turns[place] % 2]
        warp.turns[place] += 1
        values[place] = value
        warp.barrier.wait()
        return values, place

    def shfl_xor_sync(self, mask: int, value: Any, distance: int) -> Any:  # noqa: ARG002
        values, place = self._gather(value)
        return values[place ^ distance]

    def ballot_sync(self, mask: int, predicate: Any) -> int:  # noqa: ARG002
        values, _ = self._gather(predicate)
        return sum(1 << place for place, value in enumerate(values) if value)

    def butterfly(self, combine: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
        """Return what `team.butterfly` returns, with one exchange of values instead of five."""

        def across_warp(value: Any) -> Any:
            values = list(self._gather(value)[0])
            while len(values) > 1:  # a thread's sum is that of every other one, to the bit
                half = len(values) // 2
                values = [combine(values[i], values[i + half]) for i in range(half)]
            return values[0]

        return across_warp


SIMULATED_CUDA = _SimulatedCuda()
