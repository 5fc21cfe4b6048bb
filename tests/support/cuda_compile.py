"""Compile every kernel for a GPU that need not be there, and say what the code takes.

Run as a script it prints one JSON object a line. It needs a process of its own: it puts a device of the
wanted kind where numba looks for one.

Float64 in kernels of float32 rows is counted where it would cost most: in the innermost loops of what
every row goes through, which are compiled by themselves for that, as PASSES. All else computes in
float64 on purpose: the powers of a general p, which float32 has no room for; `rescale`, to round once;
norms, derivatives, and rows that Newton's method does not solve.
"""

import itertools
import json
import math
import re
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from cuda.bindings import nvjitlink
from numba import cuda, types
from numba.cuda import dispatcher

from numba_car import kernels
from numba_car._core.norms import GENERAL, norm_of
from numba_car._cuda.clip_derivatives import clip_jvp_rows, clip_vjp_rows
from numba_car._cuda.copies import _cast, _gather
from numba_car._cuda.directions import (
    chain_rows,
    largest_rows,
    move_rest,
    raise_rows,
    rest_of_elements,
    rest_of_rows,
    subtract_rows,
)
from numba_car._cuda.double_double import measure_pairs, rescale_pairs, solve_pairs
from numba_car._cuda.greedy import pivot_kernel, write_pivots
from numba_car._cuda.greedy_derivatives import greedy_jvp_rows, greedy_vjp_rows
from numba_car._cuda.grid import measure_grid_rows, solve_grid_rows, write_grid_rows
from numba_car._cuda.inside import keep_rows_inside
from numba_car._cuda.jvp import jvp_rows
from numba_car._cuda.l1_derivatives import l1_jvp_rows, l1_vjp_rows
from numba_car._cuda.long_rows import alone_kernel, rest_kernel, start_kernel
from numba_car._cuda.measure import flag_negative, flag_unreachable, measure_rows
from numba_car._cuda.multi_block import round_kernels
from numba_car._cuda.newton import solve_kernel
from numba_car._cuda.project import cap_rows, clip_to_ball_rows, project_rows, validate_rows
from numba_car._cuda.rescale import rescale_rows
from numba_car._cuda.sort import sort_rows
from numba_car._cuda.spread import (
    eta_of_maxima,
    largest_steps,
    maxima_of_parts,
    maxima_of_saturated,
    norms_of_parts,
    sums_of_steps,
)
from numba_car._cuda.spread_vjp import decide_rows, gather_parts, sum_parts, write_parts
from numba_car._cuda.sums import fold_rows
from numba_car._cuda.team import LARGEST_TEAM, SLOTS
from numba_car._cuda.terms import raise_powers, sum_terms
from numba_car._cuda.threshold import threshold_kernel, write_thresholds
from numba_car._cuda.validate import read_row
from numba_car._cuda.vjp import vjp_rows
from tests.support import ptx

POWERS = (1.0, 2.0, 3.3, math.inf)
DTYPES = {"float32": types.float32, "float64": types.float64}
RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "cuda-compile.md"
INT, DOUBLE = types.int64, types.float64


class Case(NamedTuple):
    """A kernel and what it is compiled for."""

    kernel: str
    dtype: str
    p: float
    bounds: str
    function: object
    arguments: tuple


@cuda.jit
def _rescale_alone(x, delta, eps, p, out):
    r = cuda.grid(1)
    if r < x.shape[0]:
        kernels.rescale(x[r], delta[r], eps, p, 0.0, 1.0, out[r])


@cuda.jit
def _differentiate_alone(x, delta, eps, p, lower, upper, g, out_x, out_delta):
    r = cuda.grid(1)
    if r < x.shape[0]:
        eta = kernels.eta(x[r], delta[r], eps, p, lower[r], upper)
        eps = min(eps, kernels.max_norm(x[r], delta[r], p, lower[r], upper))
        row = x[r], delta[r], eps, p, lower[r], upper
        kernels.backward(*row, eta, g[r], 0.0, out_x[r], out_delta[r])


@cuda.jit
def _read(x, delta, lower, upper, n, norm, kept, found):
    team, zero = (cuda.shared.array(SLOTS, np.float64),), np.int64(0)
    row = (x, delta, lower, upper, zero, n)
    found[0], _ = read_row(row, kept.dtype.type(0), (kept, kept[n:], zero), team)


@cuda.jit
def _raise_powers(x, delta, lower, upper, n, norm, kept, found):
    team, zero = (cuda.shared.array(SLOTS, np.float64),), np.int64(0)
    like, terms = kept.dtype.type(0), (kept, kept[n:], zero)
    found[0] = raise_powers(n, norm, found[0], found[1], like, terms, team)


@cuda.jit
def _sum_kept(x, delta, lower, upper, n, norm, kept, found):
    team, zero = (cuda.shared.array(SLOTS, np.float64),), np.int64(0)
    found[0], found[1] = sum_terms(n, kept[0], (kept, kept[n:], zero), team)


@cuda.jit
def _sum_anew(x, delta, lower, upper, n, norm, kept, found):
    team, zero = (cuda.shared.array(SLOTS, np.float64),), np.int64(0)
    anew = ((x, delta, lower, upper, zero, n), norm, kept[0], kept[1])
    found[0], found[1] = sum_terms(n, kept[0], anew, team)


PASSES = {"read": _read, "raise": _raise_powers, "kept": _sum_kept, "anew": _sum_anew}


def array(element):
    return types.Array(element, 1, "C")


def batch(element):
    return types.Tuple((array(element), INT))


BRAIN = types.Tuple((array(types.uint16), INT, INT, INT))  # rows of bfloat16


def number(element=DOUBLE):
    return types.Tuple((element,))


def stored(element):
    """A number in device memory, as PyTorch passes bounds that are numbers."""
    return types.Tuple((array(element), INT, INT))


def cases():
    for name, element in DTYPES.items():
        for bounds, bound in (
            ("numbers", number(element)),
            ("arrays", batch(element)),
            ("tensors", stored(element)),
        ):
            rows = (batch(element), batch(element), bound, bound, INT, INT)
            yield Case("rescale", name, 0, bounds, rescale_rows,
                       (*rows, array(DOUBLE), DOUBLE, batch(element)))  # fmt: skip
            yield from step_cases(name, element, bounds, rows)
            yield from step_derivative_cases(name, element, bounds, rows)
            yield from grid_cases(name, element, bounds, rows)
            yield from spread_cases(name, element, bounds, rows)
            for p in POWERS:
                yield from norm_cases(name, element, p, bounds, rows)
    for name, element in DTYPES.items():
        table = types.Array(element, 2, "C")
        yield Case("a thread a row", name, 0, "numbers", _rescale_alone,
                   (table, table, DOUBLE, DOUBLE, table))  # fmt: skip
        yield Case("a thread a row, backward", name, 0, "arrays", _differentiate_alone,
                   (table, table, DOUBLE, DOUBLE, table, array(element), table, table, table))  # fmt: skip
    sizes, steps = types.UniTuple(types.uint32, 4), types.UniTuple(INT, 4)
    for name, element in DTYPES.items():
        yield Case("copy of any layout", name, 0, "", _gather,
                   (batch(element), INT, sizes, steps, batch(element)))  # fmt: skip
        yield Case("cast", name, 0, "", _cast, (array(DOUBLE), batch(element)))
        yield Case("sum", name, 0, "", fold_rows, (array(element), INT, INT, INT, array(DOUBLE)))
    yield Case("flag unreachable", "float32", 0, "", flag_unreachable,
               (number(), array(DOUBLE), batch(types.float32), types.boolean, array(DOUBLE),
                array(types.boolean), array(INT)))  # fmt: skip
    for kernel, function, given in (
        ("flag negative", flag_negative, (batch(DOUBLE), INT, array(INT))),
        ("cap", cap_rows, (array(DOUBLE),)),
        ("rest by row", rest_of_rows, (batch(DOUBLE), array(DOUBLE), array(types.boolean),
                                       array(types.boolean), DOUBLE, array(DOUBLE), array(INT))),
    ):  # fmt: skip
        yield Case(kernel, "float64", 0, "", function, given)
    yield from digits_cases()
    yield from narrow_cases(sizes, steps)


def spread_cases(name, element, bounds, rows):
    """The kernels of which several blocks share a row."""
    integers, doubles, by_row = array(INT), array(DOUBLE), batch(DOUBLE)
    results = doubles, integers, integers
    for p in POWERS:
        norm = types.UniTuple(DOUBLE, len(norm_of(p)))
        given = INT, norm, integers, by_row, doubles, doubles
        yield Case("spread, sums", name, p, bounds, sums_of_steps, (*rows, *given))
        if name == "float64" and bounds == "numbers":
            yield Case("spread, norms", name, p, bounds, norms_of_parts, (*given, doubles))
        targets = batch(element) if bounds == "arrays" else number()
        outputs = types.Tuple((batch(element), batch(element), targets, targets))
        given = INT, batch(element), norm, by_row, doubles, doubles, doubles
        yield Case("spread, gather", name, p, bounds, gather_parts, (*rows, *given))
        given = INT, batch(element), number(), norm, by_row, doubles, doubles, doubles, DOUBLE
        yield Case(
            "spread, decide", name, p, bounds, decide_rows, (*rows, *given, doubles, doubles)
        )
        given = INT, batch(element), norm, doubles, DOUBLE, outputs, doubles, doubles
        yield Case("spread, vjp", name, p, bounds, write_parts, (*rows, *given))
    for kernel, function, given in (
        ("spread, steps", largest_steps, (INT, integers, by_row, doubles)),
        ("spread, maxima", maxima_of_parts, (INT, by_row, DOUBLE, doubles, doubles, doubles)),
        ("spread, saturated", maxima_of_saturated, (INT, by_row, doubles, doubles, doubles)),
    ):
        yield Case(kernel, name, 0, bounds, function, (*rows, *given))
    if name == "float64" and bounds == "numbers":
        given = INT, by_row, doubles, doubles, doubles, doubles, *results
        yield Case("spread, eta", name, 0, "", eta_of_maxima, given)
        given = INT, doubles, doubles, DOUBLE, doubles, doubles
        yield Case("spread, bounds", name, 0, "", sum_parts, given)


def digits_cases():
    """The kernels that compute in double-double arithmetic, for rows of float64."""
    bound, row = number(), batch(DOUBLE)
    rows, integers, doubles = (row, row, bound, bound, INT, INT), array(INT), array(DOUBLE)
    for p in POWERS:
        norm = types.UniTuple(DOUBLE, len(norm_of(p)))
        found = types.Tuple((doubles, integers, doubles, integers))
        for kernel, function, given in (
            ("digits, solve", solve_pairs, (norm, row, types.boolean, doubles, integers, found)),
            ("digits, norms", measure_pairs, (norm, integers, row, doubles)),
        ):
            yield Case(kernel, "float64", p, "numbers", function, (*rows, *given))
    given = integers, doubles, doubles, integers, DOUBLE, row
    yield Case("digits, rescale", "float64", 0, "numbers", rescale_pairs, (*rows, *given))


def step_cases(name, element, bounds, rows):
    """The kernels of projection and of best ascent."""
    dtype, doubles, integers = np.dtype(name), array(DOUBLE), array(INT)
    out, flags, results = batch(element), array(types.boolean), (doubles, integers, integers)
    for kernel, function, given in (
        ("difference", subtract_rows, (DOUBLE, out)),
        ("largest", largest_rows, (doubles, flags)),
        ("rest by element", rest_of_elements, (out, doubles, out)),
        ("move the rest", move_rest, (doubles, DOUBLE, out)),
        ("project", project_rows, (batch(element), doubles, DOUBLE, out)),
        ("validate", validate_rows, (batch(DOUBLE), DOUBLE, *results)),
        ("clip to ball", clip_to_ball_rows, (batch(DOUBLE), doubles, DOUBLE, out)),
        ("threshold", threshold_kernel(dtype), (batch(DOUBLE), DOUBLE, doubles, *results)),
        ("write thresholds", write_thresholds, (doubles, doubles, integers, out)),
        ("pivot", pivot_kernel(dtype), (batch(DOUBLE), DOUBLE, integers, doubles, *results)),
        ("write pivots", write_pivots, (integers, doubles, doubles, DOUBLE, out)),
    ):
        yield Case(kernel, name, 0, bounds, function, (*rows, *given))
    form = types.Tuple((INT, DOUBLE, DOUBLE))
    for p in POWERS:
        norm = types.UniTuple(DOUBLE, len(norm_of(p)))
        given = batch(element), INT, INT, norm, batch(DOUBLE), doubles, form, out
        yield Case("inside", name, p, bounds, keep_rows_inside, given)
        if p not in (1, 2):
            power = types.UniTuple(DOUBLE, len(norm_of(1 / (p - 1)) if p < math.inf else ()))
            given = power, doubles, DOUBLE, out, flags, integers
            yield Case("ascent", name, p, bounds, raise_rows, (*rows, *given))


def step_derivative_cases(name, element, bounds, rows):
    """The kernels of the derivatives of projection and of best ascent."""
    doubles, integers, out = array(DOUBLE), array(INT), batch(element)
    targets = out if bounds == "arrays" else number()
    outputs = types.Tuple((out, out, targets, targets))
    stored = DOUBLE, outputs, types.UniTuple(doubles, 3)
    tangents = types.Tuple((out, out, batch(DOUBLE)))
    reach = batch(DOUBLE), doubles, DOUBLE
    threshold, pivot = (doubles, doubles, integers), (integers, doubles, doubles)
    for kernel, function, given in (
        ("chain", chain_rows, (out, DOUBLE, out, out)),
        ("clip, vjp", clip_vjp_rows, (out, *reach, *stored)),
        ("clip, jvp", clip_jvp_rows, (tangents, *reach, out)),
        ("threshold, vjp", l1_vjp_rows, (out, *threshold, *stored)),
        ("threshold, jvp", l1_jvp_rows, (tangents, *threshold, out)),
        ("pivot, vjp", greedy_vjp_rows, (out, *pivot, *stored)),
        ("pivot, jvp", greedy_jvp_rows, (tangents, *pivot, out)),
    ):
        yield Case(kernel, name, 0, bounds, function, (*rows, *given))


def grid_cases(name, element, bounds, rows):
    """The kernels of results on a grid."""
    doubles, grid = array(DOUBLE), types.UniTuple(DOUBLE, 2)
    given = grid, doubles, batch(element)
    yield Case("grid, write", name, 0, bounds, write_grid_rows, (*rows, *given))
    for p in POWERS:
        norm = types.UniTuple(DOUBLE, len(norm_of(p)))
        given = grid, norm, doubles, doubles
        yield Case("grid, norms", name, p, bounds, measure_grid_rows, (*rows, *given))
        how = batch(DOUBLE), types.boolean, doubles, DOUBLE, grid
        given = grid, norm, *how, doubles, doubles, array(INT)
        yield Case("grid, solve", name, p, bounds, solve_grid_rows, (*rows, *given))


def narrow_cases(sizes, steps):
    """Kernels that load and store halves, or load integers; between, they are those of float32."""
    one, bits = types.float32, batch(types.uint16)
    dtype, norm = np.dtype(np.float32), types.UniTuple(DOUBLE, 2)
    results = array(DOUBLE), array(INT), array(INT)
    solving = batch(DOUBLE), norm, DOUBLE
    kept = array(one), INT, array(INT), array(DOUBLE)
    half, byte = batch(types.float16), batch(types.uint8)
    for name, x, delta in (
        ("bfloat16", BRAIN, BRAIN),
        ("float16", half, half),
        ("uint8, float32", byte, batch(one)),
    ):
        rows = x, delta, number(one), number(one), INT, INT
        yield Case("rescale", name, 0, "numbers", rescale_rows,
                   (*rows, array(DOUBLE), DOUBLE, delta))  # fmt: skip
        if delta != batch(one):
            form = types.Tuple((INT, DOUBLE, DOUBLE))
            yield Case("inside", name, 2.0, "numbers", keep_rows_inside,
                       (x, INT, INT, norm, batch(DOUBLE), array(DOUBLE), form, delta))  # fmt: skip
        yield Case("newton, on chip", name, 2.0, "numbers", solve_kernel(dtype, "on chip"),
                   (*rows, *solving, *results))  # fmt: skip
        if name != "float16":
            yield Case("long, alone", name, 2.0, "numbers", alone_kernel(dtype),
                       (*rows, *solving, *kept, *results))  # fmt: skip
    for name, given, source, target in (
        ("bfloat16", BRAIN, BRAIN, batch(one)),
        ("float16", half, bits, bits),
    ):
        yield Case("copy of any layout", name, 0, "numbers", _gather,
                   (source, INT, sizes, steps, target))  # fmt: skip
        yield Case("cast", name, 0, "numbers", _cast, (array(DOUBLE), given))


def norm_cases(name, element, p, bounds, rows):
    norm = types.UniTuple(DOUBLE, len(norm_of(p)))
    dtype = np.dtype(np.float64 if len(norm_of(p)) == GENERAL else name)
    results = array(DOUBLE), array(INT), array(INT)
    kept = array(DTYPES[dtype.name])
    where = "on chip" if p < math.inf else "anew"
    yield Case(f"newton, {where}", name, p, bounds, solve_kernel(dtype, where),
               (*rows, batch(DOUBLE), norm, DOUBLE, *results))  # fmt: skip
    if p < math.inf:
        yield from long_cases(name, p, bounds, rows, (batch(DOUBLE), norm), kept, results, dtype)
    if p < math.inf:
        sorting = (*rows, INT, batch(DOUBLE), norm, DOUBLE, array(DOUBLE), array(INT), *results)
        yield Case("sort and scan", name, p, bounds, sort_rows, sorting)
    measuring = (*rows, norm, array(INT), batch(DOUBLE), array(DOUBLE))
    yield Case("norms", name, p, bounds, measure_rows, measuring)
    tangents = types.Tuple((batch(element), number(), number()))
    given = tangents, norm, number(), array(DOUBLE), batch(element), array(DOUBLE)
    yield Case("rescale_jvp", name, p, bounds, jvp_rows, (*rows, *given))
    targets = batch(element) if bounds == "arrays" else number()
    outputs = types.Tuple((batch(element), batch(element), targets, targets))
    sums = types.UniTuple(array(DOUBLE), 3)
    for kind, upstream in (
        ("eta_vjp", (number(), batch(DOUBLE))),
        ("rescale_vjp", (batch(element), number())),
    ):
        given = (*rows, *upstream, norm, number(), array(DOUBLE), DOUBLE, outputs, sums)
        yield Case(kind, name, p, bounds, vjp_rows, given)


def long_cases(name, p, bounds, rows, aims, kept, results, dtype):
    kernels, norm, states = round_kernels(dtype), aims[1], (array(DOUBLE), array(INT))
    kept = kept, INT, array(INT), array(DOUBLE)
    yield Case("long, start", name, p, bounds, start_kernel(dtype),
               (*rows, *aims, INT, INT, *states))  # fmt: skip
    yield Case("long, alone", name, p, bounds, alone_kernel(dtype),
               (*rows, *aims, DOUBLE, *kept, *results))  # fmt: skip
    yield Case("long, sift", name, p, bounds, kernels.sift,
               (*rows, norm, DOUBLE, INT, *kept, *states))  # fmt: skip
    yield Case("long, iterate", name, p, bounds, kernels.iterate,
               (INT, *aims, INT, INT, INT, *kept, array(DOUBLE), types.boolean, DOUBLE, *results))  # fmt: skip
    yield Case("long, rest", name, p, bounds, rest_kernel(dtype), (*rows, *aims, *results))


def compiled(function, arguments, capability):
    dispatcher.get_current_device = lambda: type("Device", (), {"compute_capability": capability})
    signature = types.void(*arguments)
    options = {"device": False, "abi": "numba", "cc": capability, "output": "ltoir"}
    return cuda.compile(function.py_func, signature, **options)[0]


def linked(kind, code, capability, *options):
    options = [f"-arch=sm_{capability[0]}{capability[1]}", *options]
    handle = nvjitlink.create(len(options), options)
    nvjitlink.add_data(handle, kind, code, len(code), "kernel")
    nvjitlink.complete(handle)
    return handle


def ptx_of(code, capability):
    handle = linked(nvjitlink.InputType.LTOIR, code, capability, "-lto", "-ptx")
    text = bytearray(nvjitlink.get_linked_ptx_size(handle))
    nvjitlink.get_linked_ptx(handle, text)
    nvjitlink.destroy(handle)
    return text.decode()


def log_of(text, capability):
    options = "-verbose", "-Xptxas=-v"
    handle = linked(nvjitlink.InputType.PTX, text.encode(), capability, *options)
    log = bytearray(nvjitlink.get_info_log_size(handle))
    nvjitlink.get_info_log(handle, log)
    nvjitlink.destroy(handle)
    return log.decode()


def largest(pattern, log):
    return max((int(found) for found in re.findall(pattern, log)), default=0)


def figures(case, code, capability):
    text = ptx_of(code, capability)
    log = log_of(text, capability)
    assert "registers" in log, log
    return {
        "kernel": case.kernel,
        "dtype": case.dtype,
        "p": case.p,
        "bounds": case.bounds,
        "arch": f"sm_{capability[0]}{capability[1]}",
        "threads": LARGEST_TEAM,  # that a block has at most
        "registers": largest(r"Used (\d+) registers", log),
        "spilled": largest(r"(\d+) bytes spill", log),
        "stack": largest(r"(\d+) bytes stack frame", log),
        "shared": largest(r"Used .*? (\d+) bytes smem", log),
        "long_divisions": len(ptx.long_divisions(text)),
    }


def pass_figures(capability):
    """Yield how much arithmetic there is in the innermost loops of each pass."""
    for (name, function), (dtype, one) in itertools.product(PASSES.items(), DTYPES.items()):
        for bounds in (number(one), batch(one)):
            norm = types.UniTuple(DOUBLE, len(norm_of(2.0)))
            given = batch(one), batch(one), bounds, bounds, INT, norm, array(one), array(DOUBLE)
            text = ptx_of(compiled(function, given, capability), capability)
            lines = [line for loop in ptx.innermost_loops(text) for line in loop]
            counts = {k: len(ptx.arithmetic(lines, k)) for k in ("f32", "f64")}
            yield {"pass": name, "dtype": dtype, **counts}


def is_quick(case):
    """Whether a case is among those that every run of the tests compiles: each kernel and dtype.

    With each kind of norm; 2 and infinity with numbers for bounds, the others with arrays; tensors where they matter most.
    """
    if case.bounds == "tensors":
        return (
            case.p == 2.0
            and case.dtype == "float32"
            and case.kernel in ("newton, on chip", "long, alone")
        )
    if case.bounds != "arrays":
        return case.p in (0, 2.0, math.inf)
    return (
        case.p == 3.3 or (case.p == 1.0 and case.kernel == "long, alone") or "thread" in case.kernel
    )


def table(found):
    """Markdown of figures, one row for the kernels that differ in nothing but the architecture."""
    archs = sorted({f["arch"] for f in found}, key=lambda name: int(name[3:]))
    lines = [
        "# What the CUDA kernels take, from the compiler",
        "",
        "Registers a thread, by architecture, static shared memory and spilled registers in bytes. Written",
        "by `python -m tests.support.cuda_compile 80 90 100 --write`, without a GPU: each kernel is compiled for",
        "the first of these, and linked for all. Divisions of 64-bit integers are the most of any",
        "architecture: for sm_100 the compiler puts one before the loops of a thread, to count their rounds,",
        "and takes it where 32 bits are too few; for the others it does where several blocks share a row.",
        "",
        f"| kernel | dtype | p | bounds | {' | '.join(archs)} | shared | spilled | divisions |",
        "|---" * (7 + len(archs)) + "|",
    ]
    by_case = {}
    for f in found:
        key = f["kernel"], f["dtype"], f["p"] or "", f["bounds"]
        by_case.setdefault(key, {})[f["arch"]] = f
    for key, by_arch in by_case.items():
        registers = [str(by_arch[arch]["registers"]) for arch in archs]
        most = [
            str(max(f[name] for f in by_arch.values()))
            for name in ("shared", "spilled", "long_divisions")
        ]
        lines.append("| " + " | ".join([*map(str, key), *registers, *most]) + " |")
    return "\n".join(lines) + "\n"


def main(arguments):
    def show(figure):
        sys.stdout.write(json.dumps(figure) + "\n")
        sys.stdout.flush()

    found = []
    archs = [(int(name[:-1]), int(name[-1])) for name in arguments if name.isdigit()]
    for case in cases():
        if is_quick(case) or "--quick" not in arguments:
            code = compiled(case.function, case.arguments, archs[0])
            for capability in archs:
                found.append(figures(case, code, capability))
                show(found[-1])
    for figure in pass_figures(archs[0]):
        show(figure)
    if "--write" in arguments:
        RESULTS.write_text(table(found))


if __name__ == "__main__":
    main(sys.argv[1:])
