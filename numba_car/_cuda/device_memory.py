"""Arrays in device memory, of any library: descriptions of their memory, views of it, new arrays."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numba import cuda

from numba_car._cuda import allocation, streams
from numba_car._cuda.jit import IS_SIMULATED
from numba_car._cuda.libraries import library_of
from numba_car._layout import Array, DType
from numba_car._problem import exports_device_memory

# The dtype by which PyTorch and ml_dtypes name bfloat16; kernels take its bits, see `_cuda.row`.
BFLOAT16, BITS = np.dtype("V2"), np.dtype(np.uint16)
_DEFAULT_STREAM = 1  # DLPack's number of the default stream


class NoDriverError(RuntimeError):
    """Kernels cannot run: there is no driver, no GPU, or no compiler."""


def check_driver() -> None:
    """Raise NoDriverError unless kernels can be compiled and run."""
    if IS_SIMULATED or cuda.is_available():
        return
    error = cuda.cuda_error()
    # numba says no to either; the driver alone tells of an error.
    if error is None:
        raise NoDriverError(
            "there is a GPU, but numba found no libNVVM, which compiles the kernels: pip install "
            "'numba_car[cuda13]' (or cuda12) brings it; or name a CUDA toolkit that has it, such as "
            "CUDA_HOME=/usr/local/cuda; the CPU path works: pass NumPy arrays"
        )
    raise NoDriverError(
        f"no CUDA driver was found, or no GPU by it ({' '.join(error.split())}): `nvidia-smi` should list one; "
        "the CPU path works: pass NumPy arrays"
    )


def is_on_device(value: Any) -> bool:
    """Return whether a value is an array in device memory."""
    if IS_SIMULATED and library_of(value) in ("numba", "torch", "numba_car"):
        return True
    return hasattr(value, "__cuda_array_interface__") or is_imported(value)


@contextlib.contextmanager
def on_device_of(array: Any) -> Iterator[None]:
    """Make the device that holds an array the current one, and have the array's library allocate memory there."""
    check_driver()
    # numba's arrays name no device.
    is_named = not IS_SIMULATED and hasattr(array, "__dlpack_device__")
    device = cuda.gpus[int(array.__dlpack_device__()[1])] if is_named else contextlib.nullcontext()
    with device, allocation.by_library_of(array):
        yield


class View(NamedTuple):
    """An array in device memory; strides are in bytes, and nothing here reads what it points to."""

    pointer: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: DType
    owner: Any
    is_writeable: bool = True

    def as_numpy(self) -> Array:
        """Return a NumPy array of this layout, for computing with shapes and strides; it has no values."""
        nothing = np.empty(1, self.dtype)
        return np.lib.stride_tricks.as_strided(nothing, self.shape, self.strides)


def _said_by(array: Any) -> dict[str, Any]:
    """Return the array interface of an array: the CUDA one, or in the simulator NumPy's."""
    if not IS_SIMULATED:
        said: dict[str, Any] = array.__cuda_array_interface__
        return said
    if library_of(array) == "torch":  # its tensors on the host stand for those on a GPU
        array = array.numpy()
    simulated: dict[str, Any] = array.__array_interface__
    return simulated


def is_imported(value: Any) -> bool:
    """Return whether an array is described by DLPack alone, which does not say on which stream it is ready."""
    # The type is asked, since an array would compute its interface for the answer.
    return not hasattr(type(value), "__cuda_array_interface__") and exports_device_memory(value)


def wait() -> None:
    """Wait for all work that was launched on the device."""
    if not IS_SIMULATED:
        cuda.synchronize()


def _imported(array: Any) -> View:
    """Return the view of an array by DLPack, once it is ready for any stream."""
    from cuda.core.utils import StridedMemoryView

    found = StridedMemoryView.from_dlpack(array, stream_ptr=_DEFAULT_STREAM)
    wait()
    shape, dtype = tuple(found.shape), np.dtype(found.dtype)
    counts = found.strides or packed_strides(shape, 1)
    strides = tuple(count * dtype.itemsize for count in counts)
    return View(found.ptr, shape, strides, dtype, found)


def view_of(array: Any) -> View:
    """Return the view of an array by its ``__cuda_array_interface__``, or else by DLPack."""
    if is_imported(array):
        return _imported(array)
    said = _said_by(array)
    if said.get("mask") is not None:
        raise TypeError("masked arrays are not supported")
    shape, dtype = tuple(said["shape"]), np.dtype(said["typestr"])
    strides = said.get("strides") or packed_strides(shape, dtype.itemsize)
    pointer, is_read_only = said["data"]
    return View(pointer, shape, tuple(strides), dtype, array, not is_read_only)


@functools.lru_cache
def packed_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Return the strides of an array without gaps, in bytes."""
    return tuple(itemsize * math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


class _Memory:
    """Memory of another array, with an array interface for another layout."""

    def __init__(self, view: View) -> None:
        self.owner = view.owner
        said = {
            "data": (view.pointer, False),
            "shape": view.shape,
            "strides": view.strides,
            "typestr": view.dtype.str,
            "version": 3,
        }
        setattr(self, "__array_interface__" if IS_SIMULATED else "__cuda_array_interface__", said)


def flat(pointer: int, size: int, dtype: DType, owner: Any) -> Any:
    """Return `size` elements from a pointer on as a flat array that kernels take."""
    if size == 0:
        return empty(0, dtype)
    dtype = BITS if dtype == BFLOAT16 else dtype
    memory = _Memory(View(pointer, (size,), (dtype.itemsize,), dtype, owner))
    return np.asarray(memory) if IS_SIMULATED else cuda.as_cuda_array(memory, sync=False)


def batch_of(flat: Any, dtype: DType, stride: int, step: int = 1) -> tuple[Any, ...]:
    """Return flat memory of a dtype as a batch, see `_cuda.row`; with a step of 0 it is one number."""
    if dtype == BFLOAT16:
        return flat, np.int64(stride), np.int64(step), np.int64(0)
    return (flat, np.int64(stride)) if step else (flat, np.int64(0), np.int64(0))


def broadcast(array: Any, shape: tuple[int, ...]) -> Any:
    """Return an array broadcast to a shape, in its own memory."""
    view = view_of(array)
    strides = np.broadcast_to(view.as_numpy(), shape).strides
    return _Memory(view._replace(shape=shape, strides=strides))


def flat_of(array: Any) -> Any:
    """Return a contiguous array as a flat array that kernels take."""
    view = view_of(array)
    return flat(view.pointer, math.prod(view.shape), view.dtype, array)


def reshaped(view: View, shape: tuple[int, ...]) -> View:
    """Return a view reshaped without a copy; ValueError where that needs one."""
    return view._replace(shape=shape, strides=view.as_numpy().reshape(shape, copy=False).strides)


def pointer_of(memory: Any) -> int:
    """Return the address of the first element of a flat array."""
    return view_of(memory).pointer


def empty(size: int, dtype: Any, stream: Any = 0) -> Any:
    """Return a new flat array of the kind that kernels take, for use on a stream."""
    dtype = BITS if dtype == BFLOAT16 else np.dtype(dtype)
    if IS_SIMULATED:
        return np.empty(size, dtype)
    if size == 0:
        return cuda.device_array(0, dtype, stream=0)
    pointer, owner = allocation.allocate(size * dtype.itemsize, stream)
    return flat(pointer, size, dtype, owner)


def to_device(array: Array, stream: Any) -> Any:
    """Return a copy of a flat NumPy array in device memory."""
    if IS_SIMULATED:
        return array.copy()
    there = empty(array.size, array.dtype, stream)
    there.copy_to_device(array, stream=stream)
    return there


def to_host(array: Any, stream: Any) -> Array:
    """Return a copy of a device array as a NumPy array, once it is complete."""
    if IS_SIMULATED:
        return np.array(array)
    found: Array = array.copy_to_host(stream=stream)
    stream.synchronize()
    return found


def new_like(array: Any, shape: tuple[int, ...], dtype: DType, stream: Any) -> Any:
    """Return a new array of the same library, on the same device."""
    library = library_of(array)
    if library == "cupy":
        return import_module("cupy").empty(shape, dtype)
    if library == "torch":
        torch = import_module("torch")
        name = "bfloat16" if dtype == BFLOAT16 else dtype.name
        return torch.empty(shape, dtype=getattr(torch, name), device=array.device)
    # What is computed on a stream that may be destroyed is complete when it is returned.
    is_complete = streams.is_borrowed(array, stream)
    return cuda.device_array(shape, dtype, stream=0 if is_complete else stream)
