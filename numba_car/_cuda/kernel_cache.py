"""The cache of compiled kernels on disk, which later processes load in place of compiling."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba.cuda.dispatcher import CUDACache, CUDACacheImpl

from numba_car import _jit

_HERE = Path(__file__).parent


@functools.cache
def _source_stamp() -> str:
    """Return a hash of all source that a kernel may have inlined: of this folder, and what CPU kernels have."""
    return _jit.stamp_of(_HERE.glob("*.py"), _jit._source_stamp())


class _Locator(_jit._PackageLocator):
    """Keep the kernels of this folder beside those of the CPU, stamped with the source of all of them."""

    def get_source_stamp(self) -> str:
        return _source_stamp()

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> _Locator | None:
        folder = _jit.cache_folder() if Path(py_file).is_relative_to(_HERE) else None
        if folder is None:
            return None
        path = Path(folder).with_name(f"numba_car-cuda-{_source_stamp()[:16]}")
        return cls(py_func, str(path))


class _CacheImpl(CUDACacheImpl):  # type: ignore[misc]
    _locator_classes = (_Locator,)


class _KernelCache(_jit.SavesIfItCan, CUDACache):  # type: ignore[misc]
    _impl_class = _CacheImpl


def cached(dispatcher: Any) -> Any:
    """Return a kernel's dispatcher that looks for compiled kernels on disk, if there is a folder for them."""
    # RuntimeError: a kernel of a caller, or a frozen application. It then just compiles.
    with contextlib.suppress(RuntimeError):
        dispatcher._cache = _KernelCache(dispatcher.py_func)
    return dispatcher
