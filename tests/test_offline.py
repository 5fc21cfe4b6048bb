"""Files: what `offline.rescale` writes is what `car.rescale` gives, however it is cut and fed."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import numba_car as car
from numba_car import _numpy, offline
from numba_car._noise import KINDS
from numba_car.offline import memory
from numba_car.offline.memory import size_of

ROWS, SHAPE = 37, (3, 8, 8)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with x.npy, delta.npy and eps.npy, which is the current one."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.save("x.npy", rng.random((ROWS, *SHAPE), dtype=np.float32))
    np.save("delta.npy", rng.standard_normal((ROWS, *SHAPE), dtype=np.float32))
    np.save("eps.npy", rng.uniform(0, 12, ROWS))
    return tmp_path


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(memory, "_BLOCK", 5 * 4 * int(np.prod(SHAPE)))


def load(*names):
    return [np.load(f"{name}.npy") for name in names]


def test_it_is_rescale_in_blocks(folder, small_blocks):
    seen = []
    report = offline.rescale(
        "x.npy", "delta.npy", eps="eps.npy", out="v.npy", eta_out="eta.npy", report="report.json",
        progress=lambda *numbers: seen.append(numbers),
    )  # fmt: skip
    x, delta, eps, v, eta = load("x", "delta", "eps", "v", "eta")
    np.testing.assert_array_equal(v, car.rescale(x, delta, eps))
    np.testing.assert_array_equal(eta, car.eta(x, delta, eps))
    solution = car.solve(x, delta, eps)
    assert 0 < solution.saturated.sum() < ROWS
    assert report["saturated"]["indices"] == np.flatnonzero(solution.saturated).tolist()
    norms = np.linalg.norm((v.astype(float) - x).reshape(ROWS, -1), axis=1)
    for name, values in {"norm": norms, "eps": eps}.items():
        expected = {"min": values.min(), "mean": values.mean(), "max": values.max()}
        assert report[name] == pytest.approx(expected, rel=1e-12)
    off = np.where(solution.saturated, 0, np.abs(norms / eps - 1))
    assert report["deviation"] == {"max": pytest.approx(off.max()), "row": off.argmax()}
    assert json.loads((folder / "report.json").read_text()) == report
    assert [done for done, _, _ in seen] == [0, 5, 10, 15, 20, 25, 30, 35, ROWS]
    names = {"x.npy", "delta.npy", "eps.npy", "v.npy", "v.npy.run.json", "eta.npy", "report.json"}
    assert {path.name for path in folder.iterdir()} == names


@pytest.mark.parametrize("p", [1, 3.5, np.inf])
@pytest.mark.parametrize("name", ["float16", "float64", ">f4", "Fortran"])
def test_layouts_and_norms(folder, small_blocks, name, p):
    x, delta = load("x", "delta")
    dtype = np.dtype("float32" if name == "Fortran" else name)
    stored = np.asfortranarray(x) if name == "Fortran" else x.astype(dtype)
    np.save("stored.npy", stored)
    report = offline.rescale(
        "stored.npy", "delta.npy", eps=0.3, p=p, out="v.npy", dtype="float64", bounds=(None, 1)
    )
    (v,) = load("v")
    expected = car.rescale(
        stored.astype(np.float64), delta.astype(np.float64), 0.3, p=p, bounds=(None, 1)
    )
    np.testing.assert_array_equal(v, expected)
    assert report["norm"]["min"] == pytest.approx(0.3, rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_noise_depends_on_the_row_alone(folder, kind, dtype, monkeypatch):
    found = []
    for rows, threads in ((1, 2), (7, 1), (100, 2)):
        monkeypatch.setattr(memory, "_BLOCK", rows * 8 * int(np.prod(SHAPE)))
        options = {"noise": kind, "seed": 5, "eps_uniform": (0.5, 2), "dtype": dtype}
        offline.rescale("x.npy", out="v.npy", num_threads=threads, force=True, **options)
        found.append((folder / "v.npy").read_bytes())
    assert found[0] == found[1] == found[2]
    x, v = (a.astype(float) for a in load("x", "v"))
    norms = np.linalg.norm((v - x).reshape(ROWS, -1), axis=1)
    rng = [np.random.Philox(key=[5, row], counter=[0, 0, 0, 1]) for row in range(ROWS)]
    eps = [np.random.Generator(one).uniform(0.5, 2) for one in rng]
    np.testing.assert_allclose(norms, eps, rtol=1e-6)


def test_integers_and_back(folder, small_blocks):
    x = np.random.default_rng(1).integers(0, 256, (ROWS, *SHAPE), np.uint8)
    np.save("x8.npy", x)
    offline.rescale("x8.npy", "delta.npy", eps=2.0, out="v.npy")
    report = offline.rescale("x8.npy", "delta.npy", eps=2.0, out="v8.npy", round=True)
    delta, v, v8 = load("delta", "v", "v8")
    expected = car.rescale(x / np.float32(255), delta, 2.0)
    np.testing.assert_allclose(v, expected, atol=1e-6)
    assert v8.dtype == np.uint8
    assert np.abs(v8 - np.rint(v.astype(float) * 255)).max() <= 1
    steps = (v8.astype(int) - x).reshape(ROWS, -1)
    norms = np.linalg.norm(steps, axis=1) / 255
    assert report["norm"]["mean"] == pytest.approx(norms.mean(), rel=1e-6)
    flip = (
        2 * np.abs(steps).max() + 1
    ) / 255**2  # what one element changes of the square of a norm
    assert np.abs(norms**2 - 4).max() < flip
    assert "after rounding" in report["norm_is_of"]


def test_input_range_and_bounds(folder):
    x = np.random.default_rng(1).integers(10, 21, (ROWS, *SHAPE), np.int16)
    np.save("x16.npy", x)
    options = {"input_range": (10, 20), "bounds": (-1, 1), "dtype": "float64"}
    offline.rescale("x16.npy", "delta.npy", eps=2.0, out="v.npy", **options)
    delta, v = load("delta", "v")
    expected = car.rescale((x - 10) / 5.0 - 1, delta.astype(float), 2.0, bounds=(-1, 1))
    np.testing.assert_allclose(v, expected, atol=1e-12)
    x[30, 2, 1, 0] = 25
    np.save("x16.npy", x)
    message = (
        r"^x16\.npy, row 30, index \(2, 1, 0\): input_range must hold all integers of x, found 25$"
    )
    with pytest.raises(offline.OfflineError, match=message):
        offline.rescale("x16.npy", "delta.npy", eps=2.0, out="v.npy", force=True, **options)


def bounds_of(shape):
    """Bounds around [0, 1] that differ from place to place, in files."""
    rng = np.random.default_rng(2)
    lower, upper = -rng.random(shape), 1 + rng.random(shape)
    np.save("lower.npy", lower)
    np.save("upper.npy", upper.astype(np.float32))
    return lower, upper.astype(np.float32)


@pytest.mark.parametrize(
    "shape", [(3, 1, 1), (8, 8), SHAPE, (1, *SHAPE), (ROWS, 1, 1, 1), (ROWS, *SHAPE)], ids=str
)
@pytest.mark.parametrize("integers", [False, True])
def test_bounds_in_files(folder, small_blocks, shape, integers):
    lower, upper = bounds_of(shape)
    x, delta = load("x", "delta")
    if integers:
        raw = np.random.default_rng(1).integers(0, 256, x.shape, np.uint8)
        np.save("x.npy", raw)
        x = ((raw / 255.0) * (upper.astype(float) - lower) + lower).astype(np.float32)
    delta[20] = 0
    delta[20, 2, 7, 7] = 1  # saturates, and does not show it early
    np.save("delta.npy", delta)
    report = offline.rescale(
        "x.npy", "delta.npy", eps=9.0, out="v.npy", bounds=(folder / "lower.npy", "upper.npy")
    )
    (v,) = load("v")
    expected = car.solve(x, delta, 9.0, bounds=(lower, upper))
    np.testing.assert_allclose(v, car.rescale(x, delta, 9.0, bounds=(lower, upper)), atol=1e-6)
    assert report["saturated"]["indices"] == np.flatnonzero(expected.saturated).tolist()
    assert 20 in report["saturated"]["indices"]
    assert report["inputs"]["lower"]["shape"] == list(shape)
    if integers:
        offline.rescale(
            "x.npy", "delta.npy", eps=0, out="x8.npy", bounds=("lower.npy", "upper.npy"), round=True
        )
        np.testing.assert_array_equal(*load("x8", "x"))


def test_bounds_in_arrays(folder, small_blocks):
    lower = -np.arange(3.0).reshape(3, 1, 1)
    report = offline.rescale("x.npy", "delta.npy", eps=1.0, out="v.npy", bounds=(lower, None))
    x, delta, v = load("x", "delta", "v")
    np.testing.assert_array_equal(v, car.rescale(x, delta, 1.0, bounds=(lower, None)))
    assert report["parameters"]["bounds"][0].keys() == {"shape", "dtype", "crc32"}


@pytest.mark.parametrize("shape", [(ROWS,), (2, 8, 8), (ROWS - 1, 1, 1, 1), (1, 1, 3, 8, 8), ()])
def test_bounds_that_do_not_broadcast(folder, shape):
    np.save("lower.npy", np.zeros(shape))
    message = r"lower\.npy: must broadcast to \(37, 3, 8, 8\).*has shape \(37, 1, 1, 1\)"
    with pytest.raises(offline.OfflineError, match=message):
        offline.rescale("x.npy", "delta.npy", eps=1.0, out="v.npy", bounds=("lower.npy", 1))
    assert not (folder / "v.npy.partial").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            np.full((3, 1, 1), 2.0),
            r"^lower\.npy: bounds must have lower <= upper.*index \(0, 0, 0\)",
        ),
        (np.full((8, 8), np.nan), r"^lower\.npy: bounds must not be nan"),
        (
            np.where(np.arange(ROWS) < 17, 0, 2).reshape(-1, 1, 1, 1),
            r"^lower\.npy, row 17, index \(0, 0, 0\): bounds must have lower <= upper, found 2 > 1$",
        ),
    ],
    ids=["row", "nan", "rows"],
)
def test_bounds_in_files_are_checked(folder, small_blocks, values, message):
    np.save("lower.npy", values)
    with pytest.raises(offline.OfflineError, match=message):
        offline.rescale("x.npy", "delta.npy", eps=1.0, out="v.npy", bounds=("lower.npy", 1))


def test_bad_rows(folder, small_blocks):
    x, delta = load("x", "delta")
    delta[11, 0, 0, 0] = np.nan
    np.save("delta.npy", delta)
    options = {"eps": 0.5, "out": "v.npy"}
    report = offline.rescale("x.npy", "delta.npy", **options)
    assert report["nan"] == {"count": 1, "indices": [11]}
    assert np.isnan(np.load("v.npy")[11]).all()
    assert report["norm"]["max"] == pytest.approx(0.5, rel=1e-6)
    with pytest.raises(offline.OfflineError, match=r"x\.npy: row 11 has NaN"):
        offline.rescale("x.npy", "delta.npy", nan="fail", force=True, **options)
    x[20, 1, 0, 0] = 1.5
    np.save("x.npy", x)
    message = r"^x\.npy, row 20, index \(1, 0, 0\): x must lie within its bounds: 1\.5 is above upper = 1\.0"
    with pytest.raises(offline.OfflineError, match=message):
        offline.rescale("x.npy", "delta.npy", force=True, **options)


def test_a_bad_eps_is_named_by_its_row_in_the_file(folder, small_blocks):
    eps = np.ones(ROWS)
    eps[33] = -1
    np.save("eps.npy", eps)
    message = r"^eps\.npy, row 33: eps must be finite and not negative, found -1\.0$"
    with pytest.raises(offline.OfflineError, match=message):
        offline.rescale("x.npy", "delta.npy", eps="eps.npy", out="v.npy")
    with pytest.raises(ValueError, match=r"eps must be .*, found -1\.0 at index \(33,\)"):
        offline.rescale("x.npy", "delta.npy", eps=eps, out="w.npy")
    assert not Path("w.npy.partial").exists()


@pytest.mark.parametrize("shape", [(ROWS,), (ROWS, 1)])
def test_eps_in_an_array(folder, small_blocks, shape):
    (eps,) = load("eps")
    offline.rescale("x.npy", "delta.npy", eps="eps.npy", out="v.npy")
    report = offline.rescale("x.npy", "delta.npy", eps=eps.reshape(shape), out="w.npy")
    np.testing.assert_array_equal(*load("v", "w"))
    assert report["parameters"]["eps"].keys() == {"shape", "dtype", "crc32"}
    with pytest.raises(offline.OfflineError, match=r"eps\.crc32 was"):
        offline.rescale("x.npy", "delta.npy", eps=eps / 2, out="w.npy", resume=True)


def test_a_start_that_is_refused_leaves_nothing(folder, small_blocks):
    """Neither in the first block nor before it; a later block leaves what is finished."""
    (x,) = load("x")
    before = set(folder.iterdir())
    np.save("x.npy", x + np.float32(9))
    with pytest.raises(offline.OfflineError, match=r"x\.npy, row 0, index \(0, 0, 0\)"):
        offline.rescale("x.npy", "delta.npy", eps=1.0, out="v.npy")
    assert set(folder.iterdir()) == before
    x[30] = 9
    np.save("x.npy", x)
    with pytest.raises(offline.OfflineError, match=r"x\.npy, row 30, index \(0, 0, 0\)"):
        offline.rescale("x.npy", "delta.npy", eps=1.0, out="v.npy")
    assert Path("v.npy.partial").exists()


def test_a_disk_without_the_space_is_told_before_the_run(folder, monkeypatch):
    def usage(path):
        return SimpleNamespace(free=20_000)

    monkeypatch.setattr("numba_car.offline.space.shutil.disk_usage", usage)
    before = set(folder.iterdir())
    with pytest.raises(OSError, match=r"the output takes \d+\.\d kB, and 20\.0 kB are free"):
        offline.rescale("x.npy", "delta.npy", eps=1.0, out="v.npy")
    assert set(folder.iterdir()) == before
    pytest.importorskip("zarr", reason="zarr is not installed")
    with pytest.warns(RuntimeWarning, match=r"v\.zarr: without compression the output takes"):
        offline.rescale("x.npy", "delta.npy", eps=1.0, out="v.zarr")


def test_the_bar(folder, capsys, monkeypatch):
    """It needs a terminal, or else nothing is printed."""
    pytest.importorskip("rich", reason="the bar is one of rich")
    offline.rescale("x.npy", "delta.npy", eps=1.0, out="v.npy", progress=True)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("FORCE_COLOR", "1")
    offline.rescale("x.npy", "delta.npy", eps=1.0, out="v.npy", progress=True, force=True)
    assert f"{ROWS}/{ROWS}" in capsys.readouterr().err
    monkeypatch.delitem(sys.modules, "numba_car.offline.bar")
    monkeypatch.setitem(sys.modules, "rich", None)
    with pytest.raises(ModuleNotFoundError, match=r"progress=True needs rich.*numba_car\[cli\]"):
        offline.rescale("x.npy", "delta.npy", eps=1.0, out="v.npy", progress=True, force=True)


def test_infeasible(folder, small_blocks):
    x, delta, eps = load("x", "delta", "eps")
    saturated = np.flatnonzero(car.solve(x, delta, eps).saturated)
    options = {"eps": "eps.npy", "out": "v.npy"}
    report = offline.rescale("x.npy", "delta.npy", infeasible="nan", **options)
    assert report["saturated"]["indices"] == report["nan"]["indices"] == saturated.tolist()
    message = rf"x\.npy: row {saturated[0]} cannot reach its eps of {eps[saturated[0]]:.9g}"
    with pytest.raises(offline.OfflineError, match=message):
        offline.rescale("x.npy", "delta.npy", infeasible="raise", force=True, **options)


def test_saturation_is_told_from_the_whole_row(folder):
    """The first elements cannot move; what can is at the end, in one row with room left."""
    delta = np.zeros((2, 1000), np.float32)
    delta[:, -2:] = 1, -1
    np.save("x2.npy", np.full((2, 1000), 0.5, np.float32))
    np.save("delta2.npy", delta)
    np.save("eps2.npy", [0.7, 0.8])
    report = offline.rescale("x2.npy", "delta2.npy", eps="eps2.npy", out="v.npy")
    assert report["saturated"]["indices"] == [1]


def test_no_rows(folder):
    pytest.importorskip("matplotlib", reason="the plot needs matplotlib")
    np.save("x0.npy", np.empty((0, 4), np.float32))
    options = {"out": "v.npy", "eta_out": "eta.npy", "plot": "plot.png"}
    report = offline.rescale("x0.npy", noise="sign", eps=1.0, **options)
    assert report["deviation"] == {"max": None, "row": None}
    assert report["norm"] == {"min": None, "mean": None, "max": None}
    assert [a.shape for a in load("v", "eta")] == [(0, 4), (0,)]


def test_a_block_is_solved_once_whatever_is_reported(folder, small_blocks, monkeypatch):
    """With saturated rows among them, whose R is measured, and not solved for again."""
    pytest.importorskip("matplotlib", reason="the plot needs matplotlib")
    solves, solve_once = [], _numpy.rescale_with_eta

    def counted(x, *others):
        solves.append(len(x))
        return solve_once(x, *others)

    for name in ("eta", "rescale", "solve"):
        monkeypatch.setattr(_numpy, name, lambda *_: 1 / 0)
    monkeypatch.setattr(_numpy, "rescale_with_eta", counted)
    report = offline.rescale(
        "x.npy", "delta.npy", eps="eps.npy", out="v.npy", eta_out="eta.npy", plot="plot.png"
    )
    assert sum(solves) == ROWS
    assert report["saturated"]["count"] > 0


def test_saturation_at_the_very_norm_that_is_reachable(folder):
    """R of float32 rows, and what is next to it, on both sides of R's rounding."""
    x, delta = load("x", "delta")
    reach = car.max_norm(x, delta)
    for eps in (np.nextafter(reach, np.float32(0)), reach, np.nextafter(reach, np.float32(9e9))):
        for shift in (-1e-8, 0, 1e-8):
            np.save("eps.npy", eps.astype(float) * (1 + shift))
            found = offline.rescale("x.npy", "delta.npy", eps="eps.npy", out="v.npy", force=True)
            expected = car.solve(x, delta, np.load("eps.npy")).saturated
            assert found["saturated"]["indices"] == np.flatnonzero(expected).tolist()


def test_saturation_at_the_largest_float(folder):
    np.save("x16.npy", np.zeros((1, 4), np.float16))
    np.save("delta16.npy", np.array([[1, 0, 0, 0]], np.float16))
    for eps, count in ((1e6, 1), (65504.0, 0)):
        report = offline.rescale(
            "x16.npy", "delta16.npy", eps=eps, out="v.npy", bounds=(None, 65504.0), force=True
        )
        assert report["saturated"]["count"] == count


def test_the_plot(folder, monkeypatch):
    """Its titles, what it says of bad rows, and eps: one number, or one for each row."""
    pytest.importorskip("matplotlib", reason="the plot needs matplotlib")
    from matplotlib.figure import Figure

    figures, save = [], Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **k: (figures.append(self), save(self, *a, **k))
    )
    (delta,) = load("delta")
    delta[11] = np.nan
    np.save("delta.npy", delta)
    for eps, label in (("eps.npy", "asked for"), (3.5, "asked for: 3.5")):
        report = offline.rescale(
            "x.npy", "delta.npy", eps=eps, out="v.npy", plot="plot.png", force=True
        )
        assert (folder / "plot.png").read_bytes().startswith(b"\x89PNG")
        left, right = figures[-1].axes
        assert (left.get_title(), right.get_title()) == ("Achieved norms", "Scales")
        assert [text.get_text() for text in left.get_legend().get_texts()] == [label]
        count, largest = report["saturated"]["count"], report["deviation"]["max"]
        assert f"{ROWS} rows, {count} saturated, 1 NaN; " in figures[-1].get_suptitle()
        assert figures[-1].get_suptitle().endswith(f": {largest:.2g}")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"noise": "sign"}, "give either delta= or noise=, found delta= and noise="),
        ({"delta": None}, "give either delta= or noise=, found neither"),
        ({"eps": None}, "give either eps= or eps_uniform= or snr_db=, found neither"),
        ({"eps": -1.0}, "eps must be finite"),
        ({"eps": None, "eps_uniform": (2, 1)}, "eps_uniform must be two finite numbers in order"),
        ({"p": 0}, r"p must be in \(0, inf\]"),
        ({"bounds": (1, 0)}, "lower <= upper"),
        (
            {"bounds": (0, "one")},
            r"each of bounds must be a number, None, a file that .*, found 'one'",
        ),
        ({"eps": "thirty"}, r"eps must be a number, a file that ends in \.npy.*, found 'thirty'"),
        ({"x": "x.txt"}, r"x must be a file that ends in \.npy.*, found 'x\.txt'"),
        ({"infeasible": "warn"}, "infeasible must be one of saturate, nan, raise, found 'warn'"),
        ({"nan": "drop"}, "nan must be one of keep, fail"),
        ({"dtype": "int8"}, "dtype must be one of"),
        ({"device": "tpu"}, "device must be one of cpu, cuda"),
        ({"seed": -1}, "seed must be an integer from 0"),
        ({"seed": 1.5}, "seed must be an integer from 0"),
        (
            {"eps": np.ones(2)},
            r"eps must have one eps for each of 37 rows of x, found shape \(2,\)",
        ),
        ({"eps": None, "eps_uniform": (1, 2, 3)}, "eps_uniform must be two numbers"),
        ({"workers": 0}, "workers must be an integer of at least 1"),
        ({"out": "v.txt"}, r"out must be a file that ends in \.npy"),
        ({"input_range": (0, 9)}, r"input_range= needs integers in x, found float32 in x\.npy"),
        ({"round": True}, r"round=True needs integers in x, found float32 in x\.npy"),
        ({"memory": "100 MB"}, "memory must be at least .* MiB"),
        ({"memory": "much"}, "memory must be a size such as 2GiB"),
        ({"out": "./x.npy", "force": True}, r"out must not be the file of x, found '\./x\.npy'"),
        ({"eta_out": "eps.npy", "eps": "eps.npy"}, "eta_out must not be the file of eps"),
        ({"eta_out": "v.npy"}, "eta_out must not be the file of out"),
        ({"plot": "plot.jpg"}, r"plot must end in \.png"),
        ({"eta_out": "eta.h5:/eta"}, r"eta_out must end in \.npy"),
    ],
    ids=lambda v: "-".join(v) if isinstance(v, dict) else "",
)
def test_arguments_are_checked(folder, changes, message):
    arguments = {"x": "x.npy", "delta": "delta.npy", "eps": 1.0, "out": "v.npy"} | changes
    with pytest.raises(ValueError, match=message):
        offline.rescale(**arguments)
    assert not (folder / "v.npy").exists()
    assert not (folder / "v.npy.partial").exists()


@pytest.mark.parametrize("name", ["x", "delta", "out", "eta_out", "report", "plot"])
def test_files_are_named(folder, name):
    arguments = {"x": "x.npy", "delta": "delta.npy", "eps": 1.0, "out": "v.npy"} | {name: 5}
    with pytest.raises(TypeError, match=f"^{name} must be a string or a path, found 5"):
        offline.rescale(**arguments)


@pytest.mark.parametrize("name", ["eta_out", "report", "plot"])
def test_side_files_are_checked_first(folder, name):
    pytest.importorskip("matplotlib", reason="the plot needs matplotlib")
    place = f"no/file.{({'report': 'json', 'plot': 'png'}).get(name, 'npy')}"
    with pytest.raises(FileNotFoundError, match="no"):
        offline.rescale("x.npy", "delta.npy", eps=1.0, out="v.npy", **{name: place})
    assert not (folder / "v.npy.partial").exists()


def test_memory_bounds_the_rows_of_a_block(folder, monkeypatch):
    reserved = 384 * 2**20
    monkeypatch.setattr(memory, "resident", lambda: reserved - memory._MARGIN)

    class Wide:
        memory_per_row, row_bytes, held = 1000, 400, 5 * 2**20
        x = np.empty((0, 100), np.float32)

    free = 2**20
    assert memory.rows_per_block(Wide, reserved + Wide.held + free) == free // 1000
    assert memory.rows_per_block(Wide, "1TiB") == memory._BLOCK // 400
    with pytest.raises(ValueError, match="memory must be at least 392 MiB"):
        memory.rows_per_block(Wide, reserved + Wide.held + free, grain=3000)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
@pytest.mark.parametrize("limit", [256])
def test_the_process_keeps_within_its_memory(folder, limit):
    """With 190 MB of input, whether kernels are compiled or loaded from the cache."""
    np.save("x.npy", np.random.default_rng(0).integers(0, 256, (500, 3, 160, 160), np.uint8))
    np.lib.format.open_memmap("delta.npy", "w+", np.float32, (500, 3, 160, 160))[:] = 1
    code = f"""
from numba_car import _numpy, offline
offline.rescale("x.npy", "delta.npy", out="v.npy", eps=9.0, eta_out="eta.npy",
                memory="{limit}MiB", report="report.json", round=True)
status = open("/proc/self/status").read()
print(int(status.partition("VmHWM:")[2].split()[0]) / 1024)
"""
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert float(found.stdout) <= limit
    assert np.load("v.npy", mmap_mode="r").shape == (500, 3, 160, 160)


def test_what_the_process_has_taken_counts(folder, monkeypatch):
    """As much as a process of the command line takes; a session may hold more, which is its own."""
    for taken, refused, message, accepted in (
        (2**30, "380MiB", r"at least 38[4-9] MiB .* takes 1024 MiB by now", "400MiB"),
        (100 * 2**20, "230MiB", r"at least 23[6-9] MiB .* takes 100 MiB by now", "250MiB"),
    ):
        monkeypatch.setattr(memory, "resident", lambda taken=taken: taken)
        with pytest.raises(ValueError, match=message):
            offline.rescale("x.npy", "delta.npy", eps=1.0, out="v.npy", memory=refused)
        offline.rescale("x.npy", "delta.npy", eps=1.0, out="v.npy", memory=accepted, force=True)


def test_resident_memory_where_there_is_no_proc(monkeypatch):
    pytest.importorskip("resource", reason="peaks of memory are POSIX's")
    now = memory.resident()
    monkeypatch.setattr(memory, "Path", lambda _: Path("/there/is/no/such/file"))
    assert 0.5 * now <= memory.resident() < 100 * now


def test_sizes():
    assert [size_of(s) for s in (5, "5", "2GiB", "1.5 kB", "1mib")] == [5, 5, 2**31, 1500, 2**20]
