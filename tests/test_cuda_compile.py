"""The CUDA kernels through the real compiler, which needs no GPU; in a process of its own."""

import importlib.util
import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.cuda

SCRIPT = Path(__file__).with_name("cuda_compile.py")
KERNELS = {
    "a thread a row",
    "cast",
    "copy of any layout",
    "eta_vjp",
    "judge",
    "newton, anew",
    "newton, in scratch",
    "newton, on chip",
    "norms",
    "rescale",
    "rescale_jvp",
    "rescale_vjp",
    "sort and scan",
    "sum",
}
PASSES, DTYPES = {"look", "raise", "kept", "anew"}, {"float32", "float64"}
MOST_SHARED = 48 * 1024


def has_compiler():
    return all(
        importlib.util.find_spec(name) for name in ("numba_cuda", "cuda")
    ) and importlib.util.find_spec("cuda.bindings")


@pytest.mark.skipif(
    not has_compiler(), reason="needs numba-cuda with its compiler: numba_car[cuda13]"
)
def test_kernels_compile_without_spilling():
    found = subprocess.run(
        [sys.executable, SCRIPT, "90", "--quick"],
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert found.returncode == 0, found.stderr[-5000:]
    lines = [json.loads(line) for line in found.stdout.splitlines()]
    figures, passes = ([line for line in lines if key in line] for key in ("kernel", "pass"))
    assert {f["kernel"] for f in figures} == KERNELS
    for kernel in KERNELS - {"judge"}:
        assert {f["dtype"] for f in figures if f["kernel"] == kernel} >= DTYPES
    brain = {"cast", "copy of any layout", "newton, on chip", "rescale"}
    assert {f["kernel"] for f in figures if f["dtype"] == "bfloat16"} == brain
    for figure in figures:
        assert figure["spilled"] == figure["stack"] == 0, figure
        assert figure["shared"] < MOST_SHARED, figure
        assert 0 < figure["registers"] <= 128, figure  # 512 threads share 65536
        assert figure["long_divisions"] == 0, figure
    assert {(f["pass"], f["dtype"]) for f in passes} == set(itertools.product(PASSES, DTYPES))
    for figure in passes:
        assert figure["f32"] == 0 if figure["dtype"] == "float64" else figure["f64"] == 0, figure
        assert figure["f32"] + figure["f64"] > 2, figure  # the reader of the PTX found them
