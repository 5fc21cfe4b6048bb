"""The CUDA kernels through the real compiler, which needs no GPU; in a process of its own."""

import importlib.util
import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.cuda

ROOT = Path(__file__).parent.parent
SCRIPT = "tests.support.cuda_compile"
TABLE = ROOT / "benchmarks" / "results" / "cuda-compile.md"
INDEX_TYPES = "tests.support.cuda_index_types"
KERNELS = {
    "a thread a row",
    "a thread a row, backward",
    "ascent",
    "cap",
    "cast",
    "chain",
    "clip to ball",
    "clip, jvp",
    "clip, vjp",
    "copy of any layout",
    "difference",
    "digits, norms",
    "digits, rescale",
    "digits, solve",
    "eta_vjp",
    "flag negative",
    "flag unreachable",
    "grid, norms",
    "grid, solve",
    "grid, write",
    "inside",
    "largest",
    "long, alone",
    "long, iterate",
    "long, rest",
    "long, sift",
    "long, start",
    "move the rest",
    "newton, anew",
    "newton, on chip",
    "norms",
    "pivot",
    "pivot, jvp",
    "pivot, vjp",
    "project",
    "rescale",
    "rescale_jvp",
    "rescale_vjp",
    "rest by element",
    "rest by row",
    "sort and scan",
    "spread, bounds",
    "spread, decide",
    "spread, eta",
    "spread, gather",
    "spread, maxima",
    "spread, norms",
    "spread, saturated",
    "spread, steps",
    "spread, sums",
    "spread, vjp",
    "sum",
    "threshold",
    "threshold, jvp",
    "threshold, vjp",
    "validate",
    "write pivots",
    "write thresholds",
}
ONE_DTYPE = {
    *("flag unreachable", "flag negative", "cap", "rest by row"),
    *(
        "digits, norms",
        "digits, rescale",
        "digits, solve",
        "spread, bounds",
        "spread, eta",
        "spread, norms",
    ),
}
ARCHS = "80", "90", "100"
NARROW = {
    "bfloat16": {
        "cast",
        "copy of any layout",
        "inside",
        "long, alone",
        "newton, on chip",
        "rescale",
    },
    "float16": {"cast", "copy of any layout", "inside", "newton, on chip", "rescale"},
    "uint8, float32": {"long, alone", "newton, on chip", "rescale"},
}
PASSES, DTYPES = {"read", "raise", "kept", "anew"}, {"float32", "float64"}
MOST_SHARED = 48 * 1024
REGISTERS = 1 << 16  # of a multiprocessor


def has_compiler():
    return all(
        importlib.util.find_spec(name) for name in ("numba_cuda", "cuda")
    ) and importlib.util.find_spec("cuda.bindings")


needs_compiler = pytest.mark.skipif(
    not has_compiler(), reason="needs numba-cuda with its compiler: numba_car[cuda13]"
)


def output_of(*command):
    found = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    assert found.returncode == 0, found.stderr[-5000:]
    return found.stdout


@needs_compiler
def test_kernels_compile_without_spilling():
    lines = [json.loads(line) for line in output_of("-m", SCRIPT, *ARCHS, "--quick").splitlines()]
    figures, passes = ([line for line in lines if key in line] for key in ("kernel", "pass"))
    assert {f["kernel"] for f in figures} == KERNELS
    assert {f["arch"] for f in figures} == {f"sm_{arch}" for arch in ARCHS}
    for kernel in KERNELS - ONE_DTYPE:
        assert {f["dtype"] for f in figures if f["kernel"] == kernel} >= DTYPES
    for dtype, kernels in NARROW.items():
        assert {f["kernel"] for f in figures if f["dtype"] == dtype} == kernels
    for figure in figures:
        assert figure["spilled"] == figure["stack"] == 0, figure
        assert figure["shared"] < MOST_SHARED, figure
        assert 0 < figure["registers"] * figure["threads"] <= REGISTERS, figure
        # See the table: there are some before loops for sm_100, and over the part of a long row.
        may_divide = figure["arch"] == "sm_100" or figure["kernel"].startswith("spread")
        assert figure["long_divisions"] == 0 or may_divide, figure
    assert {(f["pass"], f["dtype"]) for f in passes} == set(itertools.product(PASSES, DTYPES))
    for figure in passes:
        assert figure["f32"] == 0 if figure["dtype"] == "float64" else figure["f64"] == 0, figure
        assert figure["f32"] + figure["f64"] > 2, figure  # the reader of the PTX found them


def test_the_table_shows_no_spill():
    table = [line.split("|") for line in TABLE.read_text().splitlines() if line.startswith("|")]
    names, _, *rows = ([cell.strip() for cell in line[1:-1]] for line in table)
    assert {f"sm_{arch}" for arch in ARCHS} <= set(names)
    assert {row[names.index("kernel")] for row in rows} == KERNELS
    assert [row for row in rows if row[names.index("spilled")] != "0"] == []


@needs_compiler
def test_branches_of_other_kinds_are_pruned():
    """The length of a tuple picks a branch before numba types the function, by a named constant, too."""
    code = """
from numba import cuda, types
from numba_car._cuda.row import NUMBER

def first(batch):
    kind = len(batch)
    if kind == NUMBER:
        return batch[0]
    return batch.no_such_attribute

def compiled(length):
    signature = types.float64(types.UniTuple(types.float64, length))
    return cuda.compile(first, signature, device=True, cc=(9, 0))

compiled(NUMBER)
try:
    compiled(NUMBER + 1)
except Exception as error:
    print(error)
"""
    assert "no_such_attribute" in output_of("-c", code)


@needs_compiler
def test_indices_have_64_bits():
    """Arrays may have more elements, and batches more rows, than 32 bits can tell."""
    found = [json.loads(line) for line in output_of("-m", INDEX_TYPES).splitlines()]
    by_function = {f["function"]: set() for f in found}
    for f in found:
        by_function[f["function"]].add(f["bits"])
    assert {"at", "store", "rescale_rows", "_gather", "_cast"} <= set(by_function)
    assert {name for name, bits in by_function.items() if bits != {64}} == set()


@needs_compiler
def test_few_rows_are_launched_without_a_warning():
    """numba's, of grids too small to fill a GPU, still comes to callers for kernels of their own."""
    code = """
import warnings
from numba import cuda
from numba_car._cuda.rescale import rescale_rows
warnings.simplefilter("error")
rescale_rows[(1, 1), (32, 1)]
try:
    cuda.jit(lambda: None)[1, 32]
except Warning as warning:
    print(warning)
"""
    assert "Grid size 1 will likely" in output_of("-c", code)
