"""The programs of the gallery run, and their norms are those that they ask for."""

import runpy
from pathlib import Path

import numpy as np
import pytest

PROGRAMS = sorted((Path(__file__).parent.parent / "docs" / "gallery").glob("plot_*.py"))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_program(program, monkeypatch, capsys):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    plt = pytest.importorskip("matplotlib.pyplot", reason="matplotlib is not installed")
    monkeypatch.setattr(plt, "show", lambda: None)
    with plt.rc_context({"backend": "agg"}):
        found = runpy.run_path(str(program))
        shown = plt.gcf()
        shown.canvas.draw()
        assert all(axes.has_data() for axes in shown.axes)
        plt.close("all")
    assert capsys.readouterr().out
    np.testing.assert_allclose(found["reached"], found["asked"], rtol=1e-5)
