"""NVIDIA's driver, in its own functions' terms: what numba-cuda and cuda.core call, over the memory of the host.

`install` puts a library named libcuda.so.1 into the process, which resolves each function to one of Python's
below. Work is done when it is asked for, whatever its stream. A function that is not here is an error when called.
"""

import ctypes
import itertools
import threading

from tests.support.ptx_device import launch
from tests.support.ptx_device.doors import INT, PLACE, SIZE, TEXT, UINT, entry, put
from tests.support.ptx_device.driver_memory import MemoryFunctions
from tests.support.ptx_device.memory import DeviceError, Memory

ATTRIBUTES = {  # of the device, by their numbers in cuda.h
    1: launch.MOST_THREADS, 2: 1024, 3: 1024, 4: 64, 5: 2**31 - 1, 6: 65535, 7: 65535, 8: launch.MOST_SHARED,
    10: 32, 12: 65536, 13: 1_000_000, 16: 132, 33: 0, 34: 0, 50: 0, 39: 2048, 75: 9, 76: 0, 81: launch.MOST_SHARED,
    82: 65536, 97: launch.MOST_SHARED, 115: 1,
}  # fmt: skip
CONTEXT = 1  # the handle of the one context


class Driver(MemoryFunctions):
    """A device with one context, and the faults that it found."""

    def __init__(self, seed):
        self.seed, self.memory, self.faults = seed, Memory(), []
        self.arrays = threading.local()  # of the next launch, see `install`
        self._context, self._handles = threading.local(), {}
        self._new_handles = itertools.count(0x1000, 16)  # which threads may share

    def _handle(self, value):
        handle = next(self._new_handles)
        self._handles[handle] = value
        return handle

    @entry("cuInit", UINT)
    @entry("cuCtxSynchronize")
    @entry("cuStreamSynchronize", SIZE)
    @entry("cuStreamDestroy", SIZE)
    @entry("cuStreamWaitEvent", SIZE, SIZE, UINT)
    @entry("cuEventRecord", SIZE, SIZE)
    @entry("cuEventSynchronize", SIZE)
    @entry("cuEventDestroy", SIZE)
    @entry("cuLibraryUnload", SIZE)
    @entry("cuMemPoolSetAttribute", SIZE, INT, SIZE)
    def nothing(self, *_):
        """Do what takes no work here."""

    @entry("cuDriverGetVersion", PLACE)
    def version(self, found):
        put(INT, found, 13000)

    @entry("cuDeviceGetCount", PLACE)
    def count(self, found):
        put(INT, found, 1)

    @entry("cuDeviceGet", PLACE, INT)
    def device(self, found, number):
        put(INT, found, number)

    @entry("cuDeviceGetName", PLACE, INT, INT)
    def name(self, found, size, _):
        ctypes.memmove(found, b"PTX on the CPU\0", min(size, 15))

    @entry("cuDeviceGetUuid", PLACE, INT)
    def uuid(self, found, _):
        ctypes.memmove(found, bytes(range(16)), 16)

    @entry("cuDeviceGetAttribute", PLACE, INT, INT)
    def attribute(self, found, which, _):
        if which not in ATTRIBUTES:
            raise DeviceError(f"the device has no attribute {which}")
        put(INT, found, ATTRIBUTES[which])

    @entry("cuDevicePrimaryCtxRetain", PLACE, INT)
    def retain(self, found, _):
        put(SIZE, found, CONTEXT)

    @entry("cuCtxGetCurrent", PLACE)
    def current(self, found):
        put(SIZE, found, getattr(self._context, "stack", [0])[-1])

    @entry("cuCtxPushCurrent", SIZE)
    def push(self, context):
        self._context.stack = [*getattr(self._context, "stack", [0]), context]

    @entry("cuCtxSetCurrent", SIZE)
    def set_current(self, context):
        self._context.stack = [*getattr(self._context, "stack", [0])[:-1], context]

    @entry("cuCtxPopCurrent", PLACE)
    def pop(self, found):
        put(SIZE, found, self._context.stack.pop())

    @entry("cuCtxGetDevice", PLACE)
    def device_of_context(self, found):
        put(INT, found, 0)

    @entry("cuGetErrorName", INT, PLACE)
    @entry("cuGetErrorString", INT, PLACE)
    def error_text(self, code, found):
        self._text = ctypes.c_char_p(f"error {code} of the PTX device".encode())
        put(SIZE, found, ctypes.cast(self._text, ctypes.c_void_p).value)

    @entry("cuStreamCreate", PLACE, UINT)
    def create_stream(self, found, _):
        put(SIZE, found, self._handle("stream"))

    @entry("cuStreamIsCapturing", SIZE, PLACE)
    def is_capturing(self, _, found):
        put(INT, found, 0)

    @entry("cuEventCreate", PLACE, UINT)
    def create_event(self, found, _):
        put(SIZE, found, self._handle("event"))

    @entry("cuLibraryLoadData", PLACE, TEXT, SIZE, SIZE, UINT, SIZE, SIZE, UINT)
    def load(self, found, text, *_):
        put(SIZE, found, self._handle(launch.Kernel(text.decode())))

    @entry("cuLibraryGetKernel", PLACE, SIZE, TEXT)
    def kernel(self, found, library, name):
        kernel = self._handles[library]
        if kernel.name != name.decode():
            raise DeviceError(f"the library has no kernel {name.decode()}")
        put(SIZE, found, library)

    @entry("cuKernelGetAttribute", PLACE, INT, SIZE, INT)
    def kernel_attribute(self, found, which, kernel, _):
        known = {0: launch.MOST_THREADS, 1: self._handles[kernel].shared_bytes, 4: 64}
        put(INT, found, known.get(which, 0))

    @entry("cuLaunchKernelEx", SIZE, SIZE, SIZE, SIZE)
    def launch_configured(self, config, kernel, pointers, _):
        shape = (UINT * 7).from_address(config)
        self._run(self._handles[kernel], tuple(shape[:3]), tuple(shape[3:6]), shape[6], pointers)

    def _run(self, kernel, grid, block, dynamic_bytes, pointers):
        addresses = (PLACE * len(kernel.types)).from_address(pointers) if kernel.types else ()
        spans = launch.spans_of(self.arrays.given, self.memory)
        kernel.run(grid, block, dynamic_bytes, kernel.parameters(addresses), spans, self.seed)

    def take_faults(self):
        """Return the faults found since the last call."""
        found, self.faults = self.faults, []
        return found
