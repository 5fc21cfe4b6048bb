"""What type checkers find in users' programs: the kind of array that goes in comes out, and options are words."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def is_installed(package):
    return importlib.util.find_spec(package) is not None


def check(checker, *arguments):
    if not is_installed(checker):
        pytest.skip(f"{checker} is not installed")
    command = [sys.executable, "-m", checker, *arguments]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def test_mypy():
    check("mypy", "tests/data/typing_user.py")


def test_pyright():
    programs = ["tests/data/typing_user.py"]
    if is_installed("torch"):  # which mypy takes a minute to read
        programs.append("tests/data/typing_torch.py")
    check("pyright", "--pythonpath", sys.executable, *programs)
