"""Every CUDA kernel on rows that are hard, against the oracle.

test_cuda_simulator.py runs this in numba's simulator, test_cuda_gpu.py on a GPU.
"""

import itertools
import math
import os
import sys
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import ml_dtypes
import mpmath
import numpy as np
import pytest

import numba_car as car
from numba_car import kernels
from tests.support import oracle
from tests.support.differences import check_against_differences
from tests.support.oracle import Row
from tests.support.strategies import FAMILIES, family_arrays, slow_row

sys.setswitchinterval(1e-5)  # the simulator polls, which keeps the threads it waits for waiting
cuda = pytest.importorskip("numba.cuda")
POWERS = (0.7, 1.0, 2.0, 4.7, math.inf)
N = 20
IS_GPU = os.environ.get("NUMBA_ENABLE_CUDASIM") != "1"
few_blocks = pytest.mark.filterwarnings("ignore:Grid size")  # numba's, of callers' kernels


def to_host(found):
    return found.copy_to_host()


def rows_of(dtype, p, levels, n=N):
    """A row of each family, with an eps that is a share of what it can reach."""
    levels = itertools.cycle(levels)
    for seed, family in enumerate(sorted(FAMILIES)):
        x, delta = family_arrays(family, (n,), dtype, seed)
        row = Row(x, delta, 0.0, p)
        eps = min(next(levels) * float(oracle.max_norm(row)), float(np.finfo(dtype).max))
        yield replace(row, eps=float(dtype(eps)))


def on_device(rows):
    x, delta = (np.stack([getattr(row, name) for row in rows]) for name in ("x", "delta"))
    return *map(cuda.to_device, (x, delta)), cuda.to_device(np.array([row.eps for row in rows]))


def check(row, found):
    expected = oracle.eta(row)
    if expected == 0:
        assert found == 0
    elif oracle.is_normal(expected, row.dtype):
        assert oracle.norm_error_in_ulps(float(found), row, row.dtype) <= 4, (row, found)
    else:
        info = np.finfo(row.dtype)
        is_large = expected > 1
        assert found >= 0.999 * float(info.max) if is_large else 0 <= found <= 2 * float(info.tiny)


@pytest.mark.parametrize("levels", [(0.3, 0.95), (0.9, 0.5, 1.5)])
@pytest.mark.parametrize("p", POWERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_newton_on_hard_rows(dtype, p, levels):
    rows = list(rows_of(dtype, p, levels))
    found = to_host(car.eta(*on_device(rows), p=p))
    assert found.dtype == dtype
    assert found.shape == (len(rows),) == (len(FAMILIES),)
    for row, eta in zip(rows, found, strict=True):
        check(row, eta)


@pytest.mark.parametrize("p", [0.7, 2.0])
def test_a_row_over_several_warps(p):
    rows = list(rows_of(np.float32, p, (0.8,), n=67))[:4]
    for row, eta in zip(rows, to_host(car.eta(*on_device(rows), p=p)), strict=True):
        check(row, eta)


def keep_nothing_on_chip(monkeypatch, count, n, dtype, blocks=1, larger=1 << 20):
    """Have rows narrowed down, by so many blocks each; from `larger` elements on, sampled twice."""
    from numba_car._cuda import launch, multi_block

    monkeypatch.setattr(launch, "_SHARED", 0)
    monkeypatch.setattr(launch, "_NARROWING", 64)  # as in the simulator, for rows as short as here
    monkeypatch.setattr(launch, "_RESIDENT", blocks * count)
    monkeypatch.setattr(launch, "multiprocessors", lambda: 1)
    monkeypatch.setattr(multi_block, "LARGER", larger)
    monkeypatch.setattr(multi_block, "LARGER_STRIDE", 2)
    assert launch.keeping_teams(count, n, np.dtype(dtype)) is None
    assert launch.narrowing(count, n, np.dtype(dtype)).blocks == blocks


@pytest.mark.parametrize(
    ("blocks", "larger", "dtype", "p"),
    [
        (1, 1 << 20, np.float64, 1.0),
        (1, 1 << 20, np.float32, 2.0),
        (2, 1 << 20, np.float32, 1.0),
        (2, 1 << 20, np.float64, 3.5),
        (3, 50, np.float32, 2.0),
    ],
)
def test_rows_too_long_for_the_chip(monkeypatch, blocks, larger, dtype, p):
    rows = list(rows_of(dtype, p, (0.3, 0.95, 1.5), n=64 * blocks + 5))[blocks % 2 :: 2]
    keep_nothing_on_chip(monkeypatch, len(rows), rows[0].x.size, dtype, blocks, larger)
    for row, eta in zip(rows, to_host(car.eta(*on_device(rows), p=p)), strict=True):
        check(row, eta)


def between_bounds_of_its_own(row, rng):
    """The row with bounds by element, some of them x itself, and an eps that is some way to its R."""
    low, high = (np.round(rng.random(row.x.size), 1).astype(row.dtype) for _ in range(2))
    lower, upper = np.minimum(row.x * low, row.x), np.maximum(row.x, high)
    row = replace(row, lower=lower, upper=upper)
    eps = min(rng.uniform(0.2, 0.9) * float(oracle.max_norm(row)), float(np.finfo(row.dtype).max))
    return replace(row, eps=float(row.dtype.type(eps)))


@pytest.mark.parametrize(
    ("n", "dtype", "p"),
    [(N, np.float32, 2.0), (N, np.float64, 1.0), (N, np.float32, math.inf), (69, np.float32, 3.5)],
)
def test_hard_rows_between_bounds_per_element(monkeypatch, n, dtype, p):
    rng = np.random.default_rng(8)
    rows = [between_bounds_of_its_own(row, rng) for row in rows_of(dtype, p, (1,), n)]
    if n > N:
        rows = rows[::2]
        keep_nothing_on_chip(monkeypatch, len(rows), n, dtype)
    bounds = [np.stack([getattr(row, name) for row in rows]) for name in ("lower", "upper")]
    given, on_gpu = on_device(rows), tuple(map(cuda.to_device, bounds))
    for row, eta in zip(rows, to_host(car.eta(*given, p=p, bounds=on_gpu)), strict=True):
        check(row, eta)
    moved = to_host(car.rescale(*given, p=p, bounds=on_gpu))
    assert ((bounds[0] <= moved) & (moved <= bounds[1])).all()
    expected = car.rescale(*map(to_host, given), p=p, bounds=bounds)
    held = [i for i, row in enumerate(rows) if oracle.is_normal(oracle.eta(row), np.float64)]
    np.testing.assert_allclose(moved[held], expected[held], rtol=8 * np.finfo(dtype).eps)


def test_long_rows_keep_nothing_for_the_maximum_norm(monkeypatch):
    from numba_car._cuda import launch

    rows, teams = list(rows_of(np.float32, math.inf, (0.8,), n=67))[:2], []
    monkeypatch.setattr(launch, "_SHARED", 0)
    run = launch.run
    monkeypatch.setattr(launch, "run", lambda *given: (teams.append(given[1].threads), run(*given)))
    for row, eta in zip(rows, to_host(car.eta(*on_device(rows), p=math.inf)), strict=True):
        check(row, eta)
    assert teams == [launch.threads_of(67)]


def test_longer_rows_take_larger_teams_on_a_gpu(monkeypatch):
    from numba_car._cuda import launch

    monkeypatch.setattr(launch, "IS_SIMULATED", False)
    assert [launch.threads_of(n) for n in (784, 3072, 150528)] == [(32, 4), (128, 1), (256, 1)]


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_rows_built_to_be_slow_are_bisected(p):
    from numba_car._core.verdicts import NEEDS_MORE_DIGITS
    from numba_car._cuda import jit, newton, team

    size = team.SLOTS  # the compiler takes a name for a constant, but no attribute

    @jit.kernel
    def iterate(caps, weights, target, found):
        slots = (cuda.shared.array(size, np.float64),)
        n, terms, like = np.int64(caps.size), (caps, weights, np.int64(0)), np.float64(0)
        verdict = newton.iterate(n, target, 0.0, True, (), 0.0, like, terms, slots)[2]
        found[cuda.threadIdx.x] = verdict

    row = slow_row(p, copies=1)
    found = cuda.to_device(np.zeros(32, np.int64))
    powers = (cuda.to_device(sizes**p) for sizes in (1 - row.x, row.delta))
    iterate[1, 32](*powers, row.eps**p, found)
    assert set(to_host(found)) == {NEEDS_MORE_DIGITS}
    x, delta = (cuda.to_device(values[None]) for values in (row.x, row.delta))
    check(row, to_host(car.eta(x, delta, row.eps, p=p, bounds=row.bounds))[0])


@pytest.mark.parametrize("blocks", [1, 2])
def test_long_rows_built_to_be_slow(monkeypatch, blocks):
    from numba_car._core.verdicts import NEEDS_MORE_DIGITS, PENDING
    from numba_car._cuda import device_memory, launch

    def run(kernel, shape, stream, *arguments):
        if kernel.py_func.__name__ == "solve_rest":
            left.append(device_memory.to_host(arguments[-2], cuda.legacy_default_stream())[0])
        launch_it(kernel, shape, stream, *arguments)

    row, left, launch_it = slow_row(2.0, copies=3), [], launch.run
    keep_nothing_on_chip(monkeypatch, 1, row.x.size, float, blocks)
    monkeypatch.setattr(launch, "run", run)
    x, delta = (cuda.to_device(values[None]) for values in (row.x, row.delta))
    check(row, to_host(car.eta(x, delta, row.eps, p=2.0, bounds=row.bounds))[0])
    assert len(left) == 1
    assert left[0] in (PENDING, NEEDS_MORE_DIGITS)  # narrowing gave up


@pytest.mark.parametrize("blocks", [1, 2])
def test_long_rows_with_nan_or_outside_or_nothing_to_do(monkeypatch, blocks):
    x, delta = np.full((5, 130), 0.5), np.linspace(-1, 1, 650).reshape(5, 130)
    x[1, 77], delta[2, 129], delta[3] = np.nan, np.inf, 0
    eps = np.array([0.5, 0.5, 0.5, 0.5, 0.0])
    keep_nothing_on_chip(monkeypatch, 5, 130, float, blocks)
    found = to_host(car.eta(*map(cuda.to_device, (x, delta, eps))))
    check(Row(x[0], delta[0], 0.5), found[0])
    np.testing.assert_array_equal(found[1:], [np.nan, np.nan, 0, 0])
    x[0, 100] = 1.5
    with pytest.raises(ValueError, match=r"index \(0, 100\)"):
        car.eta(*map(cuda.to_device, (x, delta, eps)))


@pytest.mark.parametrize("blocks", [1, 2])
def test_long_rows_with_nan_or_outside_whose_target_is_out_of_range(monkeypatch, blocks):
    x, delta = np.full((3, 130), 0.5, np.float32), np.ones((3, 130), np.float32)
    x[1, 77], delta[0], delta[2] = np.nan, 0, 0  # to be bisected takes the simulator a minute
    keep_nothing_on_chip(monkeypatch, 3, 130, np.float32, blocks)
    found = to_host(car.eta(*map(cuda.to_device, (x, delta)), 1e300))
    np.testing.assert_array_equal(found, [0, np.nan, 0])
    x[2, 100] = 1.5
    with pytest.raises(ValueError, match=r"index \(2, 100\)"):
        car.eta(*map(cuda.to_device, (x, delta)), 1e300)


@pytest.mark.parametrize("blocks", [1, 2])
def test_narrowing_leaves_no_more_than_it_must(monkeypatch, blocks):
    from numba_car._cuda import solver
    from numba_car._cuda.jit import kernel

    @kernel
    def do_nothing(x, delta, lower, upper, count, n, eps, norm, eta, verdict, first):
        pass

    x, delta = family_arrays("uniform", (2, 150), np.float32)
    keep_nothing_on_chip(monkeypatch, 2, 150, np.float32, blocks)
    monkeypatch.setattr(solver, "rest_kernel", lambda _: do_nothing)
    for i, eta in enumerate(to_host(car.eta(*map(cuda.to_device, (x, delta)), 1.5))):
        check(Row(x[i], delta[i], 1.5), eta)


@pytest.mark.parametrize("p", [0.7, 1.0, 2.0, 4.7])
def test_sort_and_scan(p):
    rows = list(rows_of(np.float64, p, (0.7,), n=11))
    x, delta, eps = on_device(rows)
    for row, eta in zip(rows, to_host(car.eta(x, delta, eps, p=p, method="sort")), strict=True):
        check(row, eta)


def test_sort_and_scan_with_ties_and_without_bounds():
    x, delta = np.full((2, 9), 0.25, np.float32), np.ones((2, 9), np.float32)
    delta[1, ::2] = 0
    for lower, upper in ((0.0, 1.0), (None, 0.5), (0.0, None)):
        rows = [Row(a, b, 0.7, 2.0, lower, upper) for a, b in zip(x, delta, strict=True)]
        found = car.eta(*map(cuda.to_device, (x, delta)), 0.7, bounds=(lower, upper), method="sort")
        for row, eta in zip(rows, to_host(found), strict=True):
            check(row, eta)


@pytest.mark.parametrize("method", ["newton", "sort"])
def test_rows_with_nan_or_inf_lose_their_own_result_only(method):
    x, delta = np.full((5, 7), 0.5), np.full((5, 7), 0.5)
    x[1, 3], delta[2, 6], delta[3, 0] = np.nan, np.inf, -np.nan
    x, delta = cuda.to_device(x), cuda.to_device(delta)
    found = to_host(car.eta(x, delta, 0.5, method=method))
    np.testing.assert_array_equal(np.isnan(found), [False, True, True, True, False])
    assert found[0] == found[4] == pytest.approx(0.5 / (0.5 * math.sqrt(7)))
    moved = to_host(car.rescale(x, delta, 0.5, method=method))
    np.testing.assert_array_equal(np.isnan(moved).all(axis=1), np.isnan(found))
    assert np.isfinite(moved[[0, 4]]).all()


def test_nothing_to_do():
    x, zero = cuda.to_device(np.full((2, 5), 0.5)), cuda.to_device(np.zeros((2, 5)))
    assert list(to_host(car.eta(x, zero, 1.0))) == [0.0, 0.0]
    assert list(to_host(car.eta(x, x, 0.0))) == [0.0, 0.0]
    assert to_host(car.eta(*2 * [cuda.to_device(np.zeros((0, 5)))], 1.0)).shape == (0,)
    assert list(to_host(car.eta(*2 * [cuda.to_device(np.zeros((2, 0)))], 1.0))) == [0.0, 0.0]


def test_rescale_reaches_eps_inside_the_bounds():
    x, delta = family_arrays("lognormal", (3, 33), np.float32)
    moved = to_host(car.rescale(*map(cuda.to_device, (x, delta)), 1.25))
    assert moved.dtype == np.float32
    assert moved.min() >= 0
    assert moved.max() <= 1
    norms = np.linalg.norm(moved.astype(float) - x, axis=1)
    np.testing.assert_allclose(norms, 1.25, rtol=1e-6)


@few_blocks
def test_an_eta_that_float64_does_not_hold():
    @cuda.jit
    def rescale_alone(x, delta, eps, out):
        kernels.rescale(x[0], delta[0], eps, 2.0, 0.0, 1.0, out[0])

    x, delta = np.full((1, 3), 0.5), np.array([[1e-310, 0.0, 0.0]])
    arrays, out = [*map(cuda.to_device, (x, delta))], cuda.to_device(np.zeros((1, 3)))
    for eps, ends in ((1.0, (1.0, 1.0)), (0.3, (0.51, 0.8))):  # saturated, and not
        rescale_alone[1, 1](*arrays, eps, out)
        for found in map(to_host, (car.rescale(*arrays, eps), out)):
            assert ends[0] <= found[0, 0] <= ends[1]
            assert list(found[0, 1:]) == [0.5, 0.5]
        of_delta = to_host(car.rescale_vjp(*arrays, eps, arrays[0]).delta)
        assert np.isfinite(of_delta).all()


def test_rescale_in_place_and_into_the_wrong_array():
    x, delta = family_arrays("uniform", (2, 12), np.float64)
    expected, a, b = car.rescale(x, delta, 0.5), cuda.to_device(x), cuda.to_device(delta)
    assert car.rescale(a, b, 0.5, out=b) is b
    np.testing.assert_allclose(to_host(b), expected, rtol=1e-12)
    with pytest.raises(ValueError, match="out must have the shape"):
        car.rescale(a, b, 0.5, out=cuda.to_device(np.zeros((2, 11))))


def test_bounds_per_element_and_eps_per_row():
    rng = np.random.default_rng(5)
    x, delta = rng.random((3, 17)), rng.standard_normal((3, 17))
    lower, upper, eps = x - rng.random((3, 17)), x + rng.random(17), np.array([0.2, 1.0, 9.0])
    arrays = map(cuda.to_device, (x, delta, eps))
    found = car.eta(*arrays, bounds=(cuda.to_device(lower), cuda.to_device(upper)))
    for i, eta in enumerate(to_host(found)):
        check(Row(x[i], delta[i], eps[i], 2.0, lower[i], upper[i]), eta)


def test_bounds_by_channel_are_kept_once():
    from numba_car._cuda.problem import problem
    from numba_car._options import Options

    rng = np.random.default_rng(6)
    lower, upper = -rng.random((3, 1, 1)), 1 + rng.random((3, 1, 1))
    x, delta = rng.random((4, 3, 2, 5)), rng.standard_normal((4, 3, 2, 5))
    arrays, bounds = map(cuda.to_device, (x, delta)), tuple(map(cuda.to_device, (lower, upper)))
    task = problem(*arrays, 1.5, Options(bounds=bounds))
    assert task.lower[0].size == task.upper[0].size == task.n == 30
    found = to_host(car.rescale(*map(cuda.to_device, (x, delta)), 1.5, bounds=bounds))
    expected = car.rescale(x, delta, 1.5, bounds=(lower, upper))
    np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_one_number_in_device_memory():
    x, delta = family_arrays("uniform", (2, 9), np.float32)
    one, half = cuda.to_device(np.ones(1)), cuda.to_device(np.full((1, 1), 0.5))
    found = to_host(car.eta(*map(cuda.to_device, (x, delta)), half, bounds=(0.0, one)))
    for i, eta in enumerate(found):
        check(Row(x[i], delta[i], 0.5), eta)


def turned(array):
    """Reverse the axes, of which numba's arrays on a GPU reverse two only."""
    if not IS_GPU:
        return array.transpose()
    said = {"shape": array.shape[::-1], "strides": array.strides[::-1]}
    said = {**array.__cuda_array_interface__, **said}
    return cuda.as_cuda_array(SimpleNamespace(__cuda_array_interface__=said, owner=array))


def test_any_layout():
    rng = np.random.default_rng(6)
    x, delta = rng.random((4, 3, 5)), rng.standard_normal((4, 3, 5))
    arrays = cuda.to_device(x), cuda.to_device(delta)
    found = to_host(car.eta(*arrays, 0.4, axis=(0, 2)))
    np.testing.assert_allclose(found, car.eta(x, delta, 0.4, axis=(0, 2)), rtol=1e-13)
    found = to_host(car.rescale(*map(turned, arrays), 0.4, keepdims=True))
    np.testing.assert_allclose(found, car.rescale(x.T, delta.T, 0.4), rtol=1e-13)
    row = to_host(car.eta(arrays[0], cuda.to_device(delta[:1]), 0.4, keepdims=True))
    np.testing.assert_allclose(row, car.eta(x, delta[:1], 0.4, keepdims=True), rtol=1e-13)


def test_misaligned_memory():
    from numba_car._cuda import copies, device_memory

    values = np.linspace(0, 1, 10)
    raw = cuda.to_device(np.concatenate([np.zeros(1, np.uint8), values.view(np.uint8)]))
    view = device_memory.view_of(raw)
    shifted = device_memory.View(view.pointer + 1, (2, 5), (40, 8), np.dtype(float), raw)
    found = copies.packed(shifted, np.dtype(float), cuda.legacy_default_stream())
    assert list(device_memory.to_host(found, cuda.legacy_default_stream())) == list(values)


def shifted(values):
    """Copy to memory that is not aligned."""
    raw = cuda.to_device(np.concatenate([np.zeros(1, np.uint8), values.reshape(-1).view(np.uint8)]))
    return raw[1:].view(values.dtype).reshape(values.shape)


def test_misaligned_arrays():
    if IS_GPU:
        pytest.skip("numba's arrays on a GPU do not take another dtype from within")
    x, delta = family_arrays("uniform", (2, 9), np.float32)
    given = [shifted(a) for a in (x, delta, np.full(1, 0.4))]
    bounds = shifted(np.zeros(1)), shifted(np.ones(9, np.float32))
    assert all(a.__array_interface__["data"][0] % 4 for a in (*given, *bounds))
    np.testing.assert_allclose(
        to_host(car.eta(*given, bounds=bounds)), car.eta(x, delta, 0.4), rtol=1e-6
    )


def test_solve_and_max_norm():
    x, delta = family_arrays("uniform", (3, 21), np.float32)
    eps = np.array([0.5, 1.0, 50.0])
    arrays = cuda.to_device(x), cuda.to_device(delta)
    found = car.solve(*arrays, cuda.to_device(eps))
    eta, norm, max_norm, saturated = map(to_host, found)
    assert list(saturated) == [False, False, True]
    np.testing.assert_array_equal(to_host(car.max_norm(*arrays)), max_norm)
    for i in range(3):
        row = Row(x[i], delta[i], eps[i])
        check(row, eta[i])
        assert oracle.error_in_ulps(float(norm[i]), oracle.target(row), np.float32) <= 4
        assert oracle.error_in_ulps(float(max_norm[i]), oracle.max_norm(row), np.float32) <= 1


@pytest.mark.parametrize("share", [0.35, 0.6, 0.95])
def test_long_rows_of_equal_terms(share):
    x, delta = np.full(1280, 1 - share), np.full(1280, share)  # which err alike when added up
    x[0], delta[0] = 0.0, 1.0  # and the units are others
    eps = 0.5 * float(oracle.max_norm(Row(x, delta, 1.0, 1.0)))
    row, given = Row(x, delta, eps, 1.0), [cuda.to_device(a[np.newaxis]) for a in (x, delta)]
    eta, max_norm = car.eta(*given, eps, p=1), car.max_norm(*given, p=1)
    assert oracle.norm_error_in_ulps(float(to_host(eta)[0]), row, np.float64) <= 1
    assert oracle.error_in_ulps(float(to_host(max_norm)[0]), oracle.max_norm(row), np.float64) <= 1


@pytest.mark.parametrize("p", [1.0, 3.3, math.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_solve_with_bounds_per_element(dtype, p):
    rng = np.random.default_rng(16)
    x, delta = rng.random((3, 17)).astype(dtype), rng.standard_normal((3, 17)).astype(dtype)
    lower, upper = x - rng.random((3, 17)).astype(dtype), 1 + rng.random(17).astype(dtype)
    eps = np.array([0.3, 0.8, 1.5]) * car.max_norm(x, delta, p=p, bounds=(lower, upper))
    arrays = [*map(cuda.to_device, (x, delta, eps, lower, upper))]
    rtol = 16 * float(np.finfo(dtype).eps)
    expected = car.solve(x, delta, eps, p=p, bounds=(lower, upper))
    found = car.solve(*arrays[:3], p=p, bounds=arrays[3:])
    for ours, theirs in zip(found, expected, strict=True):
        assert to_host(ours).dtype == theirs.dtype
        np.testing.assert_allclose(to_host(ours), theirs, rtol=rtol)
    if p < math.inf:
        found = car.eta(*arrays[:3], p=p, bounds=arrays[3:], method="sort")
        np.testing.assert_allclose(to_host(found), expected.eta, rtol=rtol)


def test_rows_out_of_reach():
    x, delta = family_arrays("uniform", (3, 9), np.float64)
    arrays = *map(cuda.to_device, (x, delta)), cuda.to_device(np.array([0.1, 99.0, 0.1]))
    assert list(np.isnan(to_host(car.eta(*arrays, infeasible="nan")))) == [False, True, False]
    with pytest.raises(ValueError, match=r"1 of 3 rows.*index \(1,\): eps 99.0"):
        car.eta(*arrays, infeasible="raise")


def test_errors_are_those_of_the_cpu():
    x, delta = cuda.to_device(np.full((2, 3), 0.5)), cuda.to_device(np.ones((2, 3)))
    with pytest.raises(ValueError, match="6 of 6 elements do not, the first at index"):
        car.eta(x, delta, 1.0, bounds=(0.6, 1.0))
    with pytest.raises(ValueError, match="lower <= upper"):
        car.eta(x, delta, 1.0, bounds=(cuda.to_device(np.full(3, 2.0)), 1.0))
    with pytest.raises(ValueError, match=r"eps must be finite and not negative, found -1.0"):
        car.eta(x, delta, cuda.to_device(np.array([1.0, -1.0])))
    with pytest.raises(ValueError, match="do not broadcast"):
        car.eta(x, cuda.to_device(np.ones((2, 4))), 1.0)
    with pytest.raises(TypeError, match="one library"):
        car.eta(x, np.ones((2, 3)), 1.0)


def gradient_row(p, level, seed):
    rng = np.random.default_rng(seed)
    x, delta = rng.random(8), rng.standard_normal(8)
    delta[4] = 0
    row = Row(x, delta, 1.0, p, -0.1 * rng.random(8), 1 + rng.random(8))
    return replace(row, eps=level * float(oracle.max_norm(row)))


@pytest.mark.parametrize("level", [0.4, 0.9, 1.7])
@pytest.mark.parametrize("p", POWERS)
def test_gradients_against_differences(p, level):
    row = gradient_row(p, level, seed=3)
    x, delta, lower, upper = map(cuda.to_device, (row.x, row.delta, row.lower, row.upper))
    upstream = np.random.default_rng(2).standard_normal(8)

    def moved(row):
        with mpmath.workprec(oracle.BITS):
            return float(
                upstream @ np.clip(row.x + float(oracle.eta(row)) * row.delta, row.lower, row.upper)
            )

    options = {"p": p, "bounds": (lower, upper)}
    found = car.eta_vjp(x, delta, row.eps, 0.7, **options)
    found = car.Gradients(*map(to_host, found))
    check_against_differences(found, lambda row: 0.7 * float(oracle.eta(row)), row)
    found = car.rescale_vjp(x, delta, row.eps, cuda.to_device(upstream), **options)
    check_against_differences(car.Gradients(*map(to_host, found)), moved, row)


def test_gradients_of_numbers_are_sums_over_rows():
    rng = np.random.default_rng(8)
    x, delta, g = rng.random((3, 40)), rng.standard_normal((3, 40)), rng.standard_normal((3, 40))
    x[1, 1] = np.nan
    for rows in ([0, 2], [0, 1, 2]):
        arrays = x[rows], delta[rows], g[rows]
        a, b, c = map(cuda.to_device, arrays)
        found = car.rescale_vjp(a, b, 0.9, c, bounds=(None, 1.0))
        expected = car.rescale_vjp(*arrays[:2], 0.9, arrays[2], bounds=(None, 1.0))
        assert found.lower is None
        for name in ("x", "delta", "eps", "upper"):
            theirs = getattr(expected, name)
            np.testing.assert_allclose(
                to_host(getattr(found, name)), theirs, rtol=1e-10, atol=1e-12
            )


def compare(found, expected, **options):
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            on_host = to_host(ours)
            assert (on_host.shape, on_host.dtype) == (np.shape(theirs), np.asarray(theirs).dtype)
            np.testing.assert_allclose(on_host, theirs, rtol=1e-9, atol=1e-11, **options)


@pytest.mark.parametrize(
    ("x", "delta", "eps", "bounds", "axis"),
    [
        ((2, 1), (2, 2, 5), (1, 2), ((2, 1, 1), (5,)), -1),
        ((2, 3, 4), (1, 3, 1), (3,), ((1, 1, 1), (2, 3, 4)), (0, 2)),
        ((2, 1), (2, 67), (2,), (None, (67,)), None),
        ((1,), (5,), (), (None, (1,)), None),
    ],
)
def test_gradients_of_what_was_broadcast(x, delta, eps, bounds, axis):
    rng = np.random.default_rng(9)
    shape = np.broadcast_shapes(x, delta)
    x, delta = rng.random(x), rng.standard_normal(delta)
    eps = 0.3 + rng.random(eps)
    lower, upper = bounds
    bounds = (None if lower is None else -0.2 * rng.random(lower), 1 + 0.2 * rng.random(upper))
    g = rng.standard_normal(shape)
    expected = car.rescale_vjp(x, delta, eps, g, bounds=bounds, axis=axis)
    given = *map(cuda.to_device, (x, delta)), cuda.to_device(np.asarray(eps)), cuda.to_device(g)
    options = {"bounds": [None if b is None else cuda.to_device(b) for b in bounds], "axis": axis}
    found = car.rescale_vjp(*given, **options)
    compare(found, expected)
    for first, second in zip(found, car.rescale_vjp(*given, **options), strict=True):
        assert first is None or to_host(first).tobytes() == to_host(second).tobytes()


@pytest.mark.parametrize("p", POWERS)
def test_tangents(p):
    rng = np.random.default_rng(10)
    x, (delta, of_x, of_delta), of_eps = (
        rng.random((4, 5)),
        rng.random((3, 4, 5)) - 0.5,
        rng.random(4),
    )
    eps = np.array([0, 0.4, 1.7, 0.4]) * car.max_norm(x, delta, p=p)
    delta[0, 0], x[3, 1] = 0, np.nan
    tangents = of_x, of_delta, of_eps
    arrays, on_device = (
        [cuda.to_device(a) for a in given] for given in ((x, delta, eps), tangents)
    )
    expected = car.rescale_jvp(x, delta, eps, *tangents, p=p)
    compare([car.rescale_jvp(*arrays, *on_device, p=p)], [expected])
    expected = car.eta_jvp(x, delta, eps, None, of_delta[:1], p=p, keepdims=True)
    found = car.eta_jvp(*arrays, None, cuda.to_device(of_delta[:1]), p=p, keepdims=True)
    compare([found], [expected])


@pytest.mark.parametrize(
    ("p", "name"), [(2.0, "rescale_vjp"), (1.0, "eta_vjp"), (3.3, "eta_vjp"), (math.inf, "eta_vjp")]
)
def test_gradients_of_float32_and_of_nothing_to_do(p, name):
    rng = np.random.default_rng(17)
    x, (delta, g) = rng.random((4, 12), "f4"), rng.standard_normal((2, 4, 12), "f4")
    x[2, 5], delta[3] = np.nan, 0
    given = x, delta, np.array([0.4, 0.0, 0.4, 0.4])
    arrays = [*map(cuda.to_device, given)]
    function, upstream = getattr(car, name), g if name == "rescale_vjp" else g[:, 0].copy()
    expected = function(*given, upstream, p=p)
    found = function(*arrays, cuda.to_device(upstream), p=p)
    for ours, theirs in zip(found[:3], expected[:3], strict=True):
        np.testing.assert_allclose(to_host(ours), theirs, rtol=1e-4, atol=1e-5)


def test_what_is_nan_upstream_stays_so():
    """The GPU's min and max drop NaN."""
    x, delta, eps = np.full((2, 3), 0.5), np.ones((2, 3)), np.full(2, 0.25)
    given, upstream = (x, delta, eps), np.array([[1.0, 1.0, 1.0], [1.0, np.nan, 1.0]])
    arrays, on_device = [*map(cuda.to_device, given)], cuda.to_device(upstream)
    expected = car.rescale_vjp(*given, upstream)[:3]
    assert [int(np.isnan(values).sum()) for values in expected] == [1, 3, 1]
    compare(car.rescale_vjp(*arrays, on_device)[:3], expected)
    expected = car.rescale_jvp(*given, None, upstream)
    assert np.isnan(expected).sum() == 3
    compare([car.rescale_jvp(*arrays, None, on_device)], [expected])


def test_tangents_along_the_first_axis():
    rng = np.random.default_rng(12)
    x, delta, of_x = rng.random((5, 3)), rng.standard_normal((5, 3)), rng.random((5, 1))
    arrays = map(cuda.to_device, (x, delta))
    expected = car.rescale_jvp(x, delta, 0.4, of_x, tangent_eps=0.5, axis=0)
    found = car.rescale_jvp(*arrays, 0.4, cuda.to_device(of_x), tangent_eps=0.5, axis=0)
    compare([found], [expected])


def test_rows_along_any_axes():
    rng = np.random.default_rng(11)
    x, delta = rng.random((4, 3, 5)), rng.standard_normal((4, 3, 5))
    arrays = cuda.to_device(x), cuda.to_device(delta)
    for axis in (1, (0, 2)):
        found = to_host(car.rescale(*arrays, 0.4, axis=axis))
        np.testing.assert_allclose(found, car.rescale(x, delta, 0.4, axis=axis), rtol=1e-13)


def as_brain(values):
    """Round to bfloat16, which numba has no arrays of: as two bytes each, as PyTorch names it."""
    return cuda.to_device(np.asarray(values).astype(ml_dtypes.bfloat16).view("V2"))


def from_brain(found):
    return to_host(found).view(ml_dtypes.bfloat16).astype(np.float32)


def test_bfloat16_rounds_to_nearest_even():
    from numba_car._core import bfloat16
    from numba_car._jit import interpreted

    narrow, widen = (interpreted(f, {}) for f in (bfloat16.narrow, bfloat16.widen))
    values = np.random.default_rng(13).integers(0, 2**32, 2000, np.uint32)
    values[:4] = 0x7F800000, 0xFF800000, 0x3F808000, 0x3F818000  # infinite, and halfway between
    for value in values.view(np.float32):
        expected = np.float32(value).astype(ml_dtypes.bfloat16)
        if not np.isnan(value):
            assert narrow(value) == expected.view(np.uint16)
        np.testing.assert_equal(widen(narrow(value)), np.float32(expected))


@pytest.mark.parametrize("p", [1.0, 2.0, 3.3, math.inf])
def test_bfloat16(p):
    rng = np.random.default_rng(14)
    x, delta = rng.random((2, 3, 7)), rng.standard_normal((2, 3, 7))
    brain = as_brain(x), as_brain(delta)
    x, delta = map(from_brain, brain)
    eps = 0.5 * float(car.max_norm(x, delta, p=p).min())
    found = car.rescale(*brain, eps, p=p)
    assert to_host(found).dtype == np.dtype("V2")
    expected = car.rescale(x, delta, eps, p=p).astype(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_allclose(from_brain(found), expected, rtol=2**-7)
    found, expected = car.solve(*brain, eps, p=p), car.solve(x, delta, eps, p=p)
    np.testing.assert_allclose(from_brain(found.eta), expected.eta, rtol=2**-8)
    np.testing.assert_allclose(from_brain(found.max_norm), expected.max_norm, rtol=2**-8)
    np.testing.assert_array_equal(to_host(found.saturated), expected.saturated)


def test_bfloat16_among_others():
    rng = np.random.default_rng(15)
    x, delta, g = rng.random((2, 9)), rng.standard_normal((2, 9)), rng.standard_normal((2, 9))
    brain, upper = as_brain(x), 1 + rng.random(9)
    exact = from_brain(brain)
    found = car.eta(brain, cuda.to_device(delta), 0.4)
    compare([found], [car.eta(exact.astype(float), delta, 0.4)])
    given = brain, as_brain(delta), 0.4, as_brain(g)
    found = car.rescale_vjp(*given, axis=0, bounds=(0.0, cuda.to_device(upper)))
    bounds = 0.0, from_brain(as_brain(upper))
    given = exact, from_brain(given[1]), 0.4, from_brain(given[3])
    expected = car.rescale_vjp(*given, axis=0, bounds=bounds)
    for name in ("x", "delta", "eps", "upper"):
        ours = from_brain(getattr(found, name))
        np.testing.assert_allclose(ours, getattr(expected, name), rtol=2**-7, atol=1e-6)
    with pytest.raises(ValueError, match="elements do not"):
        car.eta(brain, brain, 0.4, bounds=(0.5, 1.0))


def test_results_are_the_same_from_run_to_run():
    arrays = (*on_device(list(rows_of(np.float32, 2.0, (0.5,)))),)
    first, second = (to_host(car.eta(*arrays)) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_the_butterfly():
    """The simulator has a faster one of its own, see `_cuda.team`."""
    from numba_car._cuda import jit, team

    across_warp = team.butterfly(team._plus)

    @jit.kernel
    def sums(values, found):
        found[cuda.threadIdx.x] = across_warp(values[cuda.threadIdx.x])

    values, found = (cuda.to_device(np.arange(32.0) ** 2 / 7 * k) for k in (1, 0))
    sums[1, 32](values, found)
    assert len(set(to_host(found))) == 1
    assert to_host(found)[0] == pytest.approx(sum(i**2 for i in range(32)) / 7)


@few_blocks
@pytest.mark.parametrize("p", POWERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_thread_a_row(dtype, p):
    @cuda.jit
    def rescale_all(x, delta, eps, p, out, found):
        r = cuda.grid(1)
        if r < found.size:
            found[r] = kernels.rescale(x[r], delta[r], eps[r], p, 0.0, 1.0, out[r])

    rows = list(rows_of(dtype, p, (0.3, 0.9, 1.5)))
    x, delta, eps = on_device(rows)
    out, found = cuda.device_array_like(x), cuda.to_device(np.zeros(len(rows)))
    rescale_all[1, 32](x, delta, eps, p, out, found)
    for row, eta, moved in zip(rows, to_host(found), to_host(out), strict=True):
        check(row, min(eta, float(np.finfo(dtype).max)))
        with np.errstate(all="ignore"):
            x, delta = row.x.astype(float), row.delta.astype(float)
            plain, fused = x + eta * delta, sums_rounded_once(x, eta, delta)
            plain, fused = (
                np.clip(np.where(delta == 0, x, y), 0, 1).astype(dtype) for y in (plain, fused)
            )
        np.testing.assert_array_equal(moved, np.where(moved == fused, fused, plain))


def sums_rounded_once(x, eta, delta):
    """Return x + eta*delta as a GPU has it, whose compiler contracts a product and a sum."""
    products = (Fraction(eta) * Fraction(d) if np.isfinite(eta * d) else None for d in delta)
    return np.array(
        [
            np.nan if product is None or not math.isfinite(a) else float(Fraction(a) + product)
            for a, product in zip(x, products, strict=True)
        ]
    )


@few_blocks
@pytest.mark.parametrize("p", POWERS)
def test_kernels_with_bounds_per_element(p):
    @cuda.jit
    def solve_all(x, delta, eps, p, lower, upper, g, results, out_x, out_delta):
        r = cuda.grid(1)
        if r < x.shape[0]:
            eta = kernels.eta(x[r], delta[r], eps, p, lower[r], upper)
            results[r, 0], results[r, 1] = eta, kernels.max_norm(x[r], delta[r], p, lower[r], 1.0)
            results[r, 2] = kernels.backward(
                x[r], delta[r], eps, p, lower[r], upper, eta, g[r], 0.5, out_x[r], out_delta[r]
            )

    rng = np.random.default_rng(3)
    x, delta, g = rng.random((4, 9)), rng.standard_normal((4, 9)), rng.standard_normal((4, 9))
    x[1, 4], lower, upper = np.nan, x - rng.random((4, 9)), 1 + rng.random(9)
    lower[1] = 0
    found = np.zeros((4, 3)), np.zeros((4, 9)), np.zeros((4, 9))
    arrays = [*map(cuda.to_device, (x, delta, lower, upper, g, *found))]
    solve_all[1, 32](*arrays[:2], 0.4, p, *arrays[2:])
    (eta, reachable, of_eps), of_x, of_delta = to_host(arrays[5]).T, *map(to_host, arrays[6:])
    options = {"p": p, "bounds": (lower, upper)}
    np.testing.assert_allclose(eta, car.eta(x, delta, 0.4, **options), rtol=1e-13)
    expected = car.max_norm(x, delta, p=p, bounds=(lower, 1.0))
    np.testing.assert_allclose(reachable, expected, rtol=1e-13)
    first = car.rescale_vjp(x, delta, np.full(4, 0.4), g, **options)
    second = car.eta_vjp(x, delta, np.full(4, 0.4), 0.5, **options)
    for name, ours in (("x", of_x), ("delta", of_delta), ("eps", of_eps)):
        theirs = getattr(first, name) + getattr(second, name)
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-12)
        assert list(np.isnan(ours.reshape(4, -1)).all(axis=1)) == [False, True, False, False]


@few_blocks
def test_kernels_with_arrays_of_other_lengths():
    @cuda.jit
    def solve(x, longer, found, out):
        found[0] = kernels.eta(x, longer, 0.1, 2.0, 0.0, 1.0)
        found[1] = kernels.eta(x, x, 0.1, 2.0, longer, 1.0)
        found[2] = kernels.rescale(x, x, 0.1, 2.0, 0.0, 1.0, longer)
        found[3] = kernels.max_norm(x, x, 2.0, 0.0, longer)
        found[4] = kernels.backward(x, x, 0.1, 2.0, 0.0, 1.0, 0.1, 0.0, 1.0, longer, out)

    x, longer, found, out = (cuda.to_device(np.full(n, 0.5)) for n in (3, 4, 5, 3))
    solve[1, 1](x, longer, found, out)
    assert np.isnan(to_host(found)).all()
    assert np.isnan(to_host(out)).all()
    assert (to_host(longer)[3:] == 0.5).all()


class Exported:
    """An array that has nothing but DLPack: NumPy's memory, which stands for a device's."""

    def __init__(self, array, number=0):
        self.array, self.number = array, number

    def __dlpack__(self, **_):
        return self.array.__dlpack__()

    def __dlpack_device__(self):
        return 2, self.number


def test_arrays_that_have_dlpack_alone():
    if IS_GPU:
        pytest.skip("memory of the host stands for a GPU's in the simulator only")
    rng = np.random.default_rng(1)
    x, delta = rng.random((6, 4)).T, rng.standard_normal((4, 6))
    found = car.rescale(Exported(x), Exported(delta), 0.3)
    assert type(found).__module__.startswith("numba.cuda")
    np.testing.assert_allclose(to_host(found), car.rescale(x, delta, 0.3), rtol=1e-13)
    with pytest.raises(ValueError, match="x must lie within its bounds"):
        car.eta(Exported(x + 2), Exported(delta), 0.3)
    with pytest.raises(TypeError, match="one library"):
        car.eta(Exported(x), delta, 0.3)
    with pytest.raises(TypeError, match=r"one device, found them on \[0, 1\]"):
        car.eta(Exported(x), Exported(delta, 1), 0.3)


@pytest.fixture
def small_chunks(monkeypatch):
    from numba_car._cuda import staging

    monkeypatch.setattr(staging, "_CHUNK", 2 * 24 * 4)  # two rows of float32
    monkeypatch.setattr(staging, "free_memory", lambda: 1e9)
    return monkeypatch


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_host_arrays_in_chunks(dtype, small_chunks):
    from numba_car import cuda as on_gpu

    rng = np.random.default_rng(9)
    x, delta = rng.random((5, 4, 6)).astype(dtype), rng.standard_normal((5, 4, 6)).astype(dtype)
    lower, eps = x - rng.random((5, 4, 6)).astype(dtype), rng.random(5)
    close = {"rtol": 4 * np.finfo(dtype).eps, "atol": 2 * np.finfo(dtype).eps}
    for given, options in (
        ((x, delta, eps), {"p": 3.3}),
        ((x, delta, eps), {"bounds": (lower, None), "keepdims": True}),
        ((x, delta[:, :1], 0.3), {"axis": (0, 2), "p": np.inf}),
        ((x.T, delta.T[::-1], 0.3), {"method": "sort"}),
        ((x[:, 0, 0], delta[:, 0, 0], 9.0), {"infeasible": "nan"}),
    ):
        found = on_gpu.rescale(*given, **options)
        expected = car.rescale(*given, **options)
        assert (type(found), found.dtype, found.shape) == (np.ndarray, x.dtype, expected.shape)
        np.testing.assert_allclose(found, expected, **close)
        for ours, theirs in zip(
            (on_gpu.eta(*given, **options), *on_gpu.solve(*given, **options)),
            (car.eta(*given, **options), *car.solve(*given, **options)),
            strict=True,
        ):
            assert type(ours) is type(theirs)
            assert ours.dtype == theirs.dtype
            np.testing.assert_allclose(ours, theirs, **close)
    np.testing.assert_allclose(on_gpu.max_norm(x, delta), car.max_norm(x, delta), **close)


def test_errors_of_host_arrays_name_the_row_in_all_of_them(small_chunks):
    from numba_car import cuda as on_gpu

    x, delta, out = np.full((7, 24), 0.5), np.ones((7, 24)), np.full((7, 24), 9.0)
    x[5, 3] = 1.5
    for function in (on_gpu.rescale, car.rescale):
        with pytest.raises(ValueError, match=r"1 of 168 elements do not, the first at .*\(5, 3\)"):
            function(x, delta, 1.0, out=out)
    assert (out == 9).all()
    x[5, 3] = 0.5
    eps = np.array([1, 1, 1, 1, 99.0, 1, 99.0])
    with pytest.raises(ValueError, match=r"2 of 7 rows.*index \(4,\): eps 99.0"):
        on_gpu.eta(x, delta, eps, infeasible="raise")
    assert on_gpu.rescale(x, delta, 1.0, out=x) is x
    np.testing.assert_allclose(np.linalg.norm(x - 0.5, axis=1), 1.0)
    with pytest.raises(ValueError, match="out must have the shape"):
        on_gpu.rescale(x, delta, 1.0, out=out[1:])
    with pytest.raises(TypeError, match="NumPy arrays"):
        on_gpu.eta(cuda.to_device(x), cuda.to_device(x), 1.0)
    small_chunks.setattr("numba_car._cuda.staging.free_memory", lambda: 900.0)
    with pytest.raises(MemoryError, match=r"a row of 24 elements takes .* bytes on the device"):
        on_gpu.eta(x, delta, 1.0)


@pytest.mark.parametrize("shape", [(0, 5), (3, 0)])
def test_no_host_arrays_to_speak_of(shape):
    from numba_car import cuda as on_gpu

    x = np.zeros(shape)
    for name in ("eta", "rescale", "solve"):
        found, expected = (getattr(m, name)(x, x, 1.0) for m in (on_gpu, car))
        np.testing.assert_equal(found, expected)
    np.testing.assert_equal(on_gpu.max_norm(x, x), car.max_norm(x, x))


@pytest.mark.parametrize("round_", [False, True], ids=["floats", "integers"])
def test_files(tmp_path, small_chunks, round_):
    from numba_car import offline

    rng = np.random.default_rng(4)
    np.save(tmp_path / "x.npy", rng.integers(0, 256, (7, 24), np.uint8))
    options = {"eps": 0.5, "noise": "gaussian", "eta_out": tmp_path / "eta.npy", "round": round_}
    moved = {}
    for device in ("cpu", "cuda"):
        out = tmp_path / f"{device}.npy"
        report = offline.rescale(
            tmp_path / "x.npy", out=out, device=device, force=True, num_threads=1, **options
        )
        assert report["parameters"]["device"] == device
        assert report["norm"]["mean"] == pytest.approx(0.5, rel=1e-2 if round_ else 1e-6)
        moved[device] = np.load(out), np.load(tmp_path / "eta.npy")
    for ours, theirs in zip(moved["cuda"], moved["cpu"], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_the_whole_array_is_one_row():
    from numba_car import cuda as on_gpu

    x, delta = family_arrays("cauchy", (3, 2, 4), np.float32)
    expected = car.eta(x.reshape(1, -1), delta.reshape(1, -1), 0.5)[0]
    found = to_host(car.eta(cuda.to_device(x), cuda.to_device(delta), 0.5, axis="all"))
    assert found.shape == ()
    for one in (found, on_gpu.eta(x, delta, 0.5, axis="all"), on_gpu.eta(x, delta, 0.5, dim="all")):
        np.testing.assert_allclose(one, expected, rtol=1e-6)
    assert on_gpu.max_norm(x, delta, dim=(0, 1, 2), keepdims=True).shape == (1, 1, 1)
