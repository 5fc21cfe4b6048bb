"""Nothing is lost: a run that is killed, interrupted or out of space goes on to the same bytes."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from numba_car import _numpy, offline
from numba_car.offline import journal, memory
from numba_car.offline.sinks import FlatSink

ROWS, N = 60, 500
CALL = {"eps": 1.0, "noise": "gaussian", "seed": 3, "out": "v.npy"}
SLOW = """
import sys, time
from numba_car import offline
from numba_car.offline import blocks, memory
memory._BLOCK = 5 * 4 * 500
if "zarr" in {call}["out"]:
    from numba_car.offline import zarrs
    zarrs._CHUNK, zarrs._SHARD = 4 * 500, 5 * 4 * 500
compute = blocks.BlockSolver.compute
def slowly(self, start, stop):
    print(start, flush=True)
    {pace}
    return compute(self, start, stop)
blocks.BlockSolver.compute = slowly
try:
    offline.rescale("x.npy", resume=True, **{call})
except KeyboardInterrupt:
    sys.exit(77)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(memory, "_BLOCK", 5 * 4 * N)
    np.save("x.npy", np.random.default_rng(0).random((ROWS, N), dtype=np.float32))
    return tmp_path


@pytest.fixture
def whole(folder):
    """The bytes that every run must end with."""
    offline.rescale("x.npy", **CALL | {"out": "whole.npy"})
    return Path("whole.npy").read_bytes()


def start(pace="time.sleep(0.02)", **changes):
    code = SLOW.replace("{call}", repr(CALL | changes)).replace("{pace}", pace)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", code], **pipes)


def stopped_after(blocks, monkeypatch, **changes):
    """Run until so many blocks are stored, then fail as a full disk does."""
    write = FlatSink.write
    left = [2 * blocks]  # the rows of a block, and their records

    def failing(self, start, block):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "v.npy.partial/data.npy")
        write(self, start, block)

    with monkeypatch.context() as patch:
        patch.setattr(FlatSink, "write", failing)
        with pytest.raises(OSError, match=r"No space left.*; resume=True goes on"):
            offline.rescale("x.npy", **CALL | changes)


def contents(name):
    path = Path(name.partition(":")[0])
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    return {str(f.relative_to(path)): f.read_bytes() for f in files if f.is_file()}


@pytest.mark.parametrize(("out", "package"), [("npy", None), ("zarr", "zarr"), ("h5:/a/v", "h5py")])
def test_sigkill_loses_nothing(folder, monkeypatch, out, package):
    if package:
        pytest.importorskip(package, reason=f"{package} is not installed")
    if out == "zarr":
        monkeypatch.setattr("numba_car.offline.zarrs._CHUNK", 4 * N)
        monkeypatch.setattr("numba_car.offline.zarrs._SHARD", 5 * 4 * N)
    offline.rescale("x.npy", **CALL | {"out": f"whole.{out}"})
    call = CALL | {"out": f"v.{out}"}
    place = f"v.{out}".partition(":")[0]
    rng = random.Random(0)
    for blocks in (1, 3):  # of 12, each of which waits for a word; the first of 3 is stored
        process = start(pace="sys.stdin.readline()", **call)
        for _ in range(blocks):
            assert process.stdout.readline()
            print(file=process.stdin, flush=True)
        time.sleep(rng.uniform(0, 0.02))
        assert not Path(place).exists()
        process.kill()
        process.communicate()
    assert 0 < offline.rescale("x.npy", resume=True, **call)["rows_resumed"] < ROWS
    assert contents(f"v.{out}") == contents(f"whole.{out}")
    assert not Path(f"{place}.partial").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl-C to all processes of a console")
def test_an_interrupt_stops_at_once(whole):
    process = start()
    for _ in range(3):
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 77
    report = offline.rescale("x.npy", resume=True, **CALL)
    assert 0 < report["rows_resumed"] < ROWS
    assert Path("v.npy").read_bytes() == whole


def test_a_full_disk(whole, monkeypatch):
    stopped_after(4, monkeypatch)
    assert not Path("v.npy").exists()
    report = offline.rescale("x.npy", resume=True, **CALL)
    assert report["rows_resumed"] == 4 * 5
    assert Path("v.npy").read_bytes() == whole


def test_the_report_and_etas_know_of_all_rows(folder, monkeypatch):
    """Also where no etas were asked for at first."""
    whole = offline.rescale("x.npy", eta_out="eta0.npy", **CALL | {"out": "whole.npy"})
    stopped_after(6, monkeypatch)
    report = offline.rescale("x.npy", eta_out="eta.npy", resume=True, **CALL)
    assert report["norm"] == whole["norm"]
    assert Path("eta.npy").read_bytes() == Path("eta0.npy").read_bytes()


@pytest.mark.parametrize(("name", "place"), [("data.npy", 600), ("rows.bin", 100)])
def test_rows_that_the_disk_lost_are_done_again(whole, monkeypatch, name, place):
    stopped_after(6, monkeypatch)
    with Path("v.npy.partial", name).open("r+b") as file:
        file.seek(place)
        file.write(b"\0" * 40)
    report = offline.rescale("x.npy", resume=True, **CALL)
    assert report["rows_resumed"] < 6 * 5
    assert Path("v.npy").read_bytes() == whole


@pytest.mark.parametrize("torn", ['{"start": 5, "st', "\0\0\0\0\0\0", '{"start": 5}\n', "7\n"])
def test_a_torn_line_of_the_manifest(whole, monkeypatch, torn):
    stopped_after(3, monkeypatch)
    with Path("v.npy.partial/manifest.jsonl").open("a") as file:
        file.write(torn)
    report = offline.rescale("x.npy", resume=True, **CALL)
    assert report["rows_resumed"] == 15
    assert Path("v.npy").read_bytes() == whole


def test_killed_after_the_rename(whole, monkeypatch):
    """The output has its name, and the state is still there: resuming cleans up."""
    with monkeypatch.context() as patch:
        patch.setattr("numba_car.offline.loop.summary", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            offline.rescale("x.npy", **CALL)
    assert Path("v.npy").exists()
    assert Path("v.npy.partial").exists()
    report = offline.rescale("x.npy", resume=True, **CALL)
    assert report["rows_resumed"] == ROWS
    assert Path("v.npy").read_bytes() == whole
    assert not Path("v.npy.partial").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eps": 2.0}, r"settings?.*eps was 1\.0, is 2\.0"),
        ({"seed": 4}, "seed was 3, is 4"),
        ({"p": np.inf}, 'p was 2, is "inf"'),
        ({"noise": "sign"}, 'noise was "gaussian", is "sign"'),
        ({"bounds": (0, None)}, r"bounds was \[0\.0, 1\.0\], is \[0, null\]"),
    ],
    ids=lambda v: "-".join(v) if isinstance(v, dict) else "",
)
def test_other_settings_are_refused(folder, monkeypatch, changes, message):
    stopped_after(2, monkeypatch)
    with pytest.raises(offline.OfflineError, match=message.replace("settings?.*", "")):
        offline.rescale("x.npy", resume=True, **CALL | changes)
    assert Path("v.npy.partial").exists()


def test_another_device_is_refused(folder, monkeypatch):
    """Its results may differ in their last bits."""
    pytest.importorskip("numba_cuda", reason="numba-cuda is not installed")
    monkeypatch.setattr("numba_car._cuda.device_memory.check_driver", lambda: None)
    stopped_after(2, monkeypatch)
    with pytest.raises(offline.OfflineError, match='device was "cpu", is "cuda"'):
        offline.rescale("x.npy", resume=True, device="cuda", **CALL)


@pytest.mark.parametrize(("small", "row"), [(ROWS * 4 * N, 1), (0, ROWS - 1)])
def test_a_changed_input_is_refused(folder, monkeypatch, small, row):
    """Any row of a small file; of a larger one the last, which is always looked at."""
    monkeypatch.setattr("numba_car.offline.sources._SMALL", small)
    stopped_after(2, monkeypatch)
    before = Path("x.npy").stat()
    x = np.load("x.npy")
    x[row, 0] = 0.5
    np.save("x.npy", x)
    os.utime("x.npy", ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(offline.OfflineError, match=r"x \(x\.npy\)\.sample_crc32 was \d+, is \d+"):
        offline.rescale("x.npy", resume=True, **CALL)


def test_etas_that_a_gpu_did_not_keep_are_refused(folder, monkeypatch):
    pytest.importorskip("numba_cuda", reason="numba-cuda is not installed")
    monkeypatch.setattr("numba_car._cuda.device_memory.check_driver", lambda: None)
    monkeypatch.setattr("numba_car.offline.blocks.functions_on", lambda *_, **__: _numpy)
    stopped_after(2, monkeypatch, device="cuda")
    with pytest.raises(offline.OfflineError, match="keeps no etas, which eta_out= and plot= need"):
        offline.rescale("x.npy", resume=True, device="cuda", eta_out="eta.npy", **CALL)
    assert offline.rescale("x.npy", resume=True, device="cuda", **CALL)["rows_resumed"] == 10


def test_a_changed_bound_is_refused(folder, monkeypatch):
    np.save("lower.npy", np.zeros(N))
    stopped_after(2, monkeypatch, bounds=("lower.npy", 1))
    np.save("lower.npy", np.full(N, -0.1))
    with pytest.raises(
        offline.OfflineError, match=r"lower \(lower\.npy\)\.sample_crc32 was \d+, is"
    ):
        offline.rescale("x.npy", resume=True, bounds=("lower.npy", 1), **CALL)


def test_blocks_of_another_size_after_each_stop(whole, monkeypatch):
    """What is done stays done, whatever the memory is from then on."""
    stopped_after(2, monkeypatch)
    for rows in (7, 3):
        monkeypatch.setattr(memory, "_BLOCK", rows * 4 * N)
        stopped_after(2, monkeypatch, resume=True)
    lines = Path("v.npy.partial/manifest.jsonl").read_text().splitlines()[1:]
    found = [json.loads(line) for line in lines]
    assert [line["stop"] for line in found] == [5, 10, 17, 24, 27, 30]
    assert offline.rescale("x.npy", resume=True, **CALL)["rows_resumed"] == 30
    assert Path("v.npy").read_bytes() == whole


def test_a_smaller_block_fills_the_gap_that_a_larger_one_left(whole, monkeypatch):
    stopped_after(6, monkeypatch)
    with Path("v.npy.partial/data.npy").open("r+b") as file:
        file.seek(-(ROWS - 12) * 4 * N, os.SEEK_END)  # row 12, of the third block
        file.write(b"\0" * 40)
    monkeypatch.setattr(memory, "_BLOCK", 2 * 4 * N)
    assert offline.rescale("x.npy", resume=True, **CALL)["rows_resumed"] == 5 * 5
    assert Path("v.npy").read_bytes() == whole


def test_what_exists_is_not_replaced(whole, monkeypatch):
    Path("v.npy").write_text("mine")
    with pytest.raises(FileExistsError, match="force"):
        offline.rescale("x.npy", **CALL)
    with pytest.raises(FileExistsError, match="force"):
        offline.rescale("x.npy", resume=True, **CALL)
    assert Path("v.npy").read_text() == "mine"
    stopped_after(2, monkeypatch, force=True)
    assert Path("v.npy").read_text() == "mine"
    Path("v.npy").unlink()
    with pytest.raises(FileExistsError, match="resume"):
        offline.rescale("x.npy", **CALL)
    offline.rescale("x.npy", force=True, **CALL)
    assert Path("v.npy").read_bytes() == whole


def test_two_runs_at_once_are_kept_apart(folder, monkeypatch):
    pytest.importorskip("fcntl", reason="locks are POSIX's")
    stopped_after(2, monkeypatch)
    held = journal.Journal(Path("v.npy.partial/manifest.jsonl"))
    for option in ("resume", "force"):
        with pytest.raises(offline.OfflineError, match="another process"):
            offline.rescale("x.npy", **{option: True}, **CALL)
    held.close()
    assert offline.rescale("x.npy", resume=True, **CALL)["rows_resumed"] == 10


def test_the_manifest_is_lines_of_json(folder, monkeypatch):
    stopped_after(2, monkeypatch)
    first, *lines = Path("v.npy.partial/manifest.jsonl").read_text().splitlines()
    assert json.loads(first)["settings"]["eps"] == 1.0
    assert [json.loads(line)["stop"] for line in lines] == [5, 10]
