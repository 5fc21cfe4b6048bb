"""What the CUDA functions ask of a driver, with stand-ins for it: streams, memory, the cache of kernels."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

HAS_CUDA = importlib.util.find_spec("numba_cuda") is not None
pytestmark = pytest.mark.skipif(not HAS_CUDA, reason="numba-cuda is not installed")
if HAS_CUDA:
    from numba_car._cuda import allocation, device_memory, libraries, streams

ROOT = Path(__file__).parent.parent


class Array:
    """An array of a library that exports a stream."""

    def __init__(self, stream=None):
        self.__cuda_array_interface__ = {"stream": stream}


class Stream:
    """A stream of a number; `external` as numba's streams that it did not create."""

    def __init__(self, number, external=False):
        self.number, self.external, self.waits = number, external, 0

    def __int__(self):
        return self.number

    def synchronize(self):
        self.waits += 1


class Event:
    def __init__(self, timing):
        pass

    def record(self, stream):
        pass

    def wait(self, stream):
        pass


@pytest.fixture
def fake(monkeypatch):
    """A stand-in for numba.cuda."""
    cuda = SimpleNamespace(
        event=Event,
        legacy_default_stream=lambda: Stream(1),
        external_stream=lambda pointer: Stream(pointer, external=True),
        device_array=lambda shape, dtype, stream=0: SimpleNamespace(
            stream=stream, device_ctypes_pointer=SimpleNamespace(value=4096)
        ),
        get_current_device=lambda: SimpleNamespace(id=3),
    )
    for module in (streams, device_memory, allocation):
        monkeypatch.setattr(module, "cuda", cuda)
    return cuda


def of_numba(stream):
    array = type("DeviceNDArray", (), {"__module__": "numba.cuda.cudadrv.devicearray"})()
    array.stream = stream
    return array


def test_streams_of_arrays(fake):
    stream = Stream(12)
    assert streams.stream_of(of_numba(stream)) is stream
    assert [int(streams.stream_of(a)) for a in (of_numba(0), of_numba(Stream(0)))] == [1, 1]
    assert [int(streams.stream_of(Array(pointer))) for pointer in (None, 1, 2, 99)] == [1, 1, 2, 99]


def test_a_stream_known_by_its_number_alone_is_not_used_after_the_call(fake, monkeypatch):
    array, stream = Array(99), Stream(99, external=True)
    monkeypatch.setattr(streams, "stream_of", lambda _: stream)
    with streams.in_order(array, []):
        assert stream.waits == 0
    assert stream.waits == 1
    assert device_memory.new_like(array, (3,), np.dtype("f8"), stream).stream == 0


def test_memory_comes_from_the_pool_of_the_device_in_the_order_of_the_stream(fake, monkeypatch):
    core = pytest.importorskip("cuda.core", reason="numba-cuda came without cuda.core")
    asked = []

    class Device:
        def __init__(self, number):
            self.memory_resource, self.number = self, number

        def allocate(self, size, *, stream):
            asked.append((self.number, size, stream))
            return SimpleNamespace(handle=8192)

    monkeypatch.setattr(core, "Device", Device)
    monkeypatch.setattr(core, "Stream", SimpleNamespace(from_handle=lambda number: number))
    stream = Stream(12)
    pointer, owner = allocation.allocate(100, stream)
    assert (pointer, owner[1]) == (8192, stream)  # which is so destroyed after the memory is freed
    allocation.allocate(50, 0)
    assert asked == [(3, 100, 12), (3, 50, 1)]
    # numba waits for the device before it frees, and needs no stream for that.
    assert allocation.allocate(8, Stream(99, external=True))[0] == 4096


def test_memory_comes_from_the_library_of_x(fake):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    parameter = torch.nn.Parameter(torch.zeros(2))  # in host memory: it need not be that of a GPU
    with allocation.by_library_of(parameter):
        pointer, owner = allocation.allocate(100, Stream(12))
    assert (owner.dtype, owner.nbytes, owner.data_ptr()) == (torch.uint8, 100, pointer)
    with allocation.by_library_of(of_numba(0)):
        assert allocation.allocate(8, Stream(99, external=True))[0] == 4096


def test_subclasses_are_of_their_library():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")

    class Image(torch.Tensor):
        pass

    arrays = torch.zeros(1), torch.nn.Parameter(torch.zeros(1)), torch.zeros(1).as_subclass(Image)
    assert {libraries.library_of(array) for array in arrays} == {"torch"}
    assert libraries.library_of(Array()) == "tests"


def test_a_capture_is_refused(monkeypatch):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    streams.refuse_capture(torch.zeros(1))
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    with pytest.raises(RuntimeError, match="cannot be captured in a CUDA graph"):
        streams.refuse_capture(torch.zeros(1))


def test_compiled_graphs_are_split_at_the_operators():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from numba_car.interop import torch_operators

    tag = getattr(torch.Tag, "cudagraph_unsafe", None)
    if tag is None:
        pytest.skip("this PyTorch has no such tag")
    for name in (*torch_operators.solvers, "gradients"):
        assert tag in getattr(torch.ops.numba_car, name).default.tags


@pytest.mark.parametrize(
    ("error", "message"), [(None, "numba found no libNVVM"), ("no such device", "no such device")]
)
def test_a_missing_driver_and_a_missing_compiler_are_told_apart(monkeypatch, error, message):
    fake = SimpleNamespace(is_available=lambda: False, cuda_error=lambda: error)
    monkeypatch.setattr(device_memory, "cuda", fake)
    with pytest.raises(device_memory.NoDriverError, match=message):
        device_memory.check_driver()


COMPILE = """
import json
from types import SimpleNamespace
import numpy as np
from numba import types
from numba.cuda import codegen, dispatcher

device = SimpleNamespace(compute_capability=(9, 0))
dispatcher.get_current_device = lambda: device
codegen.devices = SimpleNamespace(get_context=lambda: SimpleNamespace(device=device))
# Where there is no driver, a kernel is compiled, but not loaded to a device.
codegen.CUDACodeLibrary.get_cufunc = lambda self: SimpleNamespace(code=self.get_cubin(), module=None)
dispatcher._Kernel.initialize_once = lambda self, module: None

from numba_car._cuda.long_rows import start_kernel
from numba_car._cuda.project import cap_rows

array, integer, number = types.Array(types.float64, 1, "C"), types.int64, types.UniTuple(types.float64, 1)
rows = types.Tuple((array, integer))
given = rows, rows, number, number, integer, integer, number, types.UniTuple(types.float64, 1)
of_rows = *given, integer, integer, array, types.Array(integer, 1, "C")
kernels = {"cap": (cap_rows, (array,)), "start": (start_kernel(np.dtype(np.float64)), of_rows)}
counts = {}
for name, (kernel, signature) in kernels.items():
    kernel._dispatcher.compile(signature)
    counts[name] = sum(kernel._dispatcher._cache_misses.values())
print(json.dumps(counts))
"""


@pytest.mark.cuda
@pytest.mark.skipif(
    not importlib.util.find_spec("cuda"), reason="needs numba-cuda's compiler: numba_car[cuda13]"
)
def test_a_second_process_compiles_nothing(tmp_path):
    compiled = [
        json.loads(
            subprocess.run(
                [sys.executable, "-c", COMPILE],
                env={**os.environ, "NUMBA_CAR_CACHE_DIR": str(tmp_path)},
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=600,
                check=True,
            ).stdout
        )
        for _ in range(2)
    ]
    assert compiled == [{"cap": 1, "start": 1}, {"cap": 0, "start": 0}]
