"""The examples run to their end, on small settings."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name, *arguments):
    found = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py", *map(str, arguments)],
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


@pytest.mark.parametrize(("p", "eps"), [("2", 1.0), ("inf", 0.2)])
def test_train_noise_generator(tmp_path, p, eps):
    for module in ("torch", "sklearn", "matplotlib"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    picture = tmp_path / "noise.png"
    printed = run("train_noise_generator", "--epochs", 1, "--eps", eps, "--p", p, "--out", picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    norms = re.findall(r"norms from ([\d.]+) to ([\d.]+)", printed)
    assert len(norms) == 6
    for least, most in norms:
        assert float(least) == pytest.approx(eps, rel=2e-6)
        assert float(most) == pytest.approx(eps, rel=2e-6)


def test_rescale_in_jax():
    pytest.importorskip("jax", reason="JAX is not installed")
    printed = run("rescale_in_jax", "--images", 2, "--size", 8, "--eps", 1.0)
    norms = [float(norm) for norm in re.search(r"jit   norms \[(.*?)\]", printed)[1].split()]
    assert norms == pytest.approx([1.0, 1.0], rel=1e-6)
    norms = [float(norm) for norm in re.search(r"first image: \[(.*?)\]", printed)[1].split()]
    assert norms == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0], rel=1e-6)
