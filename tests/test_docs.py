"""Nothing is missing on the pages; what stands on them is tested by doctest and by building them."""

import importlib
import importlib.util
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = {
    "arrays": "",
    "cuda": ".cuda",
    "kernels": ".kernels",
    "offline": ".offline",
    "ragged": ".ragged",
}
NEEDS_CUDA = pytest.mark.skipif(
    importlib.util.find_spec("numba_cuda") is None, reason="numba-cuda is not installed"
)


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=NEEDS_CUDA if page == "cuda" else ()) for page in PAGES]
)
def test_every_public_name_is_on_its_page(page):
    text = (ROOT / "docs" / "api" / f"{page}.rst").read_text(encoding="utf-8")
    for name in importlib.import_module(f"numba_car{PAGES[page]}").__all__:
        assert f":: {name}\n" in text or f":: {name}()\n" in text or name in PAGES


def test_every_table_of_results_has_a_page():
    for table in ROOT.glob("benchmarks/results/*.md"):
        page = (ROOT / "docs" / "benchmarks" / table.name).read_text(encoding="utf-8")
        assert f"{{include}} ../../benchmarks/results/{table.name}\n" in page


def test_the_readme_is_short_and_its_links_lead_somewhere():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count("\n") <= 200
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert "docs/tutorial.md" in links
    for link in links:
        assert (ROOT / link).exists(), link


def test_the_notebook_is_the_tutorial():
    """Otherwise run docs/notebook.py."""
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    page, made = ROOT / "docs" / "tutorial.md", runpy.run_path(str(ROOT / "docs" / "notebook.py"))
    expected = made["notebook"](page.read_text(encoding="utf-8"))
    assert nbformat.read(page.with_suffix(".ipynb"), as_version=4) == expected
    nbformat.validate(expected)
    code = "".join(cell.source for cell in expected.cells if cell.cell_type == "code")
    assert "car.rescale(x, delta, 20.0)" in code
    assert ">>>" not in code


@pytest.mark.cuda
@NEEDS_CUDA
def test_the_page_of_gpus_in_the_simulator():
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "docs/howto/gpu.md"],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "PYTEST_ADDOPTS": ""},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "1 passed" in found.stdout, found.stdout


@pytest.mark.cuda
@NEEDS_CUDA
def test_examples_of_gpus_in_the_simulator():
    """Those that are skipped elsewhere, since they need a GPU."""
    code = "import doctest, numba_car.cuda; doctest.OPTIONFLAGS_BY_NAME['SKIP'] = 0\n"
    code += "flags = doctest.NORMALIZE_WHITESPACE\n"
    code += "print(doctest.testmod(numba_car.cuda, optionflags=flags))"
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert found.stdout == "TestResults(failed=0, attempted=28)\n", found.stdout + found.stderr
