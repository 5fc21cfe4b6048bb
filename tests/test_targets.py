"""`car.relative_eps` and `car.eps_for_snr`: norms of x by exact arithmetic, and ratios that results reach."""

import math

import numpy as np
import pytest

import numba_car as car

RNG = np.random.default_rng(0)


def exact_norm(row, p):
    """The norm of a row whose squares are exact: integers, or float32."""
    sizes = [abs(float(value)) for value in row.ravel()]
    if p == np.inf:
        return max(sizes)
    return math.sqrt(math.fsum(v * v for v in sizes)) if p == 2 else math.fsum(sizes)


@pytest.mark.parametrize("p", [1, 2, np.inf])
def test_norms_are_exact(p):
    pcm = RNG.integers(-32768, 32768, (3, 2, 20_000), dtype=np.int16)
    expected = [exact_norm(clip, p) for clip in pcm]
    np.testing.assert_array_equal(car.relative_eps(pcm, 1, p=p), expected)
    single = RNG.standard_normal((40, 777), dtype=np.float32)
    found = car.relative_eps(single, 1, p=p)
    assert found.dtype == np.float64
    np.testing.assert_array_max_ulp(found, np.array([exact_norm(row, p) for row in single]), 1)
    half = single.astype(np.float16)
    expected = [exact_norm(row, p) for row in half]
    np.testing.assert_array_max_ulp(car.relative_eps(half, 1, p=p), np.array(expected), 1)


@pytest.mark.parametrize("threads", [1, 3])
def test_rows_and_sweeps(threads):
    x = RNG.standard_normal((2, 5, 7))
    eps = car.relative_eps(x, [0.5, 0.25], num_threads=threads)
    np.testing.assert_allclose(eps, np.linalg.norm(x.reshape(2, -1), axis=1) * [0.5, 0.25])
    sweep = car.eps_for_snr(x, [[0.0], [20.0], [np.inf]], axis=(1, 2))
    np.testing.assert_array_equal(sweep[0] * [[1], [0.1], [0]], sweep)
    by_channel = car.relative_eps(x, 2, axis=-1)
    np.testing.assert_allclose(by_channel, 2 * np.linalg.norm(x, axis=-1), rtol=1e-15)


@pytest.mark.parametrize("snr", [-6.0, 10.0, 40.0])
def test_the_ratio_of_pcm_after_rounding(snr):
    loud = RNG.integers(-3000, 3000, (2, 2, 4000), dtype=np.int16)
    clips = np.stack([loud[0], loud[1] // 100])  # the second is quiet
    eps = car.eps_for_snr(clips, snr, axis=(1, 2))
    delta = car.noise(clips.shape)
    v = car.rescale(clips, delta, eps, bounds=(-32768, 32767), step=1)
    assert v.dtype == np.int16
    for clip, noisy in zip(clips.astype(int), v.astype(int), strict=True):
        found = 10 * math.log10((clip**2).sum() / ((noisy - clip) ** 2).sum())
        assert found == pytest.approx(snr, abs=0.01)


def test_rows_without_a_norm():
    x = np.array([[0.0, 0.0], [np.nan, 1.0], [3.0, 4.0]])
    np.testing.assert_array_equal(car.eps_for_snr(x, 0.0), [0.0, np.nan, 5.0])
    assert car.eps_for_snr(x[2], 20.0) == 0.5


def test_other_libraries():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    x = torch.tensor([[3.0, 4.0], [0.6, 0.8]], requires_grad=True)
    eps = car.eps_for_snr(x, torch.tensor([0.0, 20.0]))
    torch.testing.assert_close(eps, torch.tensor([5.0, 0.1]))
    (gradient,) = torch.autograd.grad(eps.sum(), x)
    torch.testing.assert_close(gradient, torch.tensor([[0.6, 0.8], [0.06, 0.08]]))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: car.relative_eps(np.ones((2, 2)), -0.5), ValueError, "share must be finite.*-0.5"),
        (lambda: car.relative_eps(np.ones((2, 2)), [1, np.nan]), ValueError, "share must .*nan"),
        (lambda: car.eps_for_snr(np.ones((2, 2)), np.nan), ValueError, "snr_db must give a finite"),
        (lambda: car.eps_for_snr(np.ones((2, 2)), -1e5), ValueError, "snr_db .*found -100000"),
        (lambda: car.eps_for_snr(np.ones((2, 2)), "loud"), TypeError, "snr_db must hold integers"),
        (lambda: car.eps_for_snr(np.ones((2, 2), complex), 1), TypeError, "^x must hold integers"),
        (
            lambda: car.eps_for_snr(np.ones((2, 2)), 1, axis=2),
            ValueError,
            "axis 2 is out of bounds",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_arguments_are_checked(call, error, message):
    with pytest.raises(error, match=message):
        call()
