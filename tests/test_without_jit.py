"""With NUMBA_DISABLE_JIT=1 the CPU's kernels run as Python: to debug them, and for coverage to see them."""

import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np

import numba_car as car
from numba_car import kernels
from numba_car._cpu import long_rows, sort
from numba_car._cpu.distance import distances
from tests.support.strategies import FAMILIES, family_arrays, slow_row

ROOT = Path(__file__).parent.parent


def batch(dtype, n):
    pairs = [family_arrays(family, (2, n), dtype, seed=3) for family in sorted(FAMILIES)]
    x = np.clip(np.concatenate([x for x, _ in pairs]), 0, 1)
    delta = np.concatenate([delta for _, delta in pairs])
    x[3, 1], delta[5] = np.nan, 0
    return x, delta


def results():
    """Return what many calls return, which touch most of what the solver can do."""
    found = {}
    for dtype in (np.float32, np.float64):
        x, delta = batch(dtype, 40)
        upstream = np.cos(np.arange(x.size, dtype=dtype)).reshape(x.shape)
        for p in (0.5, 1, 2, 3.5, np.inf):
            highest = car.max_norm(x, delta, p=p)
            for part in (0.0, 0.4, 1.5):
                eps, key = np.nan_to_num(highest) * part, f"{np.dtype(dtype)} {p} {part}"
                for method in ("newton", "sort"):
                    solution = car.solve(x, delta, eps, p=p, method=method)
                    found[f"{key} {method}"] = np.stack([solution.norm, solution.max_norm])
                found[f"{key} v"] = car.rescale(x, delta, eps, p=p, bounds=(-0.5, None))
                found[f"{key} vjp"] = car.rescale_vjp(x, delta, eps, upstream, p=p).x
                found[f"{key} jvp"] = car.rescale_jvp(x, delta, eps, upstream, upstream, p=p)
                row = x[0], delta[0], float(eps[0]), p, 0.0, 1.0
                found[f"{key} row"] = np.array([kernels.eta(*row)])
    rng = np.random.default_rng(0)
    long = rng.random((1, 70_000)), rng.standard_normal((1, 70_000))
    found["long"] = car.eta(*long, 50.0, method="sort")
    found["bounds"] = car.eta(x[:3], delta[:3], 0.4, bounds=(x[:3] - 0.1, np.ones((3, 40))))
    found["sampled"] = car.eta(long[0][:, :3000], long[1][:, :3000], 10.0)
    breakpoints = 2.0 ** -np.arange(1, 400)  # which Newton's method is slow on
    x, delta = np.full((1, 399), 0.5), (0.5 / breakpoints)[None] ** 0.5
    found["slow"] = car.eta(x, delta, 5.0, bounds=(0, None))
    return found | of_one_row() | of_odd_rows() | of_rows_in_pieces() | of_long_rows()


def of_one_row():
    """Return what the functions of `kernels` find."""
    found = {}
    for dtype in (np.float32, np.float64):
        x, delta = (values[0] for values in batch(dtype, 40))
        for p in (0.5, 1.0, 2.0, 3.5, np.inf):
            row, outputs = (x, delta, 0.1, p, 0.0, 1.0), (x.copy(), x.copy(), x.copy())
            eta = kernels.rescale(*row, outputs[0])
            by_eps = kernels.backward(*row, eta, x, 1.0, *outputs[1:])
            numbers = eta, by_eps, kernels.max_norm(x, delta, p, 0.0, 1.0)
            found[f"{np.dtype(dtype)} {p} one"] = np.array(
                [*numbers, *np.concatenate(outputs)], dtype
            )
        nothing = (
            kernels.eta(x, delta, -1.0, 2.0, 0.0, 1.0),
            kernels.eta(x, delta[1:], 1.0, 2.0, 0.0, 1.0),
            kernels.rescale(x, delta, 1.0, 2.0, 0.0, 1.0, x[1:].copy()),
            kernels.max_norm(x, delta, -2.0, 0.0, 1.0),
        )
        found[f"{np.dtype(dtype)} none"] = np.array(
            [*nothing, kernels.eta(x, 0 * x, 1.0, 2.0, 0.0, 1.0)]
        )
    return found


def of_odd_rows():
    """Return what becomes of rows that are not as they should be, and of those with odd sizes."""
    x, delta = np.full((4, 3), 0.5), np.ones((4, 3))
    x[2, 1] = 1.5
    try:
        car.eta(x, delta, 0.1)
    except ValueError as error:
        found = {"outside": np.array(str(error))}
    x[2, 1], delta[1, 0] = 1 + 2e-16, 1e200
    found["rounding"] = car.eta(x, delta, 0.1)
    for p in (1, 2, np.inf):
        found[f"distance {p}"] = distances(x, x + delta, p)
        found[f"tiny {p}"] = car.eta(np.full((1, 3), 1e-300), delta[:1], 1e-300, p=p)
    found["no room"] = car.eta(np.ones((1, 3)), delta[:1], 0.1, p=np.inf)
    try:
        car.eta(x[:1], x[:1], 0.1, bounds=(np.ones(3), np.zeros(3)))
    except ValueError as error:
        found["crossed"] = np.array(str(error))
    for p in (1.0, 2.0, 3.0):  # which Newton's method gives up on; many an eta has that norm
        row = slow_row(p, copies=1)
        found[f"slow {p}"] = car.solve(row.x, row.delta, row.eps, p=p, bounds=row.bounds).norm
    return found


def of_rows_in_pieces():
    """Return what rows find whose sample is not like the rest, whose fastest has no room, or sorted in pieces."""
    x, delta = np.full(600, 0.5), np.linspace(0.5, 1, 600)
    delta[:64] = 1e-3
    found = {"sampled badly": car.eta(x, delta, 5.0)}
    found["idle"] = car.rescale_vjp(x, 0 * x, 0.3, x).delta
    x[0], delta[0] = 1.0, 2.0
    for p in (2, np.inf):
        found[f"late {p}"] = car.rescale_vjp(x, delta, 0.3, x, p=p).delta
    ties, delta[3] = np.ones(600), 0.0
    with mock.patch.object(sort, "MOST_SORTED", 50):  # which compiled code does not see
        for name, speed in (("ties", ties), ("pieces", delta)):
            for eps in (0.5, 5.0, 11.0):
                found[f"{name} {eps}"] = car.eta(x, speed, eps, method="sort")
        found["ties alone"] = car.eta(x, ties, 599 / 2, p=1, method="sort")
    found["idle, sorted"] = car.eta(x, 0 * x, 1.0, method="sort")
    return found


def of_long_rows():
    """Return what rows find that are cut into chunks, and sorted in pieces; see `long_rows` and `radix_select`."""
    with mock.patch.multiple(long_rows, LONG=500, _CHUNK=200):
        return {
            f"cut {p} {part}": np.stack(car.solve(*LONG, part * car.max_norm(*LONG, p=p), p=p)[:3])
            for p in (1, 2, 3.5, np.inf)
            for part in (0.4, 1.5)
        } | {"cut v": car.rescale(*LONG, 3.0), "cut sort": car.eta(*LONG, 3.0, method="sort")}


LONG = [values.astype(np.float32) for values in (np.random.default_rng(1).random((2, 1, 700)))]


if __name__ == "__main__":
    np.savez(sys.argv[1], **results())


def test_the_same_results(tmp_path):
    path = tmp_path / "found.npz"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "tests.test_without_jit", path]
    subprocess.run(command, env=environment, cwd=ROOT, check=True, timeout=300)
    with np.load(path) as found:
        for name, expected in results().items():
            # Sums in float32 lose more where they are not taken in lanes.
            if expected.dtype.kind == "U":
                assert found[name] == expected
                continue
            rtol = 2e-4 if expected.dtype == np.float32 else 1e-10
            np.testing.assert_allclose(found[name], expected, rtol=rtol, atol=rtol, err_msg=name)
