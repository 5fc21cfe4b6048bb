"""The CUDA kernels through the real compiler, which needs no GPU; in a process of its own."""

import importlib.util
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
    "rescale_vjp",
    "sort and scan",
    "sum",
}
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
    figures = [json.loads(line) for line in found.stdout.splitlines()]
    assert {f["kernel"] for f in figures} == KERNELS
    for kernel in KERNELS - {"judge", "sum"}:
        assert {f["dtype"] for f in figures if f["kernel"] == kernel} == {"float32", "float64"}
    for figure in figures:
        assert figure["spilled"] == figure["stack"] == 0, figure
        assert figure["shared"] < MOST_SHARED, figure
        assert 0 < figure["registers"] <= 128, figure  # 512 threads share 65536
