"""Kernels with one fault each, which the PTX device must name, and kernels without: run by test_ptx_device.py."""

import math
import re
from fractions import Fraction

import numpy as np
import pytest
from numba import cuda

from tests.support.ptx_device.launch import Kernel, spans_of
from tests.support.ptx_device.memory import DeviceError
from tests.support.ptx_device.plugin import DRIVER

pytestmark = pytest.mark.filterwarnings("ignore:Grid size")
WARP, BOTH = 32, 64  # threads of a warp, and of two: names, since the compiler takes no product


def run(kernel, *arrays, blocks=1, threads=BOTH, shared=0):
    """Launch a kernel on copies of arrays, and return the last of them."""
    given = [cuda.to_device(np.asarray(array)) for array in arrays]
    kernel[blocks, threads, 0, shared](*given)
    return given[-1].copy_to_host()


def zeros(size=BOTH):
    return np.zeros(size)


def sums_of_neighbours(barrier):
    """Return a kernel that adds the value of the next thread, with a barrier between or without."""

    @cuda.jit
    def kernel(values, out):
        kept, i = cuda.shared.array(BOTH, np.float64), cuda.threadIdx.x
        kept[i] = values[i]
        if barrier:
            cuda.syncthreads()
        out[i] = kept[i] + kept[(i + 1) % (BOTH)]

    return kernel


def test_a_barrier_orders_shared_memory():
    values = np.arange(2.0 * WARP)
    np.testing.assert_array_equal(
        run(sums_of_neighbours(True), values, zeros()), values + np.roll(values, -1)
    )


def test_a_missing_barrier():
    with pytest.raises(DeviceError, match="read of shared memory where nothing was stored"):
        run(sums_of_neighbours(False), zeros(), zeros())


def test_a_missing_barrier_that_values_do_not_show():
    @cuda.jit
    def kernel(out):
        kept, i = cuda.shared.array(BOTH, np.float64), cuda.threadIdx.x
        kept[i] = 1.0
        cuda.syncthreads()
        out[i] = kept[0]
        kept[i] = 1.0

    with pytest.raises(DeviceError, match="race through shared memory within a block"):
        run(kernel, zeros())


@pytest.mark.parametrize("threads", [(BOTH,), (WARP, 2)])
def test_threads_of_a_block_that_write_the_same(threads):
    @cuda.jit
    def kernel(out):
        out[0] = 1.0

    with pytest.raises(
        DeviceError,
        match="race through global memory within a block, a write over what another wrote",
    ):
        run(kernel, zeros(), threads=threads)


def test_a_race_between_blocks():
    @cuda.jit
    def kernel(values, out):
        i = cuda.grid(1)
        out[i] = values[0]
        if i == WARP:
            values[0] = 2.0

    with pytest.raises(
        DeviceError,
        match="race through global memory between blocks, a write over what another read",
    ):
        run(kernel, zeros(), zeros(), blocks=2, threads=WARP)


def test_neighbours_of_two_bytes_do_not_race():
    @cuda.jit
    def kernel(out):
        out[cuda.grid(1)] = cuda.grid(1)

    assert list(run(kernel, np.zeros(BOTH, np.uint16))) == list(range(BOTH))


def test_a_read_out_of_bounds():
    @cuda.jit
    def kernel(values, out):
        i = cuda.threadIdx.x
        out[i] = values[i + 1]

    with pytest.raises(
        DeviceError, match=r"out of bounds, at byte 512 of an array of 512, by thread \(63, 0, 0\)"
    ):
        run(kernel, zeros(), zeros())


def test_a_write_below_an_array():
    @cuda.jit
    def kernel(out):
        out[np.int64(cuda.threadIdx.x) - np.int64(BOTH + 5)] = 1.0

    with pytest.raises(DeviceError, match="out of bounds"):
        run(kernel, zeros())


def test_part_of_an_array_bounds_a_kernel():
    whole = cuda.to_device(zeros())

    @cuda.jit
    def kernel(out):
        out[cuda.threadIdx.x] = 1.0

    kernel[1, WARP](whole[:WARP])
    with pytest.raises(DeviceError, match="out of bounds"):
        kernel[1, WARP](whole[: WARP - 1])


def test_shared_memory_out_of_bounds():
    @cuda.jit
    def kernel(out):
        kept, i = cuda.shared.array(0, np.float64), cuda.threadIdx.x
        kept[i] = 1.0
        out[i] = kept[i]

    assert run(kernel, zeros(), shared=16 * WARP).all()
    with pytest.raises(DeviceError, match="access to shared memory out of bounds"):
        run(kernel, zeros(), shared=8 * WARP)
    with pytest.raises(DeviceError, match=r"0 \+ 49160 bytes of shared memory"):
        run(kernel, zeros(), shared=48 * 1024 + 8)


def test_more_threads_than_a_block_has():
    @cuda.jit
    def kernel(out):
        out[cuda.threadIdx.x] = 1.0

    with pytest.raises(DeviceError, match=r"a block of \(1056, 1, 1\) threads"):
        run(kernel, zeros(2000), threads=33 * WARP)


def test_memory_where_nothing_was_stored():
    @cuda.jit
    def copy(values, out):
        out[cuda.threadIdx.x] = values[cuda.threadIdx.x]

    @cuda.jit
    def copy_shared(out):
        kept = cuda.shared.array(BOTH, np.float64)
        if cuda.threadIdx.x > 0:
            kept[cuda.threadIdx.x] = 1.0
        cuda.syncthreads()
        out[cuda.threadIdx.x] = kept[cuda.threadIdx.x]

    empty = cuda.device_array(BOTH)
    with pytest.raises(DeviceError, match="read of an array where nothing was stored"):
        copy[1, BOTH](empty, cuda.to_device(zeros()))
    with pytest.raises(
        DeviceError, match=r"read of shared memory where nothing was stored, by thread \(0, 0, 0\)"
    ):
        run(copy_shared, zeros())
    copy[1, WARP](cuda.to_device(zeros()), empty)
    assert not empty[:WARP].copy_to_host().any()
    with pytest.raises(Exception, match="cuMemcpyDtoH"):
        empty.copy_to_host()
    assert DRIVER.take_faults() == ["a copy of 512 bytes, of which 256 were never stored"]


def butterfly(mask, threads):
    """Return a kernel in which so many threads of a warp exchange values."""

    @cuda.jit
    def kernel(out):
        i = cuda.threadIdx.x
        if i < threads:
            out[i] = cuda.shfl_xor_sync(mask, out[i], 1)

    return kernel


def test_exchanges_of_a_warp():
    assert list(run(butterfly(0xFFFFFFFF, WARP), np.arange(32.0), threads=WARP)[:4]) == [1, 0, 3, 2]
    with pytest.raises(DeviceError, match="exchange within a part of a warp"):
        run(butterfly(0xFFFF, 16), zeros(), threads=WARP)
    with pytest.raises(
        DeviceError, match="exchange with threads that are not there, or have ended"
    ):
        run(butterfly(0xFFFFFFFF, 16), zeros(), threads=16)


def test_an_exchange_that_some_threads_never_reach():
    with pytest.raises(DeviceError, match="deadlock: other threads wait elsewhere, or have ended"):
        run(butterfly(0xFFFFFFFF, 16), zeros(), threads=WARP)

    @cuda.jit
    def kernel(out):
        i = cuda.threadIdx.x
        if i < 16:
            out[i] = cuda.shfl_xor_sync(0xFFFFFFFF, out[i], 1)
        else:
            cuda.syncthreads()

    with pytest.raises(DeviceError, match="deadlock"):
        run(kernel, zeros(), threads=WARP)


def test_exchanges_at_different_places():
    @cuda.jit
    def kernel(out):
        i = cuda.threadIdx.x
        if i % 2:
            out[i] = cuda.shfl_xor_sync(0xFFFFFFFF, out[i], 1) + 1
        else:
            out[i] = cuda.shfl_xor_sync(0xFFFFFFFF, out[i], 1) * cuda.shfl_xor_sync(
                0xFFFFFFFF, 3.0, 2
            )

    with pytest.raises(DeviceError, match="threads of a warp exchange at different places"):
        run(kernel, zeros(), threads=WARP)


def test_divergent_barriers():
    @cuda.jit
    def in_a_branch(out):
        if cuda.threadIdx.x < WARP:
            cuda.syncthreads()
            out[cuda.threadIdx.x] = 1.0

    @cuda.jit
    def at_two_places(out):
        if cuda.threadIdx.x < WARP:
            cuda.syncthreads()
            out[cuda.threadIdx.x] = 1.0
        else:
            out[cuda.threadIdx.x] = 2.0
            cuda.syncthreads()

    with pytest.raises(DeviceError, match="divergent barrier: other threads have ended"):
        run(in_a_branch, zeros())
    with pytest.raises(DeviceError, match="divergent barrier: other threads wait at another"):
        run(at_two_places, zeros())


def test_atomic_accesses_race_with_plain_ones_alone():
    @cuda.jit
    def atomic(out):
        cuda.atomic.min(out, 0, cuda.grid(1))

    @cuda.jit
    def mixed(out):
        cuda.atomic.min(out, 0, cuda.grid(1))
        out[1 + cuda.grid(1)] = out[0]

    start = np.full(9 * WARP, 99)
    assert run(atomic, start, blocks=4)[0] == 0
    with pytest.raises(DeviceError, match="race through global memory"):
        run(mixed, start, blocks=4)


def test_an_opcode_without_a_rule():
    @cuda.jit
    def count_up(out):
        cuda.atomic.add(out, 0, 1)

    with pytest.raises(Exception, match="of the PTX device"):
        run(count_up, np.zeros(1, np.int64))
    (fault,) = DRIVER.take_faults()
    assert re.fullmatch(
        r"no rule for the PTX instruction atom\.global\.add\S*, in .*count_up", fault
    )


def run_text(body, values):
    """Run PTX with the address of an array in %rd1, by one thread, and return the array."""
    text = """
    .visible .entry written_by_hand(.param .u64 place)
    {
        .reg .pred %p<4>;
        .reg .b64 %rd<4>;
        ld.param.u64 %rd1, [place];
    """
    kernel, there = Kernel(f"{text}{body} ret; }}"), cuda.to_device(values)
    place = there.device_ctypes_pointer.value
    spans = spans_of([(place, values.shape, values.strides, values.itemsize)], DRIVER.memory)
    kernel.run((1, 1, 1), (1, 1, 1), 0, np.array([place], np.uint64), spans, 0)
    return there.copy_to_host()


def test_an_access_that_is_not_aligned():
    with pytest.raises(DeviceError, match="misaligned access to an array"):
        run_text("ld.global.f64 %rd2, [%rd1+4];", zeros())
    with pytest.raises(
        NotImplementedError, match=r"PTX instruction ld\.volatile\.global\.f64, in written"
    ):
        run_text("ld.volatile.global.f64 %rd2, [%rd1];", zeros())


def test_all_bits_make_a_predicate_true():
    found = run_text(
        """mov.pred %p1, -1;
        not.pred %p2, %p1;
        xor.pred %p2, %p2, %p1;
        xor.pred %p3, %p2, %p1;
        selp.b64 %rd2, 5, 6, %p3;
        @!%p3 st.global.u64 [%rd1], %rd2;
        @%p3 st.global.u64 [%rd1], 7;""",
        np.zeros(1, np.uint64),
    )
    assert found[0] == 6


def test_a_seed_shuffles_threads_and_blocks(monkeypatch):
    @cuda.jit
    def kernel(out):
        out[64 + cuda.grid(1)] = 1.0

    def first_thread(seed):
        monkeypatch.setattr(DRIVER, "seed", seed)
        with pytest.raises(DeviceError) as found:
            run(kernel, zeros(), blocks=4)
        return str(found.value).partition("of the PTX")[0]

    assert "(0, 0, 0) of block (0, 0, 0)" in first_thread(0)
    assert len({first_thread(seed) for seed in range(4)}) == 4
    assert first_thread(3) == first_thread(3)


def fused(a, b, c):
    return float(Fraction(a) * Fraction(b) + Fraction(c))


def test_arithmetic_is_that_of_a_gpu():
    """Products and sums are contracted, and extremes drop NaN."""

    @cuda.jit
    def kernel(values, out):
        a, b, c = values[0], values[1], values[2]
        out[0], out[1], out[2] = a * b + c, min(a, values[3]), max(values[3], a)
        out[3], out[4], out[5] = math.sqrt(c), a / b, np.float64(np.float32(b))
        out[6], out[7] = np.int64(a * 1e300), a**b

    a, b, c = 1 / 3, 3.0 + 2**-40, 7.1
    found = run(kernel, np.array([a, b, c, np.nan]), zeros(8), threads=1)
    expected = [fused(a, b, c), a, a, math.sqrt(c), a / b, float(np.float32(b)), 2.0**63, a**b]
    np.testing.assert_array_equal(found[:7], expected[:7])
    np.testing.assert_allclose(found[7], expected[7], rtol=1e-15)


def test_integers_are_those_of_a_gpu():
    @cuda.jit
    def kernel(values, out):
        a, b = values[0], values[1]
        out[0], out[1], out[2] = a >> b, a << np.int64(70), np.int64(np.uint32(a))
        out[3], out[4] = cuda.popc(a), np.int64(np.uint64(a) // np.uint64(7))

    found = run(kernel, np.array([-5, 1]), np.zeros(5, np.int64), threads=1)
    assert list(found) == [-3, 0, 2**32 - 5, 63, (2**64 - 5) // 7]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
def test_floats_become_short_integers(dtype):
    @cuda.jit
    def kernel(values, out):
        out[cuda.threadIdx.x] = values[cuda.threadIdx.x]

    found = run(kernel, np.array([0.0, 3.7, 255.0, 254.99]), np.zeros(4, dtype), threads=4)
    assert list(found) == [0, 3, 255, 254]


def test_bytes_are_permuted():
    found = run_text(
        """.reg .b32 %r<2>;
        mov.b32 %r1, 0x80706050;
        prmt.b32 %r1, %r1, 0x04030201, 0xF407;
        cvt.u64.u32 %rd2, %r1;
        st.global.u64 [%rd1], %rd2;""",
        np.zeros(1, np.uint64),
    )
    assert hex(found[0]) == "0x15004"


@pytest.mark.parametrize("value", [0.1, 65519.0, 65520.0, 1e-7, np.nan, np.inf])
def test_halves_are_rounded_as_by_numpy(value):
    @cuda.jit
    def kernel(values, out):
        out[0] = values[0]

    found = run(kernel, np.array([value]), np.zeros(1, np.float16), threads=1)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(found, np.array([value]).astype(np.float16))
    back = run(kernel, found, np.zeros(1), threads=1)
    np.testing.assert_array_equal(back, found.astype(float))


def test_grids_of_three_dimensions():
    @cuda.jit
    def kernel(out):
        x, y, z = cuda.blockIdx.x, cuda.blockIdx.y, cuda.blockIdx.z
        out[z, y, x, cuda.threadIdx.y, cuda.threadIdx.x] = (
            x + 10 * y + 100 * z + 1000 * cuda.blockDim.y
        )

    found = run(kernel, np.zeros((2, 3, 4, 2, 8)), blocks=(4, 3, 2), threads=(8, 2))
    assert found[1, 2, 3].tolist() == np.full((2, 8), 2123.0).tolist()


def test_streams_and_events():
    stream, event = cuda.stream(), cuda.event()
    here = cuda.pinned_array(5, np.float64)
    here[:] = 1.5
    there = cuda.to_device(here, stream=stream)
    event.record(stream)
    event.wait(cuda.stream())
    event.synchronize()
    again = cuda.device_array_like(there)
    again.copy_to_device(there, stream=stream)
    stream.synchronize()
    cuda.synchronize()
    assert list(again.copy_to_host(stream=stream)) == [1.5] * 5
    free, total = cuda.current_context().get_memory_info()
    assert 0 < free < total


def test_what_was_compiled_is_kept(monkeypatch, tmp_path):
    from tests.support.ptx_device import build

    monkeypatch.setenv("NUMBA_CAR_PTX_CACHE", str(tmp_path))
    first = build.library("int one(void) { return 1; }")
    assert first == build.library("int one(void) { return 1; }")
    assert [path.name for path in tmp_path.iterdir()] == [first.name]
    others = (
        build.library("int one(void) { return 2; }"),
        build.library("int one(void) { return 1; }", "-O1"),
    )
    assert len({first, *others}) == 3
    with pytest.raises(RuntimeError, match="gcc cannot compile"):
        build.library("int")
    build._stamp.cache_clear()
    monkeypatch.setattr(build, "HEADERS", build.HEADERS[:1])
    assert build.library("int one(void) { return 1; }") != first
    build._stamp.cache_clear()
