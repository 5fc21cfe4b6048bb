"""Have numba-cuda in this process run on the PTX device; to be done before anything asks for a GPU."""

import functools
import os

from tests.support.ptx_device.doors import load_library
from tests.support.ptx_device.driver import Driver
from tests.support.ptx_device.memory import DeviceError

_KEPT = []  # what the libraries that have loaded it go on calling


def install(seed=None):
    """Return the driver that numba-cuda has from now on.

    A seed, or else NUMBA_CAR_PTX_SEED, shuffles blocks and threads; 0 leaves them in order.
    """
    seed = int(os.environ.get("NUMBA_CAR_PTX_SEED", "0")) if seed is None else seed
    driver = Driver(seed)
    _KEPT.append((driver, load_library(driver)))
    from cuda.core import ObjectCode
    from numba.cuda import codegen, dispatcher, types
    from numba.cuda.cudadrv.driver import _Linker

    def link(linker):
        return ObjectCode.from_ptx(linker.get_linked_ptx())

    def cache_key(library):
        return *of_gpus(library), "the PTX device"

    of_gpus = codegen.JITCUDACodegen.magic_tuple
    prepare, run = dispatcher._Kernel._prepare_args, dispatcher._Kernel.launch

    @functools.wraps(prepare)
    def note_arrays(kernel, kind, value, stream, written_back, arguments):
        prepare(kernel, kind, value, stream, written_back, arguments)
        if isinstance(kind, types.Array):
            width, address, *layout = arguments[-2 - 2 * kind.ndim :]
            shape, strides = layout[: kind.ndim], layout[kind.ndim :]
            driver.arrays.given.append((int(address), shape, strides, width))

    @functools.wraps(run)
    def run_checked(kernel, *given, **options):
        driver.arrays.given = []
        try:
            return run(kernel, *given, **options)
        finally:
            if driver.faults:
                raise DeviceError("; ".join(driver.take_faults()))

    _Linker.complete, codegen.JITCUDACodegen.magic_tuple = link, cache_key
    dispatcher._Kernel._prepare_args, dispatcher._Kernel.launch = note_arrays, run_checked
    return driver
