"""`numba-car rescale`: what it prints, how it exits, and one line for whatever goes wrong."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("click", reason="the command line needs click")
pytest.importorskip("rich", reason="the command line needs rich")

from click.testing import CliRunner

import numba_car as car
from numba_car.cli.app import app

NOISE = ("--noise", "gaussian", "--eps", "2", "-o", "v.npy")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.save("x.npy", rng.integers(0, 256, (20, 300), np.uint8))
    np.save("delta.npy", rng.standard_normal((20, 300), dtype=np.float32))
    np.save("f.npy", rng.random((20, 300), dtype=np.float32))
    return tmp_path


def invoke(*arguments):
    return CliRunner(env={"COLUMNS": "80"}).invoke(app, ["rescale", *arguments])


def fails(status, *arguments):
    """Return the one line of an error."""
    result = invoke(*arguments)
    assert result.exit_code == status, result.output
    (line,) = result.output.splitlines()
    assert not Path("v.npy").exists()
    return line


def test_it_writes_and_says_what():
    result = invoke("x.npy", "delta.npy", "--eps", "2", "-o", "v.npy", "--report", "r.json")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert max(map(len, result.output.splitlines())) <= 80
    assert re.search(r"^ *rows +20 *$", result.output, re.MULTILINE)
    assert "v.npy" in result.output
    expected = car.rescale(np.load("x.npy") / np.float32(255), np.load("delta.npy"), 2.0)
    np.testing.assert_allclose(np.load("v.npy"), expected, atol=1e-6)
    report = json.loads(Path("r.json").read_text())
    assert report["norm"]["mean"] == pytest.approx(2, rel=1e-6)


def test_every_option_reaches_the_function(monkeypatch):
    seen = {}

    def rescale(**arguments):
        seen.update(arguments)
        return {
            "rows": 1, "rows_resumed": 1, "norm": {"min": None, "mean": None, "max": None},
            "norm_is_of": "floats", "saturated": {"count": 0, "indices": []},
            "nan": {"count": 0, "indices": []}, "eps": {"min": None, "mean": None, "max": None},
            "deviation": {"max": None, "row": None},
            "seconds": 1.0, "rows_per_second": 0.0, "out": "v.npy",
        }  # fmt: skip

    monkeypatch.setattr("numba_car.offline.rescale", rescale)
    result = invoke(
        "x.npy", "--noise", "sign", "--seed", "7", "--eps-uniform", "1", "2", "-o", "v.npy",
        "--p", "inf", "--bounds", "none", "high.npy", "--infeasible", "nan", "--nan", "fail",
        "--dtype", "float64", "--input-range", "0", "9", "--round", "--eta-out", "e.npy",
        "--report", "r.json", "--memory", "1GiB", "--num-threads", "1", "--resume", "--force",
        "--scheduler", "local", "--workers", "3", "--device", "cuda",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert callable(seen.pop("progress"))
    assert seen == {
        "x": "x.npy", "delta": None, "noise": "sign", "seed": 7, "eps": None,
        "eps_uniform": (1, 2), "snr_db": None, "out": "v.npy", "p": np.inf, "bounds": (None, "high.npy"),
        "infeasible": "nan", "nan": "fail", "dtype": "float64", "input_range": (0, 9),
        "round": True, "eta_out": "e.npy", "report": "r.json", "plot": None, "memory": "1GiB",
        "num_threads": 1, "scheduler": "local", "workers": 3, "device": "cuda", "resume": True, "force": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("x.npy", "-o", "v.npy", "--eps", "1"), "give either DELTA or --noise, found neither"),
        (("x.npy", *NOISE, "--memory", "lots"), "--memory must be a size"),
        (("x.npy", *NOISE, "--bounds", "1", "0"), "--bounds must have lower <= upper"),
        (("x.npy", *NOISE, "--bounds", "a", "1"), "each of --bounds must be a number"),
        (("x.npy", *NOISE, "--eps", "thirty"), "--eps must be a number, a file that ends in .npy"),
        (("x.npy", *NOISE, "--eps", "-1"), "--eps must be finite and not negative"),
        (("x.txt", *NOISE), "X must be a file that ends in .npy"),
        (("x.npy", *NOISE, "--eta-out", "e.txt"), "--eta-out must end in .npy, found 'e.txt'"),
        (("x.npy", *NOISE, "-o", "x.npy"), "--out must not be the file of x"),
        (("f.npy", *NOISE, "--input-range", "0", "9"), "--input-range needs integers in x"),
        (("f.npy", *NOISE, "--round"), "--round needs integers in x, found float32 in f.npy"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, tuple) else "",
)
def test_wrong_arguments_exit_with_2(arguments, message):
    assert message in fails(2, *arguments)


def test_the_cure_is_an_option_of_the_command_line():
    np.save("x.npy", np.load("f.npy") - np.float32(0.5))
    assert "such as --bounds -1 1, or --bounds none none for none" in fails(1, "x.npy", *NOISE)


def test_without_a_gpu(monkeypatch):
    pytest.importorskip("numba_cuda", reason="numba-cuda is not installed")
    monkeypatch.setattr("numba.cuda.is_available", lambda: False)
    message = fails(1, "x.npy", *NOISE, "--device", "cuda")
    assert message.startswith("Error: device cuda: no CUDA driver was found")
    assert not Path("v.npy.partial").exists()


@pytest.mark.parametrize(
    "arguments", [("x.npy",), ("-o", "v.npy"), ("x.npy", *NOISE, "--noise", "loud")], ids=" ".join
)
def test_clicks_own_usage_errors(arguments):
    assert invoke(*arguments).exit_code == 2


def test_a_p_that_is_none_is_said_in_words():
    result = invoke("x.npy", *NOISE, "--p", "-1")
    assert "'-1' is not a number above 0, or inf" in result.output


def truncated():
    data = Path("x.npy").read_bytes()
    Path("bad.npy").write_bytes(data[:-1])


def objects():
    np.save("bad.npy", np.array([{}, []], dtype=object), allow_pickle=True)


def text():
    Path("bad.npy").write_text("no array at all")


def empty():
    Path("bad.npy").write_bytes(b"")


def complex_numbers():
    np.save("bad.npy", np.ones((2, 2), complex))


def one_axis():
    np.save("bad.npy", np.ones(5))


def a_folder():
    Path("bad.npy").mkdir()


@pytest.mark.parametrize(
    "make",
    [truncated, objects, text, empty, complex_numbers, one_axis, a_folder, lambda: None],
    ids=lambda f: f.__name__.strip("<>"),
)
def test_bad_files_are_named(make):
    make()
    assert "bad.npy: " in fails(1, "bad.npy", *NOISE)


def test_mismatched_rows():
    np.save("delta.npy", np.ones((19, 300), np.float32))
    line = fails(1, "x.npy", "delta.npy", "--eps", "1", "-o", "v.npy")
    assert "delta.npy: must have 20 rows" in line
    assert "(19, 300)" in line
    np.save("eps.npy", np.ones(19))
    assert "eps.npy: must have one eps" in fails(1, "x.npy", *NOISE, "--eps", "eps.npy")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="/proc is where nobody can write")
def test_a_folder_that_cannot_be_written():
    assert "/proc/v.npy.partial" in fails(1, "x.npy", *NOISE, "-o", "/proc/v.npy")
    assert "no/v.npy.partial: No such file" in fails(1, "x.npy", *NOISE, "-o", "no/v.npy")


def test_an_output_that_exists():
    Path("v.npy").write_text("mine")
    result = invoke("x.npy", *NOISE)
    assert result.exit_code == 1
    assert result.output == "Error: v.npy: exists already; --force replaces it\n"
    assert invoke("x.npy", *NOISE, "--force").exit_code == 0


def test_resume_of_a_complete_run_succeeds():
    for _ in range(2):
        result = invoke("x.npy", *NOISE, "--resume")
        assert result.exit_code == 0, result.output
    assert re.search(r"^ *rows +20 \(complete already\) *$", result.output, re.MULTILINE)
    result = invoke("x.npy", *NOISE, "--resume", "--seed", "7")
    assert result.exit_code == 1
    assert "v.npy: complete, but written with something else: --seed was 0, is 7" in result.output


@pytest.mark.skipif(shutil.which("timeout") is None, reason="needs a shell with timeout")
def test_a_script_that_resumes_until_success_ends():
    """Killed at first, and run again after its success."""
    np.save("x.npy", np.zeros((100_000, 300), np.uint8))
    command = f"{sys.executable} -m numba_car.cli rescale x.npy --noise sign --eps 1 -o v.npy"
    script = f"""
    tries=0
    timeout -s KILL 3 {command}
    for run in 1 2; do
        until {command} --resume; do tries=$((tries + 1)); test $tries -lt 9 || exit 3; done
    done
    exit $tries
    """
    found = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=False, timeout=120
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("complete already") >= 1
    assert not Path("v.npy.partial").exists()


def test_nan_rows():
    np.save("x.npy", np.full((3, 5), np.nan, np.float32))
    line = fails(1, "x.npy", *NOISE, "--nan", "fail")
    assert "x.npy: row 0 has NaN" in line
    assert line.endswith("; --nan keep makes such rows NaN")
    result = invoke("x.npy", *NOISE)
    assert result.exit_code == 0
    assert re.search(r"^ *NaN +3 have no result: rows 0, 1, 2 *$", result.output, re.MULTILINE)


def test_saturated_rows_and_the_largest_deviation():
    result = invoke("f.npy", *NOISE[:2], "--eps", "99", "-o", "v.npy")
    cells = r"^ *saturated +20 cannot reach eps: rows 0, 1, 2, 3, 4, \.\.\. *$"
    assert re.search(cells, result.output, re.MULTILINE)
    assert re.search(r"^ *\|norm/eps - 1\| +- *$", result.output, re.MULTILINE)
    report = ("--report", "r.json", "--force")
    result = invoke("f.npy", *NOISE, *report)
    found = json.loads(Path("r.json").read_text())["deviation"]
    cells = rf"^ *\|norm/eps - 1\| +at most {found['max']:.2g} \(row {found['row']}\) *$"
    assert re.search(cells, result.output, re.MULTILINE)


def test_a_bad_element_is_named_by_its_place_in_the_file():
    f = np.load("f.npy")
    f[17, 200] = 1.5
    np.save("f.npy", f)
    line = fails(1, "f.npy", *NOISE)
    assert line.startswith("Error: f.npy, row 17, index (200,): X must lie within its bounds: 1.5 ")


def test_a_warning_is_one_line(monkeypatch):
    pytest.importorskip("zarr", reason="zarr is not installed")
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=9000))
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        result = invoke("x.npy", *NOISE[:-1], "v.zarr")
    assert result.exit_code == 0
    (line,) = result.stderr.splitlines()
    assert re.fullmatch(r"Warning: v\.zarr: without compression .* 9\.0 kB are free .*", line)


def test_traceback_on_demand():
    result = invoke("missing.npy", *NOISE, "--traceback")
    assert isinstance(result.exception, FileNotFoundError)


@pytest.mark.skipif(shutil.which("mount") is None, reason="needs a disk of its own")
@pytest.mark.parametrize(("out", "package"), [("v.zarr", "zarr"), ("v.h5:/v", "h5py")])
def test_a_full_disk(tmp_path, out, package):
    """On a small tmpfs of its own, whose free space is not looked at before the run; .npy is written as HDF5."""
    pytest.importorskip(package, reason=f"{package} is not installed")
    np.save("x.npy", np.full((3000, 300), 128, np.uint8))
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    code = """
import numba_car.offline.loop as loop, numba_car.offline.memory as memory
from numba_car.cli import main
memory._BLOCK, loop.check_space = 300_000, lambda *_: None
try:
    from numba_car.offline import zarrs
    zarrs._CHUNK = zarrs._SHARD = 300_000
except ImportError:
    pass
main()
"""
    options = ("--noise", "gaussian", "--eps", "1", "-o", str(small / out), "--resume")
    command = [sys.executable, "-c", code, "rescale", "x.npy", *options]
    try:
        full = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert full.returncode == 1
        *_, last = full.stderr.splitlines()  # old versions of what Zarr needs warn before
        assert re.fullmatch(r"Error: .*No space left on device; --resume goes on from here", last)
        assert "Traceback" not in full.stderr
        assert str(small) in full.stderr
        assert not (small / out.partition(":")[0]).exists()
        subprocess.run([*mount[:-3], "remount,size=20m", *mount[-2:]], check=True)
        subprocess.run(command, check=True, timeout=60, capture_output=True)
        assert (small / out.partition(":")[0]).exists()
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl-C to all processes of a console")
def test_an_interrupt_leaves_one_line_and_something_to_resume():
    np.save("x.npy", np.zeros((200_000, 300), np.uint8))
    command = [sys.executable, "-m", "numba_car.cli", "rescale", "x.npy", *NOISE]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    manifest = Path("v.npy.partial/manifest.jsonl")
    while not (manifest.exists() and len(manifest.read_text().splitlines()) > 2):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert output == ""
    assert errors == "Error: stopped; the same command with --resume goes on from here\n"
    assert manifest.exists()


def test_an_interrupt_that_was_dropped_on_the_way_is_kept(monkeypatch):
    def rescale(progress, **_):
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        progress(1, 2, 3)

    monkeypatch.setattr("numba_car.offline.rescale", rescale)
    assert "with --resume goes on" in fails(130, "x.npy", *NOISE)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_bar_shows_on_a_terminal():
    from io import StringIO

    from rich.console import Console

    from numba_car.offline.bar import bar

    for terminal in (True, False):
        file = StringIO()
        with bar(Console(file=file, force_terminal=terminal, width=80)) as progress:
            progress(0, 100, 4000)
            progress(50, 100, 4000)
        assert ("50/100" in file.getvalue()) == terminal
        assert ("rows/s" in file.getvalue()) == terminal
