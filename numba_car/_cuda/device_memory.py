"""Arrays in device memory, of whatever library: what they say of themselves, views, new ones."""

from __future__ import annotations

import contextlib
import functools
import math
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numba import cuda

from numba_car._cuda.jit import IS_SIMULATED
from numba_car._layout import Array, DType
from numba_car._problem import exports_device_memory

# What PyTorch and ml_dtypes say in such an interface; kernels are handed the bits, see `views`.
BFLOAT16, BITS = np.dtype("V2"), np.dtype(np.uint16)
_DEFAULT_STREAM = 1  # DLPack's name for it


class NoDriverError(RuntimeError):
    """There is no CUDA driver to run on."""


def check_driver() -> None:
    """Raise NoDriverError unless kernels can run."""
    if not (IS_SIMULATED or cuda.is_available()):
        raise NoDriverError(
            "no CUDA driver was found, or no GPU by it: `nvidia-smi` should list one; "
            "the CPU path works: pass NumPy arrays"
        )


def _library_of(array: Any) -> str:
    return type(array).__module__.partition(".")[0]


def is_on_device(value: Any) -> bool:
    """Whether a value is an array in device memory."""
    if IS_SIMULATED and _library_of(value) in ("numba", "torch", "numba_car"):
        return True
    return hasattr(value, "__cuda_array_interface__") or is_imported(value)


def device_of(array: Any) -> Any:
    """Return a context in which the device that holds an array is the current one."""
    if IS_SIMULATED or not hasattr(array, "__dlpack_device__"):  # numba's arrays name none
        return contextlib.nullcontext()
    return cuda.gpus[int(array.__dlpack_device__()[1])]


class View(NamedTuple):
    """An array in device memory; strides are in bytes, and nothing here reads what it points to."""

    pointer: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: DType
    stream: int | None
    owner: Any

    def as_numpy(self) -> Array:
        """Return an array of this layout, to do NumPy's arithmetic on it; its values are none."""
        nothing = np.empty(1, self.dtype)
        return np.lib.stride_tricks.as_strided(nothing, self.shape, self.strides)


def _said_by(array: Any) -> dict[str, Any]:
    if not IS_SIMULATED:
        said: dict[str, Any] = array.__cuda_array_interface__
        return said
    if _library_of(array) == "torch":  # its tensors on the host stand for those on a GPU
        array = array.numpy()
    simulated: dict[str, Any] = array.__array_interface__
    return simulated


def is_imported(value: Any) -> bool:
    """Whether an array comes by DLPack, which tells nothing of its stream."""
    # Of its type, since an array would make up what it says.
    return not hasattr(type(value), "__cuda_array_interface__") and exports_device_memory(value)


def wait() -> None:
    """Wait for all that the device was asked to do."""
    if not IS_SIMULATED:
        cuda.synchronize()


def _imported(array: Any) -> View:
    """Describe an array by DLPack, once it is ready for whatever stream."""
    from cuda.core.utils import StridedMemoryView

    found = StridedMemoryView.from_dlpack(array, stream_ptr=_DEFAULT_STREAM)
    wait()
    shape, dtype = tuple(found.shape), np.dtype(found.dtype)
    counts = found.strides or packed_strides(shape, 1)
    strides = tuple(count * dtype.itemsize for count in counts)
    return View(found.ptr, shape, strides, dtype, None, found)


def view_of(array: Any) -> View:
    """Describe an array by its ``__cuda_array_interface__``, or else by DLPack."""
    if is_imported(array):
        return _imported(array)
    said = _said_by(array)
    if said.get("mask") is not None:
        raise TypeError("masked arrays are not supported")
    shape, dtype = tuple(said["shape"]), np.dtype(said["typestr"])
    strides = said.get("strides") or packed_strides(shape, dtype.itemsize)
    return View(said["data"][0], shape, tuple(strides), dtype, said.get("stream"), array)


@functools.lru_cache
def packed_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Return the strides of an array without gaps, in bytes."""
    return tuple(itemsize * math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


class _Memory:
    """Part of another array's memory, as an array of some other layout."""

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
    """Return `size` elements from a pointer on as kernels take them."""
    if size == 0:
        return empty(0, dtype)
    dtype = BITS if dtype == BFLOAT16 else dtype
    memory = _Memory(View(pointer, (size,), (dtype.itemsize,), dtype, None, owner))
    return np.asarray(memory) if IS_SIMULATED else cuda.as_cuda_array(memory, sync=False)


def batch_of(flat: Any, dtype: DType, stride: int, step: int = 1) -> tuple[Any, ...]:
    """Return flat memory of a dtype as `views` says; with a step of 0 it is one number."""
    if dtype == BFLOAT16:
        return flat, np.int64(stride), np.int64(step), np.int64(0)
    return (flat, np.int64(stride)) if step else (flat, np.int64(0), np.int64(0))


def broadcast(array: Any, shape: tuple[int, ...]) -> Any:
    """Return an array of that shape in an array's memory."""
    view = view_of(array)
    strides = np.broadcast_to(view.as_numpy(), shape).strides
    return _Memory(view._replace(shape=shape, strides=strides))


def flat_of(array: Any) -> Any:
    """Return the memory of a contiguous array as kernels take it."""
    view = view_of(array)
    return flat(view.pointer, math.prod(view.shape), view.dtype, array)


def reshaped(view: View, shape: tuple[int, ...]) -> View:
    """Return a view of another shape, where that needs no copy."""
    return view._replace(shape=shape, strides=view.as_numpy().reshape(shape, copy=False).strides)


def pointer_of(memory: Any) -> int:
    """Return where flat memory as kernels take it begins."""
    return view_of(memory).pointer


def empty(shape: int | tuple[int, ...], dtype: Any, stream: Any = 0) -> Any:
    """Return new memory of our own."""
    dtype = BITS if dtype == BFLOAT16 else dtype
    if IS_SIMULATED:
        return np.empty(shape, dtype)
    return cuda.device_array(shape, dtype, stream=stream)


def to_device(array: Array, stream: Any) -> Any:
    """Copy to the device."""
    return array.copy() if IS_SIMULATED else cuda.to_device(array, stream=stream)


def to_host(array: Any, stream: Any) -> Array:
    """Copy to the host, and wait for it."""
    if IS_SIMULATED:
        return np.array(array)
    found: Array = array.copy_to_host(stream=stream)
    stream.synchronize()
    return found


def new_like(array: Any, shape: tuple[int, ...], dtype: DType, stream: Any) -> Any:
    """Return new memory of the kind of array that this is."""
    library = _library_of(array)
    if library == "cupy":
        return import_module("cupy").empty(shape, dtype)
    if library == "torch":
        torch = import_module("torch")
        name = "bfloat16" if dtype == BFLOAT16 else dtype.name
        return torch.empty(shape, dtype=getattr(torch, name), device=array.device)
    return cuda.device_array(shape, dtype, stream=stream)
