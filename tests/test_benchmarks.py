"""The programs that measure run, on little; what they find is not judged."""

import json
import re

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed")

from benchmarks import landscape
from benchmarks.suites.common.landscape import (
    CELLS,
    FUNCTIONS,
    _inexact,
    calls_of,
)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_every_cell_has_its_calls(cell):
    """Ours rescales the same rows as the one-liner, which the yardstick is, too, where it can be."""
    shape = min(3, cell.shape[0]), min(150_528, cell.shape[1])
    if cell.change == "torch":
        pytest.importorskip("torch", reason="PyTorch is not installed")
        yardstick, ours, *_ = calls_of(cell, shape, threads=None)
        assert yardstick() is ours["rescale_vjp"]() is None
        return
    yardstick, ours, wrong, size = calls_of(cell, shape)
    assert size == np.prod(shape)
    assert set(cell.goals({"rescale": 1})) <= set(ours) <= set(FUNCTIONS)
    yardstick()
    exact = ours["rescale"]()
    if wrong is None:
        assert cell.change in ("slow", "project", "maximize", "inside", "step")
        return
    found, inexact = wrong(), yardstick.args[-1]
    assert found.shape == exact.shape
    if not cell.change and cell.p == 2:
        np.testing.assert_allclose(found.astype(inexact.dtype), inexact, rtol=0, atol=5e-2)
        np.testing.assert_allclose(exact.astype(inexact.dtype), inexact, rtol=0, atol=0.5)


def test_the_yardstick_vectorises():
    row = np.full((1, 64), 0.5, np.float32)
    given = (row, row, *np.float32([0.5, 0, 1]), row.copy())
    _inexact(*given)
    np.testing.assert_allclose(given[-1], 0.5 + 0.5 / 8, rtol=1e-6)
    for code in _inexact.inspect_llvm().values():
        assert re.search(r"<\d+ x (float|double)>", code)


def test_a_run_writes_its_results(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(landscape, "RESULTS", tmp_path)
    monkeypatch.setattr(landscape, "PICTURE", tmp_path / "landscape.svg")
    landscape.main(["--cells", "^(1|32) x 784$", "--seconds", "0", "--write"])
    found = json.loads((tmp_path / "landscape.json").read_text())
    assert list(found["cells"]) == ["32 x 784", "1 x 784"]
    for cell in found["cells"].values():
        assert set(cell["figures"]) == {*FUNCTIONS, "one-liner", "ns"}
        assert min(cell["figures"].values()) > 0
    alone = found["cells"]["1 x 784"]
    assert alone["goals"]["solve"] == 3 * alone["figures"]["rescale"]
    table = (tmp_path / "landscape.md").read_text(encoding="utf-8")
    assert re.search(r"^\| 32 x 784 \| [*\d.]+ / 4 \| [*\d.]+ / 8 \|", table, re.MULTILINE)
    assert "32 x 784: rescale" in capsys.readouterr().err
    assert "<svg" in (tmp_path / "landscape.svg").read_text(encoding="utf-8")
