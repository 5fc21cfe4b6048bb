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
CASES = {"cuda_cases.py": 112, "cuda_torch_cases.py": 72}


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


def test_the_benchmark_of_gpus_runs_there(tmp_path):
    subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.gpu", "--out", tmp_path],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
        cwd=TESTS.parent,
        timeout=1200,
        check=True,
    )
    found = json.loads((tmp_path / "gpu.json").read_text())
    timed = {result["what"] for result in found["results"] if result["seconds"] > 0}
    assert timed == {"eta", "rescale", "rescale_vjp"}
    assert "| eta |" in (tmp_path / "gpu.md").read_text()
