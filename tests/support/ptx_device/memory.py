"""Device memory, which is the host's: allocations at places of their own, and which of their bytes are initialised."""

import bisect
import ctypes
import threading

import numpy as np

ALIGNMENT = 256
POISON = 0xFB  # NaN in float32 and float64; as an integer far from any index


class DeviceError(Exception):
    """What would be wrong, or undefined, on a GPU."""


class Allocation:
    """Bytes at an address, and for each whether something was stored there."""

    def __init__(self, size):
        room = np.full(size + 2 * ALIGNMENT, POISON, np.uint8)
        skipped = -room.ctypes.data % ALIGNMENT
        self.bytes, self.known = room[skipped : skipped + size], np.zeros(size, np.uint8)
        self.address, self.size = room.ctypes.data + skipped, size


class HostMemory:
    """Bytes of the host that stand for a GPU's, all initialised."""

    def __init__(self, address, size):
        self.bytes = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))
        self.known = np.ones(size, np.uint8)
        self.address, self.size = address, size


class Memory:
    """All allocations, by address; with `is_open`, all other memory of the host stands for a GPU's as well."""

    is_open = False

    def __init__(self):
        self._addresses, self._allocations = [], []
        self._lock = threading.Lock()

    def add(self, allocation):
        """Take an allocation, and return its address."""
        with self._lock:
            place = bisect.bisect(self._addresses, allocation.address)
            self._addresses.insert(place, allocation.address)
            self._allocations.insert(place, allocation)
        return allocation.address

    def remove(self, address):
        """Free an allocation."""
        with self._lock:
            place = bisect.bisect(self._addresses, address) - 1
            if place < 0 or self._addresses[place] != address:
                raise DeviceError(f"{address:#x} is freed, where nothing is allocated")
            del self._addresses[place], self._allocations[place]

    def holding(self, address, size=1):
        """Return the allocation that holds bytes from an address on, or None."""
        with self._lock:
            place = bisect.bisect(self._addresses, address) - 1
            found = self._allocations[place] if place >= 0 else None
        if found and address < found.address + found.size:
            return found if address + size <= found.address + found.size else None
        return HostMemory(address, size) if self.is_open else None

    def part(self, address, size):
        """Return bytes from an address on, and which of them are initialised."""
        found = self.holding(address, size)
        if not found:
            raise DeviceError(
                f"{size} bytes at {address:#x} are copied, which are not all allocated"
            )
        start = address - found.address
        return found.bytes[start : start + size], found.known[start : start + size]

    def initialised(self, address, size):
        """Return bytes that are copied from an address on; a fault where nothing was stored."""
        values, known = self.part(address, size)
        if not known.all():
            raise DeviceError(
                f"a copy of {size} bytes, of which {size - int(known.sum())} were never stored"
            )
        return values

    def used(self):
        """Return how many bytes are allocated."""
        with self._lock:
            return sum(allocation.size for allocation in self._allocations)
