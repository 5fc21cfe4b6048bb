"""Memory for what a call stores on the device beside its results: from the allocator of the caller's library.

PyTorch and CuPy keep pools of their own, next to which there may be little memory left. For all others it comes
from the driver's pool of the device, which frees in the order of a stream and waits for nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from importlib import import_module
from typing import Any

from numba import cuda

from numba_car._cuda.libraries import library_of

# The array whose library allocates, and on whose device; None is none of PyTorch's and CuPy's.
_caller: ContextVar[Any] = ContextVar("caller", default=None)


@contextlib.contextmanager
def by_library_of(array: Any) -> Iterator[None]:
    """Have the library of an array allocate, on the stream that is current there."""
    token = _caller.set(array if library_of(array) in ("torch", "cupy") else None)
    try:
        yield
    finally:
        _caller.reset(token)


def allocate(size: int, stream: Any) -> tuple[int, Any]:
    """Return the address of that many bytes, for use on a stream, and their owner, which must outlive the use.

    Memory that is freed may be in use again at once, but by what is launched later on the same stream.
    """
    array = _caller.get()
    if array is None:
        return _from_driver(size, stream)
    library = import_module(library_of(array))
    if library.__name__ == "torch":
        tensor = library.empty(size, dtype=library.uint8, device=array.device)
        return tensor.data_ptr(), tensor
    memory = library.cuda.alloc(size)
    return memory.ptr, memory


def _from_driver(size: int, stream: Any) -> tuple[int, Any]:
    if getattr(stream, "external", False):  # it may be gone before the memory is
        array = cuda.device_array(size, "u1")
        return array.device_ctypes_pointer.value, array
    from cuda.core import Device, Stream

    pool = Device(cuda.get_current_device().id).memory_resource
    # PyTorch's default stream and numba's have the number 0; that of the legacy default stream is 1.
    memory = pool.allocate(size, stream=Stream.from_handle(int(stream) or 1))
    return int(memory.handle), (memory, stream)
