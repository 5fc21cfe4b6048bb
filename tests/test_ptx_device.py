"""The kernels' PTX on a device made of the CPU, in processes of their own: see tests/support/ptx_device.

``pytest -m ptx -k "faults or share"`` runs what CI does, in some minutes, with threads and blocks shuffled; without
`-k` all kernels run, for an hour of one core, in the order that NUMBA_CAR_PTX_SEED shuffles.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.ptx_device import build
from tests.test_cuda_compile import has_compiler

MISSING = build.missing()
if not has_compiler():
    MISSING = "needs numba-cuda with its compiler: numba_car[cuda13]"
pytestmark = [pytest.mark.ptx, pytest.mark.skipif(bool(MISSING), reason=MISSING)]

TESTS = Path(__file__).parent
# How many tests pass at least: none may go missing unseen. The first has those of the files of cases that it imports.
CASES = {"test_cuda_gpu.py": 314, "test_cuda_gpu_spread.py": 11, "cuda_torch_cases.py": 82}
# Each kernel, with some of its dtypes and norms, in parts of about the same time.
SHARE = {
    "whole rows": [
        "cuda_cases.py::test_newton_on_hard_rows[float32-2.0-levels0]",
        "cuda_cases.py::test_newton_on_hard_rows[float64-1.0-levels0]",
        "cuda_cases.py::test_newton_on_hard_rows[float32-inf-levels1]",
        "cuda_cases.py::test_a_row_over_several_warps[2.0]",
        "cuda_cases.py::test_sort_and_scan[2.0]",
        "cuda_cases.py::test_solve_and_max_norm",
        "cuda_cases.py::test_bfloat16[2.0]",
    ],
    "long rows": [
        "cuda_cases.py::test_rows_too_long_for_the_chip[1-1048576-float32-2.0]",
        "cuda_cases.py::test_rows_too_long_for_the_chip[2-1048576-float32-1.0]",
    ],
    "derivatives": [
        "cuda_cases.py::test_gradients_against_differences[2.0-0.4]",
        "cuda_cases.py::test_gradients_of_what_was_broadcast[x1-delta1-eps1-bounds1-axis1]",
        "cuda_cases.py::test_tangents[2.0]",
        "cuda_cases.py::test_any_layout",
    ],
    "steps": [
        "cuda_step_cases.py::test_projections[1-float32]",
        "cuda_step_cases.py::test_projections[2-float32]",
        "cuda_step_cases.py::test_projections[inf-float32]",
        "cuda_step_cases.py::test_best_ascent[1-float32]",
        "cuda_step_cases.py::test_best_ascent[3.3-float32]",
        "cuda_step_cases.py::test_results_inside[float32-2]",
        "cuda_step_cases.py::test_results_inside[bfloat16-2]",
    ],
    "derivatives of steps": [
        *(
            f"cuda_step_derivative_cases.py::test_kinks_of_steps_have_the_cpus_derivatives[{call}]"
            for call in ("project-1", "project-2", "project-inf", "maximize-1", "maximize-3")
        ),
        "cuda_step_derivative_cases.py::test_tangents_of_steps_are_the_adjoint[70-project-1]",
    ],
    "grids": [
        "cuda_grid_cases.py::test_the_best_value_of_the_staircase[nearest-2]",
        "cuda_grid_cases.py::test_the_best_value_of_the_staircase[inside-inf]",
        "cuda_grid_cases.py::test_a_row_on_a_grid_over_several_warps[True]",
    ],
    "callers": [
        "cuda_cases.py::test_one_thread_a_row[float32-2.0]",
        "cuda_cases.py::test_errors_of_host_arrays_name_the_row_in_all_of_them",
    ],
    "tensors": [
        "cuda_torch_cases.py::test_sweeps",
        "cuda_torch_cases.py::test_derivatives[2.0]",
    ],
}


def passed(*tests, seed=None):
    """Return how many of some tests pass on the PTX device, where none fails."""
    plugins = ["plugin", *(["torch_memory"] if "torch" in tests[0] else [])]
    chosen = [part for name in plugins for part in ("-p", f"tests.support.ptx_device.{name}")]
    chosen += ["-q", "-p", "no:cacheprovider", "-o", "addopts=", "-W", "ignore", "--tb=short"]
    seed = os.environ.get("NUMBA_CAR_PTX_SEED", "0") if seed is None else str(seed)
    found = subprocess.run(
        [sys.executable, "-m", "pytest", *chosen, *(TESTS / test for test in tests)],
        env={**os.environ, "PYTEST_ADDOPTS": "", "NUMBA_CAR_PTX_SEED": seed},
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        timeout=3 * 3600,
        check=False,
    )
    assert found.returncode == 0, found.stdout[-5000:] + found.stderr[-1000:]
    return int(re.search(r"(\d+) passed", found.stdout)[1])


def test_faults_are_found():
    assert passed("ptx_cases.py", seed=0) >= 36  # which say what comes first


@pytest.mark.parametrize("part", SHARE)
def test_share_of_the_kernels(part):
    if part == "tensors":
        pytest.importorskip("torch", reason="PyTorch is not installed")
    assert passed(*SHARE[part], seed=1) == len(SHARE[part])


@pytest.mark.parametrize("file", CASES)
def test_all_kernels(file):
    if "torch" in file:
        pytest.importorskip("torch", reason="PyTorch is not installed")
    assert passed(file) >= CASES[file]


def test_the_benchmark_of_gpus_runs_there(tmp_path):
    """All of it, each of its processes on the device, which stands for compute-sanitizer, too."""
    stub, site = tmp_path / "sanitizer", TESTS / "support" / "ptx_device" / "site"
    stub.write_text('#!/bin/sh\ntest "$1" = --tool && shift 4 && exec "$@"\n')
    stub.chmod(0o755)
    options = "--tiny", "--out", tmp_path, "--sanitizer", stub, "--minutes", "60"
    subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.gpu", *options],
        env={**os.environ, "PYTEST_ADDOPTS": "", "PYTHONPATH": f"{site}{os.pathsep}{TESTS.parent}"},
        cwd=TESTS.parent,
        timeout=4000,
        check=True,
    )
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert {check["status"] for check in found["checks"].values()} == {0}, found["checks"]
    assert "1 passed" in found["checks"]["tests"]["tail"]
    assert {r["what"] for r in found["results"]["times, float32"]} == {
        "eta",
        "rescale",
        "rescale_vjp",
    }
