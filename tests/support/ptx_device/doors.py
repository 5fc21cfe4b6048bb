"""How C calls Python: a library named libcuda.so.1, and the functions that it has."""

import atexit
import ctypes
import traceback

from tests.support.ptx_device import build
from tests.support.ptx_device.memory import DeviceError

SUCCESS, INVALID_VALUE, OUT_OF_MEMORY = 0, 1, 2  # as in cuda.h
LAUNCH_FAILED, NOT_SUPPORTED, UNKNOWN = 719, 801, 999
PLACE, SIZE, INT, UINT = ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int, ctypes.c_uint
TEXT = ctypes.c_char_p

_ENTRIES = {}


def entry(name, *kinds):
    """Register a method as a function of the driver."""

    def register(function):
        _ENTRIES[name] = function, ctypes.CFUNCTYPE(INT, *kinds)
        return function

    return register


def put(kind, address, value):
    """Store a result where a pointer of the caller leads, if anywhere."""
    if address:
        kind.from_address(address).value = value


def _callback(driver, name):
    """Return what the function of a name does, as C can call it."""
    function, kind = _ENTRIES.get(name, (None, ctypes.CFUNCTYPE(INT)))

    def call(*given):
        try:
            if function is None:
                raise DeviceError(f"the driver has no {name}")
            return function(driver, *given) or SUCCESS
        except (DeviceError, NotImplementedError) as fault:
            driver.faults.append(str(fault))
            return LAUNCH_FAILED if function else NOT_SUPPORTED
        except Exception:  # noqa: BLE001 - ctypes would drop it
            driver.faults.append(traceback.format_exc())
            return UNKNOWN

    return kind(call)


def load_library(driver):
    """Put the driver into this process, and return what must be kept."""
    source = (build.HERE / "libcuda.c").read_text()
    library = ctypes.CDLL(
        str(build.library(source, "-Wl,-soname,libcuda.so.1")), ctypes.RTLD_GLOBAL
    )
    library.door.restype, library.door.argtypes = ctypes.c_void_p, (INT, ctypes.c_void_p)
    places = {}

    def resolve(name):
        name = name.decode()
        if name not in places:
            callback = _callback(driver, name)
            address = library.door(len(places), ctypes.cast(callback, ctypes.c_void_p))
            places[name] = address, callback
        return places[name][0]

    resolver = ctypes.CFUNCTYPE(ctypes.c_void_p, TEXT)(resolve)
    library.use(resolver)
    atexit.register(library.close_doors)
    return library, resolver
