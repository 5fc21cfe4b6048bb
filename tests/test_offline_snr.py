"""`snr_db` of files: the ratio that is read from the input and the output alone."""

import numpy as np
import pytest
from click.testing import CliRunner

from numba_car import offline
from numba_car.cli.app import app
from numba_car.offline import memory

RNG = np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(memory, "_BLOCK", 1 << 14)  # several blocks
    return tmp_path


def ratios(x, v):
    """The ratio in decibels of each row."""
    x, v = (a.reshape(len(a), -1).astype(float) for a in (x, v))
    return 10 * np.log10((x**2).sum(axis=1) / ((v - x) ** 2).sum(axis=1))


@pytest.mark.parametrize("bounds", [(-32768, 32767), (-1, 1)])
def test_pcm_from_the_command_line(folder, bounds):
    clips = RNG.integers(-9000, 9000, (20, 500, 2), dtype=np.int16)
    clips[1] //= 300  # a quiet one
    clips[2] = 0  # silence
    np.save("clips.npy", clips)
    command = "rescale clips.npy --noise gaussian --snr-db 10 --round -o v.npy --bounds"
    result = CliRunner().invoke(app, [*command.split(), *map(str, bounds)])
    assert result.exit_code == 0, result.output
    v = np.load("v.npy")
    assert v.dtype == np.int16
    np.testing.assert_array_equal(v[2], 0)
    sounds = [row for row in range(20) if row != 2]
    np.testing.assert_allclose(ratios(clips[sounds], v[sounds]), 10, atol=0.002)


def test_floats_and_bad_rows(folder):
    x = RNG.uniform(-1, 1, (30, 400)).astype(np.float32)
    x[4, 5] = np.nan
    np.save("x.npy", x)
    report = offline.rescale("x.npy", noise="sign", snr_db=20, out="v.npy", bounds=(-1, 1))
    assert report["nan"] == {"count": 1, "indices": [4]}
    assert report["parameters"]["snr_db"] == 20
    others = np.arange(30) != 4
    np.testing.assert_allclose(ratios(x[others], np.load("v.npy")[others]), 20, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"eps": 1.0}, ValueError, "either eps= or .* or snr_db=, found eps= and snr_db="),
        ({"snr_db": np.nan}, ValueError, "snr_db must give a finite norm, found nan"),
        ({"snr_db": "10"}, TypeError, "snr_db must be a number, found '10'"),
        ({"bounds": (0, np.ones(4))}, ValueError, "bounds must be numbers for snr_db"),
    ],
    ids=lambda v: "-".join(v) if isinstance(v, dict) else "",
)
def test_arguments_are_checked(folder, changes, error, message):
    np.save("x.npy", np.zeros((3, 4), np.int16))
    arguments = {"noise": "sign", "snr_db": 10.0, "out": "v.npy"} | changes
    with pytest.raises(error, match=message):
        offline.rescale("x.npy", **arguments)
    assert not (folder / "v.npy").exists()
