"""The inner loops of kernels are vectorised, and take no flags with them into functions that are strict."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

import numba_car._cpu
from numba_car import _jit
from numba_car._core.norms import STORED_POWERS, in_lanes, norm_of
from numba_car._cpu import (
    active_set,
    distance,
    greedy,
    greedy_results,
    grid,
    inside,
    jvp,
    knapsack,
    l1_derivatives,
    l1_projection,
    maxima,
    newton,
    project,
    rescale,
    short_measures,
    solve_row,
    sums,
    terms,
    validate,
    vjp,
)


def llvm_of(dispatcher, arguments):
    import numba

    signature = tuple(numba.typeof(argument) for argument in arguments)
    dispatcher.compile(signature)
    return dispatcher.inspect_llvm(signature)


def assert_vectorised(loops):
    """Check that the code of each loop, compiled for each of its tuples of arguments, has vectors."""
    for loop, calls in loops.items():
        for arguments in calls:
            code = llvm_of(loop, arguments)
            assert re.search(r"<\d+ x (float|double)>", code), f"{loop.py_func.__name__} is scalar"


def is_loop(value):
    """Whether a value is a jitted function with the flags that only loops have."""
    return bool(getattr(value, "targetoptions", {}).get("fastmath"))


PAIRS = [(np.float32, "numbers"), (np.float64, "arrays")]  # not all four: each compiles all loops


@pytest.mark.parametrize(("dtype", "bounds"), PAIRS)
def test_inner_loops_vectorise(dtype, bounds):
    x = np.full(64, 0.5, dtype)
    limits = (0.0, 1.0) if bounds == "numbers" else (np.zeros(64, dtype), np.ones(64, dtype))
    row, stored = (x, x.copy(), *limits), (x, x.copy(), dtype(0), dtype(math.inf))
    numbers, rates = (dtype(0.5), dtype(0.5), dtype(1), dtype(1e30)), (0.5, 0.5, 1.0)
    lanes = [in_lanes(norm_of(p)) for p in (0.5, 3.0, math.pi)]
    loops = {
        newton._validate_and_sum: [
            *((row, norm_of(p), dtype(0.5)) for p in (1.0, 2.0)),
            (stored, STORED_POWERS, dtype(0.5)),
        ],
        newton._sum_terms: [
            *((row, norm_of(p), dtype(0.5), dtype(0.6)) for p in (1.0, 2.0)),
            (stored, STORED_POWERS, dtype(0.5), dtype(0.6)),
        ],
        terms.fill_powers: [
            (row, norm, 0.5, 1.0, x.copy(), x.copy()) for norm in (norm_of(2.0), *lanes)
        ],
        solve_row._sum_on_grids: [(*np.full((2, 64), 0.5), 0.5, 0.4, 1536.0, 1536.0)],
        terms.fill_scaled: [(row, norm_of(2.0), 0.5, 1.0, x.copy(), x.copy())],
        maxima.max_abs: [(x,)],
        sums._sum_steps: [(row, norm_of(p), 0.5, 1.0) for p in (1.0, 2.0)],
        sums._sum_steps_on_grid: [(row, norm, 0.5, 1.0, 1536.0) for norm in lanes],
        short_measures._arrive_element: [(row, 0, 32, x.copy(), dtype(1e30), x.copy())],
        active_set._largest_breakpoint: [(row,)],
        maxima.largest_step: [(row, 0.5)],
        maxima._largest_deltas: [(row, dtype(0.5), dtype(0.5))],
        maxima._largest_breakpoint: [(row,)],
        maxima._largest_ratio: [(row,)],
        validate.needs_validation: [(row,)],
        distance._sum_terms: [(x, x, norm_of(p)) for p in (1.0, 2.0)],
        distance._largest: [(x, x)],
        jvp._eta_tangent: [(row, x, x, norm_of(p), *rates) for p in (1.0, 2.0, math.inf)],
        rescale._arrive: [(row, *numbers[:2], dtype(1e30), x.copy())],
        active_set._gather_block: [
            (row, x.copy(), norm, dtype(0.5), dtype(1)) for norm in (norm_of(2.0), *lanes)
        ],
        vjp._write: [
            (row, x.copy(), norm, *numbers, outputs)
            for norm in (*map(norm_of, (1.0, 2.0, math.inf)), *lanes)
            for outputs in ((x.copy(), x.copy(), 0.0, 0.0), (0.0, x.copy(), 0.0, 0.0))
        ],
    }
    assert_vectorised(loops)


@pytest.mark.parametrize(("dtype", "bounds"), PAIRS)
def test_loops_of_steps_vectorise(dtype, bounds):
    x = np.full(64, 0.5, dtype)
    limits = (0.0, 1.0) if bounds == "numbers" else (np.zeros(64, dtype), np.ones(64, dtype))
    row, half, doubles = (x, x.copy(), *limits), dtype(0.5), np.full((3, 64), 0.5)
    plain, pair, outputs = (half,), (0.5, 0.0), (x.copy(), x.copy(), 0.0, 0.0)
    lanes = [in_lanes(norm_of(p)) for p in (1.0, 2.0, 3.0, math.pi)]
    marks = np.zeros(64, np.uint8)
    assert_vectorised(
        {
            inside._sum_chunk: [(x, x.copy(), norm, 1.0) for norm in lanes],
            inside._largest_distance: [(x, x.copy())],
            project.clip_row: [(row, 0.5, 1e30, x.copy())],
            knapsack._validate_and_sum: [(row, plain), (row, pair)],
            knapsack._sum_moved: [(row, plain, half), (row, pair, half)],
            knapsack._sum_moved_on_grid: [(row, plain, half, 1536.0)],
            knapsack._nearest_gap: [(row, pair, True)],
            l1_projection._clip: [(row, x.copy())],
            l1_projection._arrive: [(row, pair, x.copy())],
            l1_derivatives._gather_block: [(row, x.copy(), pair)],
            l1_derivatives._write_block: [(row, x.copy(), pair, 0.5, 1e30, outputs)],
            l1_derivatives._write_clipped_block: [(row, x.copy(), 1e30, outputs)],
            l1_derivatives._tangent_block: [(row, x.copy(), x.copy(), pair)],
            greedy._sum_above: [(row, half, half, (1.0, 1.0), 1536.0)],
            greedy._mark: [(row, 0.2, 0.7, (1.0, 1.0), *doubles[:2], marks)],
            greedy_results._write: [(row, half, dtype(1e30), x.copy())],
            greedy_results._pull_back: [(row, x.copy(), half, 0.5, 1e30, outputs)],
            greedy_results._push_forward: [(x, x.copy(), half, x.copy())],
            grid._prepare: [(row, 0.5, 1e-7, *doubles)],
            grid._sum_block: [(*doubles, 0.5, norm_of(p)) for p in (1.0, 2.0)],
            grid._mark: [(*doubles, 0.4, 0.5, marks)],
            grid._largest_steps: [(*doubles, 0.5)],
            grid._write: [(row, 0.5, 0.5, 1e-7, x.copy())],
        }
    )


def test_every_loop_is_tested():
    modules = vars(numba_car._cpu).values()
    of_modules = [value for module in modules for value in getattr(module, "__dict__", {}).values()]
    text = Path(__file__).read_text()
    for loop in filter(is_loop, of_modules):
        name = f"{loop.py_func.__module__.rpartition('.')[2]}.{loop.py_func.__name__}"
        assert f" {name}:" in text, f"{name} is not among the loops that must vectorise"


@pytest.mark.parametrize("strict", [_jit.formula, _jit.rows, _jit.kernel])
def test_strict_functions_take_no_flags_from_the_loop_that_has_them_compiled(strict):
    product = strict(lambda a, b, c: a * b * c)
    loop = _jit.loop(lambda values: product(values[0], values[1], values[2]))
    llvm_of(loop, (np.ones(3),))
    (code,) = product.inspect_llvm().values()
    assert "fmul double" in code
    assert "reassoc" not in code
