"""Kernels, and their launches on the threads of `threads.h`."""

import ctypes
import math
import re

import numpy as np

from tests.support.ptx_device import build
from tests.support.ptx_device.memory import DeviceError
from tests.support.ptx_device.translate import readable, translate

MOST_SHARED = 48 * 1024  # bytes, static and dynamic together
MOST_THREADS = 1024
MOST_BLOCKS = 2**31 - 1, 65535, 65535
_C_TYPES = {8: ctypes.c_uint8, 16: ctypes.c_uint16, 32: ctypes.c_uint32, 64: ctypes.c_uint64}
_CELL = np.dtype([("write", np.uint64), ("read", np.uint64)])


class _Span(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_uint64) for name in ("begin", "end", "width")),
        ("cells", ctypes.c_void_p),
        ("known", ctypes.c_void_p),
    ]


class _Launch(ctypes.Structure):
    _fields_ = [
        ("grid", ctypes.c_uint32 * 3),
        ("block", ctypes.c_uint32 * 3),
        ("dynamic_bytes", ctypes.c_uint32),
        ("n_spans", ctypes.c_uint32),
        ("seed", ctypes.c_uint64),
        ("parameters", ctypes.c_void_p),
        ("spans", ctypes.c_void_p),
        ("line", ctypes.c_int32),
        ("fault", ctypes.c_char * 300),
    ]


class Kernel:
    """A kernel, compiled when it is made."""

    def __init__(self, text):
        self.text, source = text, translate(text)
        self.name = re.search(r"\.entry\s+([\w$]+)", text)[1]
        self.types, self.shared_bytes = source.parameters, source.shared_bytes
        self._library = build.load(source.text)

    def __str__(self):
        return readable(self.name)

    def parameters(self, pointers):
        """Return the values that an array of pointers leads to, as bits."""
        given = zip(self.types, pointers, strict=True)
        values = [_C_TYPES[int(kind[1:])].from_address(pointer).value for kind, pointer in given]
        return np.array(values, np.uint64)

    def check_limits(self, grid, block, dynamic_bytes):
        """Raise DeviceError where a device would refuse the launch."""
        found = ""
        if not all(0 < n <= most for n, most in zip(grid, MOST_BLOCKS, strict=True)):
            found = f"a grid of {grid} blocks"
        if not 0 < math.prod(block) <= MOST_THREADS:
            found = f"a block of {block} threads"
        if self.shared_bytes + dynamic_bytes > MOST_SHARED:
            found = f"{self.shared_bytes} + {dynamic_bytes} bytes of shared memory"
        if found:
            raise DeviceError(f"{found}, at the launch of {self}")

    def run(self, grid, block, dynamic_bytes, parameters, spans, seed):
        """Run all threads; a DeviceError says what is wrong."""
        self.check_limits(grid, block, dynamic_bytes)
        array = (_Span * max(1, len(spans)))(*(span.as_c() for span in spans))
        launch = _Launch(
            grid=tuple(grid), block=tuple(block), dynamic_bytes=dynamic_bytes, n_spans=len(spans),
            seed=seed, parameters=parameters.ctypes.data, spans=ctypes.addressof(array),
        )  # fmt: skip
        self._library.launch(ctypes.byref(launch))
        if launch.fault:
            at = self.text.splitlines()[launch.line - 1].strip() if launch.line else ""
            raise DeviceError(
                f"{launch.fault.decode()}, at line {launch.line} of the PTX, `{at}`, in {self}"
            )


class Span:
    """The memory of arrays that a kernel is given: those that overlap are one."""

    def __init__(self, begin, end, width):
        self.begin, self.end, self.width = begin, end, width

    def check_with(self, memory):
        """Have accesses checked, in cells of the narrowest elements."""
        allocation = memory.holding(self.begin, self.end - self.begin)
        if not allocation:
            raise DeviceError(
                f"a kernel is given {self.end - self.begin} bytes that are not all allocated"
            )
        self._cells = np.zeros(-(-(self.end - self.begin) // self.width), _CELL)
        self._known = allocation.known[self.begin - allocation.address :]

    def as_c(self):
        """Return the structure that kernels read."""
        return _Span(
            self.begin, self.end, self.width, self._cells.ctypes.data, self._known.ctypes.data
        )


def spans_of(arrays, memory):
    """Return the spans of arrays (address, shape, strides in bytes, bytes of an element)."""
    found = []
    for address, shape, strides, width in arrays:
        if math.prod(shape):
            ends = [(size - 1) * stride for size, stride in zip(shape, strides, strict=True)]
            low, high = (sum(pick(end, 0) for end in ends) for pick in (min, max))
            found.append(Span(address + low, address + high + width, width))
    merged = []
    for span in sorted(found, key=lambda span: (span.begin, -span.end)):
        if merged and span.begin < merged[-1].end:
            merged[-1].end = max(merged[-1].end, span.end)
            merged[-1].width = min(merged[-1].width, span.width)
        else:
            merged.append(span)
    for span in merged:
        span.check_with(memory)
    return merged
