"""Jitted code of the tests, kept with the package's compiled kernels, so that workers share it."""

import hashlib
from pathlib import Path
from types import FunctionType

import numba

from numba_car import _jit


class _Locator(_jit._PackageLocator):
    """Keeps a function in the package's folder, stamped with the package's source and with its own file."""

    def get_source_stamp(self):
        return _jit._source_stamp() + self.own

    @classmethod
    def from_function(cls, py_func, py_file):
        locator = cls(py_func, _jit.cache_folder())
        locator.own = hashlib.sha256(Path(py_file).read_bytes()).hexdigest()
        return locator


class _Impl(_jit._CacheImpl):
    _locator_classes = (_Locator,)


class _Cache(_jit._KernelCache):
    _impl_class = _Impl


def compiled(function, **options):
    """Return the function jitted, with a cache on disk unless the package has none."""
    dispatcher = numba.njit(function, **options)
    if hasattr(dispatcher, "py_func") and _jit.cache_folder() is not None:
        dispatcher._cache = _Cache(function)
    return dispatcher


def _caller(*arguments):
    return function(*arguments)  # noqa: F821


def jitted(function):
    """Return a compiled function that hands its arguments to `function`, which has no Python wrapper.

    `function` is a global of it: what a cell holds is part of a cache's key, and here differs from
    process to process.
    """
    caller = FunctionType(_caller.__code__, {"__name__": __name__, "function": function})
    caller.__qualname__ = f"calls-{function.__module__}.{function.__name__}"
    return compiled(caller)
