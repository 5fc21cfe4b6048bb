"""Nothing is missing on the pages; what stands on them is tested by doctest and by building them."""

from pathlib import Path

import pytest

import numba_car as car
from numba_car import kernels, offline

ROOT = Path(__file__).parent.parent
PAGES = {"arrays": car, "kernels": kernels, "offline": offline}


@pytest.mark.parametrize("page", PAGES)
def test_every_public_name_is_on_its_page(page):
    text = (ROOT / "docs" / "api" / f"{page}.rst").read_text(encoding="utf-8")
    for name in PAGES[page].__all__:
        assert f":: {name}\n" in text or f":: {name}()\n" in text or name == "kernels"


def test_every_table_of_results_is_on_a_page():
    text = "".join(page.read_text(encoding="utf-8") for page in ROOT.glob("docs/*.md"))
    for table in ROOT.glob("benchmarks/results/*.md"):
        assert f"{{include}} ../benchmarks/results/{table.name}\n" in text
