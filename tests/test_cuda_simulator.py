"""The CUDA kernels in numba's simulator, which must be chosen before numba is imported."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(
        importlib.util.find_spec("numba_cuda") is None, reason="numba-cuda is not installed"
    ),
]

TESTS = Path(__file__).parent
# How many tests there are at least: none may go missing unseen.
CASES = {
    "cuda_cases.py": 137,
    "cuda_step_cases.py": 46,
    "cuda_step_derivative_cases.py": 58,
    "cuda_grid_cases.py": 26,
    "cuda_torch_cases.py": 82,
    "cuda_digits_cases.py": 9,
    "cuda_spread_cases.py": 11,
    "cuda_stream_cases.py": 7,
}


@pytest.mark.parametrize("file", CASES)
def test_kernels_in_the_simulator(file):
    if "torch" in file:
        pytest.importorskip("torch", reason="PyTorch is not installed")
    options = "-q", "-p", "no:cacheprovider", "-o", "addopts=", "-W", "ignore"
    found = subprocess.run(
        [sys.executable, "-m", "pytest", *options, TESTS / file],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "PYTEST_ADDOPTS": ""},
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    assert found.returncode == 0, found.stdout[-5000:] + found.stderr[-1000:]
    passed = re.search(r"(\d+) passed", found.stdout)
    assert passed is not None
    assert int(passed[1]) >= CASES[file], found.stdout
    assert "skipped" not in found.stdout, found.stdout


def run_the_benchmark(out, *options):
    subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.gpu", "--out", out, *options],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "PYTEST_ADDOPTS": ""},
        cwd=TESTS.parent,
        timeout=1200,
        check=True,
    )
    return json.loads((out / "gpu.json").read_text()), (out / "gpu.md").read_text()


def test_the_benchmark_of_gpus_runs_there(tmp_path):
    """All of it, so that no mistake is found on a GPU only; this stands for compute-sanitizer."""
    stub = tmp_path / "sanitizer"
    stub.write_text('#!/bin/sh\ntest "$1" = --tool && shift 4 && exec "$@"\n')
    stub.chmod(0o755)
    found, shown = run_the_benchmark(tmp_path, "--sanitizer", stub)
    assert {check["status"] for check in found["checks"].values()} == {0}, found["checks"]
    assert {name.split(",")[0] for name in found["checks"]} == {
        *("tests", "memcheck", "racecheck", "times"),
    }
    assert "1 passed" in found["checks"]["tests"]["tail"]
    assert found["device"] == "numba's simulator"
    for dtype in ("float32", "float64"):
        ours = found["results"][f"times, {dtype}"]
        assert {result["what"] for result in ours} == {"eta", "rescale", "rescale_vjp"}
        assert min(result["seconds"] for result in ours) > 0
    peers = {r["what"]: r.get("seconds") or r["error"] for r in found["results"]["times, peers"]}
    del peers["cuda.compute.segmented_sort"]  # which nothing here can run
    if importlib.util.find_spec("torch") and importlib.util.find_spec("foolbox"):
        assert all(isinstance(seconds, float) for seconds in peers.values()), peers
    assert "| eta |" in shown


def test_the_benchmark_of_gpus_ends_in_time_and_keeps_what_it_has(tmp_path):
    found, shown = run_the_benchmark(tmp_path, "--minutes", "0.01")
    assert [check["status"] for check in found["checks"].values()] == ["stopped, out of time"]
    assert "stopped, out of time" in shown
