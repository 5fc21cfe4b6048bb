"""`numba-car rescale`: what it prints, how it exits, and one line for whatever goes wrong."""

import contextlib
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

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
            "norm_is_of": "floats", "saturated": {"count": 0}, "nan": {"count": 0},
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
        "eps_uniform": (1, 2), "out": "v.npy", "p": np.inf, "bounds": (None, "high.npy"),
        "infeasible": "nan", "nan": "fail", "dtype": "float64", "input_range": (0, 9),
        "round": True, "eta_out": "e.npy", "report": "r.json", "plot": None, "memory": "1GiB",
        "num_threads": 1, "scheduler": "local", "workers": 3, "device": "cuda", "resume": True, "force": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("x.npy", "-o", "v.npy", "--eps", "1"), "give one of delta, noise"),
        (("x.npy", *NOISE, "--memory", "lots"), "memory must be a size"),
        (("x.npy", *NOISE, "--bounds", "1", "0"), "lower <= upper"),
        (("x.txt", *NOISE), "'x.txt'"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, tuple) else "",
)
def test_wrong_arguments_exit_with_2(arguments, message):
    assert message in fails(2, *arguments)


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
    assert result.output == "Error: v.npy: exists already; force replaces it\n"
    assert invoke("x.npy", *NOISE, "--force").exit_code == 0


def test_resume_of_a_complete_run_succeeds():
    for _ in range(2):
        result = invoke("x.npy", *NOISE, "--resume")
        assert result.exit_code == 0, result.output
    assert re.search(r"^ *rows +20 \(complete already\) *$", result.output, re.MULTILINE)
    result = invoke("x.npy", *NOISE, "--resume", "--seed", "7")
    assert result.exit_code == 1
    assert "v.npy: complete, but written with something else: seed was 0, is 7" in result.output


@pytest.mark.parametrize(
    ("out", "package"), [("v.npy", "numpy"), ("v.zarr", "zarr"), ("v.h5:/v", "h5py")]
)
def test_a_script_that_resumes_until_success_ends(out, package):
    """Killed at first, and run twice after its success."""
    pytest.importorskip(package, reason=f"{package} is not installed")
    np.save("x.npy", np.zeros((100_000, 300), np.uint8))
    command = f"{sys.executable} -m numba_car.cli rescale x.npy --noise sign --eps 1 -o {out}"
    script = f"""
    tries=0
    timeout -s KILL 3 {command}
    for run in 1 2 3; do
        until {command} --resume; do tries=$((tries + 1)); test $tries -lt 9 || exit 3; done
    done
    exit $tries
    """
    found = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=False, timeout=120
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("complete already") >= 2
    assert not Path(f"{out.partition(':')[0]}.partial").exists()


def test_nan_rows():
    np.save("x.npy", np.full((3, 5), np.nan, np.float32))
    assert "x.npy: row 0 has NaN" in fails(1, "x.npy", *NOISE, "--nan", "fail")
    result = invoke("x.npy", *NOISE, "--force")
    assert result.exit_code == 0
    assert re.search(r"^ *NaN +3 *$", result.output, re.MULTILINE)


def test_traceback_on_demand():
    result = invoke("missing.npy", *NOISE, "--traceback")
    assert isinstance(result.exception, FileNotFoundError)


def test_a_full_disk(tmp_path):
    """On a small tmpfs of its own; where none can be mounted, under a limit on the file's size."""
    np.save("x.npy", np.full((3000, 300), 128, np.uint8))
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    limit = "" if mounted else "ulimit -f 1500; trap '' XFSZ; "
    out = small / "v.npy"
    command = f"{limit}exec {sys.executable} -m numba_car.cli rescale x.npy --noise sign --eps 1"
    command += f" -o {out} --resume"
    try:
        full = subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, check=False, timeout=60
        )
        assert full.returncode == 1
        assert re.fullmatch(r"Error: .*(No space left on device|File too large)\n", full.stderr)
        assert str(small) in full.stderr
        assert not out.exists()
        if mounted:
            subprocess.run([*mount[:-3], "remount,size=20m", *mount[-2:]], check=True)
        again = command.removeprefix(limit)
        subprocess.run(["bash", "-c", again], check=True, timeout=60, capture_output=True)
        assert np.load(out).shape == (3000, 300)
    finally:
        if mounted:
            subprocess.run(["umount", str(small)], check=True)


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
    assert process.returncode == 1
    assert output == ""
    assert errors == "Error: stopped; the same command with --resume goes on from here\n"
    assert manifest.exists()


def test_an_interrupt_that_was_dropped_on_the_way_is_kept(monkeypatch):
    def rescale(progress, **_):
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        progress(1, 2, 3)

    monkeypatch.setattr("numba_car.offline.rescale", rescale)
    assert "with --resume goes on" in fails(1, "x.npy", *NOISE)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_bar_shows_on_a_terminal():
    from io import StringIO

    from numba_car.cli.progress import bar
    from rich.console import Console

    for terminal in (True, False):
        file = StringIO()
        with bar(Console(file=file, force_terminal=terminal, width=80)) as progress:
            progress(0, 100, 4000)
            progress(50, 100, 4000)
        assert ("50/100" in file.getvalue()) == terminal
        assert ("rows/s" in file.getvalue()) == terminal
