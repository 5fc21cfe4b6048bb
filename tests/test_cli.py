"""The command line: what it prints, what it writes and how it exits."""

import re
import struct
import subprocess
import sys
from types import SimpleNamespace

import pytest

import numba_car as car

click = pytest.importorskip("click", reason="the command line needs click")
pytest.importorskip("rich", reason="the command line needs rich")

from click.testing import CliRunner, Result

from numba_car.cli import main
from numba_car.cli.app import app


def invoke(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "80"}).invoke(app, arguments, prog_name="numba-car")


def without(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the entry point in a process where a module cannot be imported."""
    code = f"import sys; sys.modules[{module!r}] = None; from numba_car.cli import main; main()"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    pytest.importorskip("matplotlib", reason="the demo draws with matplotlib")
    pytest.importorskip("skimage", reason="the demo shows scikit-image's photographs")
    out = tmp_path_factory.mktemp("demo") / "picture.png"
    return invoke("demo", "--rows", "2", "--out", str(out)), out


def six_digits(output: str, label: str) -> list[list[str]]:
    """Return the numbers of six digits in each line of the table that starts so."""
    lines = [line for line in output.splitlines() if line.strip().startswith(label)]
    return [re.findall(r"(?<!\S)[\d.]{7}(?!\S)", line) for line in lines]


def test_demo_succeeds_within_80_columns(demo):
    result, out = demo
    assert result.exit_code == 0, result.output
    table = result.output.partition("Picture:")[0]
    assert max(map(len, table.splitlines())) <= 80
    assert str(out) in result.output


def test_demo_reaches_the_norms_that_scale_then_clip_misses(demo):
    output = demo[0].output
    asked, exact = six_digits(output, "asked"), six_digits(output, "numba_car")
    clipped = six_digits(output, "scale, then clip")
    assert len(asked) == 3
    assert exact == asked
    for target, (_, mean, _) in zip(asked, clipped, strict=True):
        assert float(mean) < float(target[0])
    assert output.count("0 of 2") == 3
    assert "Saturated" not in output


def test_demo_writes_a_picture_of_its_promised_size(demo):
    data = demo[1].read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">I", data[16:20]) == (1600,)
    assert len(data) < 1.5e6


def test_demo_says_which_norms_cannot_be_reached(demo, tmp_path, monkeypatch):
    monkeypatch.setattr("numba_car.cli.demo.LEVELS", (0.3, 0.9))
    result = invoke("demo", "--rows", "1", "--out", str(tmp_path / "picture.png"))
    assert result.exit_code == 0, result.output
    assert "0 of 1" in result.output
    assert "1 of 1" in result.output
    asked, exact = six_digits(result.output, "asked"), six_digits(result.output, "numba_car")
    assert exact[0] == asked[0]
    assert exact[1] == six_digits(result.output, "largest reachable")[0]
    assert "Saturated: the row cannot reach that norm" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("demo", "--rows", "0"),
        ("demo", "--seed", "-1"),
        ("demo", "--p", "0"),
        ("demo", "--p", "nan"),
        ("demo", "--p", "two"),
        ("demo", "--out", "picture.jpg"),
        ("demo", "--out", "no/such/folder/picture.png"),
        ("warmup", "--p", "0"),
        ("warmup", "--p", "-1"),
        ("warmup", "--dtype", "int8"),
        ("info", "--nothing"),
        ("nothing",),
    ],
    ids=" ".join,
)
def test_usage_errors_exit_with_2(arguments):
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert "Error: " in result.output


@pytest.mark.parametrize("name", app.commands)
def test_help_shows_every_option_with_its_default(name):
    result = invoke(name, "--help")
    assert result.exit_code == 0
    text = "".join(result.output.split())  # wherever lines are broken
    for option in (p for p in app.commands[name].params if isinstance(p, click.Option)):
        assert option.opts[0] in text
        assert "".join(option.help.split()) in text
        if isinstance(option.default, (str, int)) and not option.is_flag:
            assert f"[default:{option.default}" in text
    assert "(none)" not in text
    assert max(map(len, result.output.splitlines())) <= 80


def test_help_names_every_command():
    result = invoke("--help")
    assert result.exit_code == 0
    assert all(re.search(rf"^  {name}\b", result.output, re.MULTILINE) for name in app.commands)


def test_python_m():
    command = [sys.executable, "-m", "numba_car", "--version"]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout == f"numba-car, version {car.__version__}\n"


def test_ctrl_c_ends_with_the_status_of_an_interrupt(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("numba_car._jit.cache_folder", interrupted)
    result = invoke("info")
    assert (result.exit_code, result.output) == (130, "Error: stopped\n")


def test_version():
    result = invoke("--version")
    assert result.exit_code == 0
    assert car.__version__ in result.output


def test_help_imports_nothing_heavy():
    code = (
        "import sys, numba_car.cli.app;"
        "sys.exit(', '.join({'numba', 'matplotlib', 'skimage'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stderr.strip() == ""


def test_the_entry_point(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["numba-car", "--version"])
    with pytest.raises(SystemExit, match="0"):
        main()
    assert "numba-car" in capsys.readouterr().out
    for missing, error in (("click", SystemExit), ("numba_car.cli.demo", ModuleNotFoundError)):
        with monkeypatch.context() as patch:
            patch.delitem(sys.modules, "numba_car.cli.app")
            patch.setitem(sys.modules, missing, None)
            with pytest.raises(error, match=missing):
                main()


@pytest.mark.parametrize(
    ("module", "extra"),
    [("click", "cli"), ("rich", "cli"), ("matplotlib", "demo"), ("skimage", "demo")],
)
def test_missing_extra_says_what_to_install(module, extra):
    if extra == "demo" and module == "skimage":
        pytest.importorskip("matplotlib", reason="the demo asks for matplotlib first")
    process = without(module, "demo")
    assert process.returncode == 1
    assert process.stdout == ""
    (line,) = process.stderr.splitlines()
    assert module in line
    assert f"pip install 'numba_car[{extra}]'" in line


def test_info_without_numba_cuda():
    process = without("numba.cuda", "info")
    assert process.returncode == 0
    assert process.stderr == ""
    assert "none that numba can use" in process.stdout


@pytest.mark.parametrize("name", ["A card", b"A card"])
def test_info_names_the_gpu(monkeypatch, name):
    device = SimpleNamespace(name=name)
    cuda = SimpleNamespace(is_available=lambda: True, list_devices=lambda: [device, device])
    monkeypatch.setitem(sys.modules, "numba.cuda", cuda)
    assert re.search(r"^GPU +A card, A card *$", invoke("info").output, re.MULTILINE)


def test_info_names_versions_and_places():
    result = invoke("info")
    assert result.exit_code == 0
    labels = (
        "numba_car",
        "Python",
        "NumPy",
        "numba",
        "llvmlite",
        "CPUs",
        "threads",
        "cache",
        "GPU",
    )
    lines = result.output.splitlines()
    assert all(any(line.startswith(label) for line in lines) for label in labels)
    assert car.__version__ in lines[0]


@pytest.mark.parametrize("folder", ["/a/folder", None])
def test_warmup_says_how_long_and_where(monkeypatch, folder):
    monkeypatch.setattr("numba_car._jit.cache_folder", lambda: folder)
    result = invoke("warmup", "--p", "inf", "--dtype", "float32")
    assert result.exit_code == 0, result.output
    (line,) = result.output.strip().splitlines()
    where = re.escape(f"kept in {folder}") if folder else "not kept: caching is off"
    assert re.fullmatch(rf"Ready in \d+\.\d s; compiled code is {where}.*", line)
