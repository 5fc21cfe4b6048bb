"""Files of the operating system: what Windows refuses or lacks, which is faked here."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from numba_car import offline
from numba_car.offline import files, journal, memory

ROWS, N = 30, 50
CALL = {"eps": 1.0, "noise": "gaussian", "seed": 3}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(memory, "_BLOCK", 5 * 4 * N)
    np.save("x.npy", np.random.default_rng(0).random((ROWS, N), dtype=np.float32))
    return tmp_path


@pytest.fixture
def windows(monkeypatch):
    monkeypatch.setattr(files, "_IS_WINDOWS", True)
    monkeypatch.setattr(files, "_PAUSE", 0)


def refusing(monkeypatch, name, times):
    """Let so many renames to a name fail as they do on Windows while the file is open."""
    replace, left = os.replace, [times]

    def failing(before, after):
        if str(after) == name and left[0]:
            left[0] -= 1
            raise PermissionError(13, "Access is denied", str(before), 5, str(after))
        replace(before, after)

    monkeypatch.setattr(files.os, "replace", failing)


@pytest.mark.parametrize("name", ["v.npy", "eta.npy", "report.json", "v.npy.run.json"])
def test_a_rename_that_windows_refuses_for_a_moment(windows, monkeypatch, name):
    refusing(monkeypatch, name, 3)
    offline.rescale("x.npy", out="v.npy", eta_out="eta.npy", report="report.json", **CALL)
    assert sorted(path.name for path in Path().iterdir()) == [
        "eta.npy", "report.json", "v.npy", "v.npy.run.json", "x.npy",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("out", "package"), [("v.npy", None), ("v.zarr", "zarr"), ("v.h5", "h5py")]
)
def test_an_output_that_another_program_has_open(windows, monkeypatch, out, package):
    """The run is told to resume once it is closed, and then has nothing left to compute."""
    if package:
        pytest.importorskip(package, reason=f"{package} is not installed")
    call = CALL | {"out": f"{out}:/v" if package == "h5py" else out}
    offline.rescale("x.npy", **call | {"seed": 1})
    with monkeypatch.context() as patch:
        refusing(patch, out, 99)
        with pytest.raises(PermissionError, match="is open in another program") as caught:
            offline.rescale("x.npy", force=True, **call)
    assert caught.value.filename == out
    assert offline.rescale("x.npy", resume=True, **call)["rows_resumed"] == ROWS


def test_a_refusal_elsewhere_is_no_matter_of_waiting(monkeypatch):
    refusing(monkeypatch, "v.npy", 1)
    with pytest.raises(PermissionError, match="Access is denied"):
        offline.rescale("x.npy", out="v.npy", **CALL)


@pytest.mark.parametrize(
    ("out", "package"), [("v.npy", None), ("v.zarr", "zarr"), ("v.h5:/v", "h5py")]
)
def test_nothing_is_asked_of_the_system_that_windows_lacks(monkeypatch, out, package):
    if package:
        pytest.importorskip(package, reason=f"{package} is not installed")
    for name in ("pwrite", "pread", "fork", "sysconf", "O_DIRECTORY"):
        monkeypatch.delattr(os, name, raising=False)
    for name in ("fcntl", "resource"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(files, "_fcntl", None)
    monkeypatch.setattr(memory, "Path", lambda _: Path("/there/is/no/such/file"))
    assert memory.resident() == memory._MOST_TAKEN
    assert offline.rescale("x.npy", out=out, **CALL)["rows"] == ROWS


def test_two_runs_at_once_are_kept_apart_on_windows(monkeypatch):
    """`msvcrt.locking` locks some bytes from the present position on."""
    locked = {}

    def locking(descriptor, mode, count):
        place = os.fstat(descriptor).st_ino, os.lseek(descriptor, 0, os.SEEK_CUR)
        if locked.setdefault(place, descriptor) != descriptor:
            raise PermissionError(13, "Permission denied")
        assert (mode, count) == ("LK_NBLCK", 1)

    monkeypatch.setattr(files, "_fcntl", None)
    monkeypatch.setattr(files, "_msvcrt", SimpleNamespace(LK_NBLCK="LK_NBLCK", locking=locking))

    def stop(done, *_):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        offline.rescale("x.npy", out="v.npy", progress=stop, **CALL)
    locked.clear()  # as the end of a process does
    held = journal.Journal(Path("v.npy.partial/manifest.jsonl"))
    assert held.done
    with pytest.raises(offline.OfflineError, match="another process"):
        offline.rescale("x.npy", out="v.npy", resume=True, **CALL)
    held.close()
    locked.clear()
    assert offline.rescale("x.npy", out="v.npy", resume=True, **CALL)["rows_resumed"] >= 5
