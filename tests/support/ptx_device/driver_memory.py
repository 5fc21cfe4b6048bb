"""The functions of NVIDIA's driver that allocate, free, set and copy memory."""

import ctypes

from tests.support.ptx_device.doors import (
    INT,
    INVALID_VALUE,
    OUT_OF_MEMORY,
    PLACE,
    SIZE,
    SUCCESS,
    UINT,
    entry,
    put,
)
from tests.support.ptx_device.memory import Allocation, DeviceError

CAPACITY = 1 << 32  # bytes
POOL = 2  # the handle of the one pool


class MemoryFunctions:
    """Functions over `memory`, which the driver has."""

    @entry("cuMemPoolGetAttribute", SIZE, INT, PLACE)
    def pool_attribute(self, _, which, found):
        put(ctypes.c_uint64, found, 0)

    @entry("cuMemGetInfo", PLACE, PLACE)
    def memory_info(self, free, total):
        put(SIZE, free, CAPACITY - self.memory.used())
        put(SIZE, total, CAPACITY)

    @entry("cuMemAlloc", PLACE, SIZE)
    def allocate(self, found, size):
        if size > CAPACITY - self.memory.used():
            return OUT_OF_MEMORY
        put(SIZE, found, self.memory.add(Allocation(size)))
        return SUCCESS

    @entry("cuMemAllocFromPoolAsync", PLACE, SIZE, SIZE, SIZE)
    def allocate_from_pool(self, found, size, *_):
        return self.allocate(found, size)

    @entry("cuDeviceGetMemPool", PLACE, INT)
    @entry("cuDeviceGetDefaultMemPool", PLACE, INT)
    def pool(self, found, _):
        put(SIZE, found, POOL)

    @entry("cuMemHostAlloc", PLACE, SIZE, UINT)
    def allocate_pinned(self, found, size, _):
        pinned = Allocation(size)
        pinned.known[:] = 1  # the host stores what it likes
        put(SIZE, found, self.memory.add(pinned))

    @entry("cuMemFree", SIZE)
    @entry("cuMemFreeHost", SIZE)
    @entry("cuMemFreeAsync", SIZE, SIZE)
    def free(self, address, _=0):
        self.memory.remove(address)

    @entry("cuPointerGetAttribute", PLACE, INT, SIZE)
    def pointer_attribute(self, found, which, address):
        if which != 3:  # the address for a device
            raise DeviceError(f"pointers have no attribute {which}")
        if not self.memory.holding(address):
            return INVALID_VALUE
        put(SIZE, found, address)
        return SUCCESS

    @entry("cuMemcpyHtoD", SIZE, SIZE, SIZE)
    @entry("cuMemcpyHtoDAsync", SIZE, SIZE, SIZE, SIZE)
    def upload(self, target, source, size, _=0):
        values, known = self.memory.part(target, size)
        ctypes.memmove(values.ctypes.data, source, size)
        known[:] = 1

    @entry("cuMemcpyDtoH", SIZE, SIZE, SIZE)
    @entry("cuMemcpyDtoHAsync", SIZE, SIZE, SIZE, SIZE)
    def download(self, target, source, size, _=0):
        ctypes.memmove(target, self.memory.initialised(source, size).ctypes.data, size)

    @entry("cuMemcpyDtoD", SIZE, SIZE, SIZE)
    @entry("cuMemcpyDtoDAsync", SIZE, SIZE, SIZE, SIZE)
    def copy(self, target, source, size, _=0):
        values, known = self.memory.part(target, size)
        values[:] = self.memory.initialised(source, size)
        known[:] = 1
