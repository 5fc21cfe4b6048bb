"""The one place for jit options, caching and the environment switches.

``NUMBA_CAR_CACHE=0`` turns the on-disk cache of compiled kernels off.
``NUMBA_CAR_CACHE_DIR`` moves it from its default, ``NUMBA_CACHE_DIR`` or the user's cache folder.
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import numba
import numba.extending
from numba.core import caching, config
from numba.core.dispatcher import Dispatcher
from numba.misc.appdirs import AppDirs

_PACKAGE = Path(__file__).parent
_KERNEL_SOURCES = ("_jit.py", "kernels.py", "_step_kernels.py", "_core/*.py", "_cpu/*.py")

# LLVM vectorises the sums only when it may reorder them, and the selects only with nnan. Infinite
# room is legal: no ninf. Nor arcp: 1/v overflows for tiny v. NaN is found by functions without flags.
_LOOP_FLAGS = {"reassoc", "contract", "nsz", "nnan"}


# A function that does not say inherits the flags of whichever caller has it compiled first: sums that
# keep what rounding loses, and products that stay in range in their order alone, must be free of them.
_STRICT = {"error_model": "numpy", "fastmath": False}

# Only the entry points are called from Python. Without wrappers all others compile twice as fast, and
# must not be called from Python: `interpreted` gives what can be. Inlined they must be: else the process
# that compiles a kernel may run other copies of them, which round otherwise, than one that loads it.
_INNER = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "forceinline": True}


def stamp_of(paths: Iterable[Path], before: str = "") -> str:
    """Return a hash of what files hold, and of what was hashed before."""
    digest = hashlib.sha256(before.encode())
    for path in sorted(paths):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@functools.cache
def _source_stamp() -> str:
    """Return a hash of all source that a kernel may have inlined, so that an edit anywhere recompiles it."""
    return stamp_of(path for pattern in _KERNEL_SOURCES for path in _PACKAGE.glob(pattern))


@functools.cache
def cache_folder() -> str | None:
    """Return the folder of the compiled kernels, or None when caching is off or nowhere possible."""
    if os.environ.get("NUMBA_CAR_CACHE", "1").lower() in ("0", "false", "off", "no"):
        return None
    user = AppDirs(appname="numba_car", appauthor=False).user_cache_dir
    root = os.environ.get("NUMBA_CAR_CACHE_DIR") or config.CACHE_DIR or user
    folder = Path(root, f"numba_car-{_source_stamp()[:16]}")
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    return str(folder) if folder.is_dir() else None


class _PackageLocator(caching._CacheLocator):  # type: ignore[misc]
    """Keep the kernels of this package in one folder, stamped with the source of all of them.

    numba's own locators look at the file of the outermost function only: after an edit to a formula
    they would go on serving the kernel that has the old one inlined.
    """

    def __init__(self, py_func: Callable[..., Any], folder: str) -> None:
        self._name = f"{py_func.__module__}-{py_func.__code__.co_firstlineno}"
        self._folder = folder

    def get_cache_path(self) -> str:
        return self._folder

    def get_source_stamp(self) -> str:
        return _source_stamp()

    def get_disambiguator(self) -> str:
        return self._name

    @classmethod
    def from_function(cls, py_func: Callable[..., Any], py_file: str) -> _PackageLocator | None:
        folder = cache_folder() if Path(py_file).is_relative_to(_PACKAGE) else None
        return cls(py_func, folder) if folder else None


class _CacheImpl(caching.CompileResultCacheImpl):  # type: ignore[misc]
    _locator_classes = (_PackageLocator,)


class SavesIfItCan:
    """A cache of numba whose folder may have been made read-only, or be on a full disk."""

    def save_overload(self, sig: Any, data: Any) -> None:
        """Save a compiled kernel."""
        with contextlib.suppress(OSError):
            super().save_overload(sig, data)  # type: ignore[misc]


class _KernelCache(SavesIfItCan, caching.FunctionCache):  # type: ignore[misc]
    _impl_class = _CacheImpl


def _cached(dispatcher: Any) -> Any:
    # NUMBA_DISABLE_JIT leaves the function.
    if hasattr(dispatcher, "py_func") and cache_folder() is not None:
        # RuntimeError: no locator would have it (a frozen application, say). It then just compiles.
        with contextlib.suppress(RuntimeError):
            dispatcher._cache = _KernelCache(dispatcher.py_func)
    return dispatcher


_FORMULA = {**_STRICT, **_INNER}


def formula(function: Callable[..., Any]) -> Any:
    """Jit a scalar formula: lazily typed and free of flags, so that CUDA kernels may share it."""
    return numba.njit(**_FORMULA)(function)


def loop(function: Callable[..., Any]) -> Any:
    """Jit an innermost loop that LLVM may reorder and vectorise; its input is free of NaN."""
    return numba.njit(error_model="numpy", fastmath=_LOOP_FLAGS, nogil=True, **_INNER)(function)


def checking_loop(function: Callable[..., Any]) -> Any:
    """Jit an innermost loop that LLVM may reorder and vectorise; its input may hold NaN."""
    # With nsz, `sum += v if found else 0` would become a branch, which vectorises with nnan alone.
    flags = _LOOP_FLAGS - {"nsz", "nnan"}
    return numba.njit(error_model="numpy", fastmath=flags, nogil=True, **_INNER)(function)


def rows(function: Callable[..., Any]) -> Any:
    """Jit the work on one row (or a piece of one): strict arithmetic, no GIL."""
    return numba.njit(nogil=True, **_STRICT, **_INNER)(function)


def kernel(function: Callable[..., Any]) -> Any:
    """Jit and cache an entry point that Python calls: a block of rows, no GIL."""
    return _cached(numba.njit(nogil=True, no_cfunc_wrapper=True, **_STRICT)(function))


def overload(function: Callable[..., Any]) -> Any:
    """Say how a function is compiled, by the types of its arguments; strict, and without wrappers for Python."""
    return numba.extending.overload(function, jit_options=_FORMULA)


def entry(dispatcher: Any) -> Any:
    """Jit the function of `rows` under a jitted one once more, as a kernel that Python may call."""
    return kernel(getattr(dispatcher, "py_func", dispatcher))


def interpreted(dispatcher: Any, replaced: dict[Any, Callable[..., Any]]) -> Callable[..., Any]:
    """Return the Python function under a jitted one, with the jitted functions that it calls replaced too.

    Jitted functions that it calls are interpreted as well, or replaced where `replaced` says so.
    """
    function = getattr(dispatcher, "py_func", dispatcher)
    if any(isinstance(constant, CodeType) for constant in function.__code__.co_consts):
        raise TypeError(f"{function.__name__} has functions inside, which stay compiled")

    def resolve(value: Any) -> Any:
        if not isinstance(value, (Dispatcher, FunctionType)) or not value.__module__.startswith(
            __package__
        ):
            return value
        return replaced[value] if value in replaced else interpreted(value, replaced)

    names = function.__code__.co_names
    scope = {
        name: resolve(function.__globals__[name]) for name in names if name in function.__globals__
    }
    scope["__builtins__"] = builtins
    return FunctionType(function.__code__, scope, function.__name__, function.__defaults__)
