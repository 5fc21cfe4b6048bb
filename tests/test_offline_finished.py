"""`resume` of a run that is complete: a success if it is the same run, else an error that says why."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from numba_car import offline

ROWS, N = 30, 50
CALL = {"eps": 1.0, "noise": "gaussian", "seed": 3}
OUTPUTS = [("v.npy", None), ("v.zarr", "zarr"), ("v.h5:/a/v", "h5py")]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.random.default_rng(0).random((ROWS, N), dtype=np.float32))
    return tmp_path


def contents(name):
    path = Path(name.partition(":")[0])
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    return {str(f): (f.read_bytes(), f.stat().st_mtime_ns) for f in files if f.is_file()}


@pytest.mark.parametrize(("out", "package"), OUTPUTS)
@pytest.mark.parametrize("resume", [False, True])
def test_a_complete_run_is_a_success(monkeypatch, out, package, resume):
    """Whether the run that wrote the output was told to resume or not."""
    if package:
        pytest.importorskip(package, reason=f"{package} is not installed")
    first = offline.rescale("x.npy", out=out, resume=resume, **CALL)
    before, seen = contents(out), []
    monkeypatch.setattr("numba_car.offline.blocks.BlockSolver.compute", lambda *_: 1 / 0)
    again = offline.rescale(
        "x.npy", out=out, resume=True, report="report.json", num_threads=1, memory="1GiB",
        progress=lambda *numbers: seen.append(numbers), **CALL,
    )  # fmt: skip
    assert contents(out) == before
    assert seen == [(ROWS, ROWS, 4 * N)]
    assert json.loads(Path("report.json").read_text()) == again
    costs = {"rows_resumed", "seconds", "rows_per_second", "bytes_written"}
    assert {k: v for k, v in again.items() if k not in costs} == {
        k: v for k, v in first.items() if k not in costs
    }
    assert (again["rows_resumed"], again["bytes_written"]) == (ROWS, 0)
    with pytest.raises(FileExistsError, match="force=True replaces it"):
        offline.rescale("x.npy", out=out, **CALL)


@pytest.mark.parametrize(("out", "package"), OUTPUTS)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eps": 2.0}, r"eps was 1\.0, is 2\.0"),
        ({"seed": 4}, "seed was 3, is 4"),
        ({"p": np.inf}, 'p was 2, is "inf"'),
        ({"bounds": (0, None)}, r"bounds was \[0\.0, 1\.0\], is \[0, null\]"),
    ],
    ids=lambda v: "-".join(v) if isinstance(v, dict) else "",
)
def test_other_settings_are_refused_with_both_values(out, package, changes, message):
    if package:
        pytest.importorskip(package, reason=f"{package} is not installed")
    offline.rescale("x.npy", out=out, **CALL)
    before = contents(out)
    with pytest.raises(offline.OfflineError, match=rf"^{out}: complete, but .*{message}"):
        offline.rescale("x.npy", out=out, resume=True, **CALL | changes)
    assert contents(out) == before
    offline.rescale("x.npy", out=out, resume=True, force=True, **CALL | changes)
    assert contents(out) != before


def test_a_changed_input_is_refused():
    offline.rescale("x.npy", out="v.npy", **CALL)
    before = Path("x.npy").stat()
    np.save("x.npy", 1 - np.load("x.npy"))
    os.utime("x.npy", ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(offline.OfflineError, match=r"x \(x\.npy\)\.sample_crc32 was \d+, is \d+"):
        offline.rescale("x.npy", out="v.npy", resume=True, **CALL)


def test_an_output_that_is_not_the_runs_is_refused():
    offline.rescale("x.npy", out="v.npy", **CALL)
    np.save("v.npy", np.load("x.npy"))
    with pytest.raises(offline.OfflineError, match=r"out\.sample_crc32 was \d+, is \d+"):
        offline.rescale("x.npy", out="v.npy", resume=True, **CALL)


def test_a_deleted_output_is_written_again():
    offline.rescale("x.npy", out="v.npy", **CALL)
    before = Path("v.npy").read_bytes()
    Path("v.npy").unlink()
    assert offline.rescale("x.npy", out="v.npy", resume=True, **CALL)["rows_resumed"] == 0
    assert Path("v.npy").read_bytes() == before


def test_side_files_may_be_asked_for_of_a_complete_run(monkeypatch):
    """Those that are there are left; the others are written from rows that are computed again."""
    pytest.importorskip("matplotlib", reason="the plot needs matplotlib")
    offline.rescale("x.npy", out="v.npy", eta_out="eta.npy", **CALL)
    before = contents("v.npy") | contents("eta.npy")
    report = offline.rescale("x.npy", out="v.npy", eta_out="eta.npy", resume=True, **CALL)
    assert report["rows_resumed"] == ROWS
    assert contents("v.npy") | contents("eta.npy") == before
    monkeypatch.setattr("numba_car.offline.memory._BLOCK", 7 * 4 * N)
    files = {"eta_out": "again.npy", "plot": "plot.png"}
    for _ in range(2):
        assert offline.rescale("x.npy", out="v.npy", resume=True, **files, **CALL)["rows"] == ROWS
        assert Path("again.npy").read_bytes() == Path("eta.npy").read_bytes()
        assert Path("plot.png").exists()
        monkeypatch.setattr("numba_car.offline.blocks.BlockSolver.compute", lambda *_: 1 / 0)
    assert contents("v.npy") | contents("eta.npy") == before


def test_a_file_of_eta_that_the_run_did_not_write_is_refused():
    offline.rescale("x.npy", out="v.npy", **CALL)
    np.save("eta.npy", np.ones(ROWS))
    with pytest.raises(
        offline.OfflineError, match=r"^eta\.npy: is not what this run wrote; give eta"
    ):
        offline.rescale("x.npy", out="v.npy", eta_out="eta.npy", resume=True, **CALL)


_EMPTY = '"settings": {}, "inputs": {}, "files": {}, "report": {}'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"settings": {}}',
        "\0\xff",
        f"{{{_EMPTY}}}",
        f'{{"format": 2, {_EMPTY}}}',
    ],
)
def test_a_damaged_record_counts_as_none(text):
    offline.rescale("x.npy", out="v.npy", **CALL)
    Path("v.npy.run.json").write_text(text, encoding="latin-1")
    with pytest.raises(FileExistsError, match="force=True replaces it"):
        offline.rescale("x.npy", out="v.npy", resume=True, **CALL)


def test_the_record_is_not_the_place_of_another_file():
    with pytest.raises(ValueError, match=r"must not be the file of report, found 'v\.npy\.run"):
        offline.rescale("x.npy", out="v.npy", report="v.npy.run.json", **CALL)


def test_a_stopped_run_comes_before_an_older_record():
    """The output is that of the older run until the new one is complete."""

    def stop(*_):
        raise KeyboardInterrupt

    offline.rescale("x.npy", out="v.npy", **CALL)
    with pytest.raises(KeyboardInterrupt):
        offline.rescale("x.npy", out="v.npy", force=True, progress=stop, **CALL | {"eps": 2.0})
    report = offline.rescale("x.npy", out="v.npy", resume=True, **CALL | {"eps": 2.0})
    assert report["norm"]["max"] == pytest.approx(2.0, rel=1e-6)
    again = offline.rescale("x.npy", out="v.npy", resume=True, **CALL | {"eps": 2.0})
    assert again["norm"] == report["norm"]
    shutil.rmtree("v.npy.partial", ignore_errors=True)
    assert sorted(path.name for path in Path().iterdir()) == ["v.npy", "v.npy.run.json", "x.npy"]


def test_zarr_at_a_url():
    zarr = pytest.importorskip("zarr", reason="zarr is not installed")
    pytest.importorskip("fsspec", reason="fsspec is not installed")
    out = "memory://finished/v.zarr"
    offline.rescale("x.npy", out=out, **CALL)
    assert offline.rescale("x.npy", out=out, resume=True, **CALL)["rows_resumed"] == ROWS
    zarr.open_array(out, mode="r+")[0] = 0.25
    with pytest.raises(offline.OfflineError, match=r"sample_crc32 was"):
        offline.rescale("x.npy", out=out, resume=True, **CALL)
