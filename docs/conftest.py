"""The examples on the pages are doctests; each page runs in an empty folder."""

import re

import pytest


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.name == "gpu.md":
            item.add_marker(pytest.mark.gpu)


@pytest.fixture(autouse=True)
def page(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for module in re.findall(r"^>>> (?:import|from) (\w+)", request.path.read_text(), re.MULTILINE):
        pytest.importorskip(module, reason=f"{module} is not installed")
