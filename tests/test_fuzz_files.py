"""Whatever a file holds: a right result or a one-line error that names it; and nothing is run."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import numba_car as car
from numba_car import offline
from numba_car.offline import memory

ROWS, N = 12, 20
CALL = {"out": "v.npy", "eps": 1.0, "noise": "sign", "seed": 1}
fuzzed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

# Bytes to put somewhere, and headers to put in the place of a whole one.
edits = st.lists(st.tuples(st.integers(0, 2000), st.binary(min_size=1, max_size=6)), max_size=3)
values = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=8),
    st.lists(st.integers(-2, 2**40), max_size=3), st.dictionaries(st.text(max_size=3), st.integers()),
)  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    inner = tmp_path / "inner"
    inner.mkdir()
    monkeypatch.chdir(inner)
    np.save("whole.npy", np.random.default_rng(0).random((ROWS, N)))
    return tmp_path


def edited(data, changes, length):
    data = bytearray(data)
    for index, new in changes:
        place = index % len(data)
        data[place : place + len(new)] = new
    return bytes(data[:length])


def rescaled(source, **changes):
    """Return what a run writes, or None for an error that names the file."""
    for name in ("v.npy", "v.npy.partial"):
        assert not os.path.lexists(name)
    try:
        offline.rescale(source, **CALL | changes)
    except (offline.OfflineError, ValueError) as error:
        # A header may ask for rows that no memory holds, or for integers, which bounds are for.
        if "\n" in str(error) or not re.search(f"{source}|(memory|bounds) must be", str(error)):
            raise
        return None
    found = np.load("v.npy")
    Path("v.npy").unlink()
    return found


def write_header(shape, descr, order):
    header = repr({"descr": descr, "fortran_order": order, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


headers = st.builds(
    write_header,
    st.one_of(st.lists(st.integers(-3, 2**64), max_size=3).map(tuple), values),
    st.one_of(st.sampled_from(["<f8", ">f4", "<f2", "|u1", "<c8", "|O", "<M8[s]", "|S3"]), values),
    st.one_of(st.booleans(), values),
)


@fuzzed
@given(edits, st.integers(0, 3000))
def test_an_npy_file_with_some_bytes_changed(folder, changes, length):
    data = edited(Path("whole.npy").read_bytes(), changes, length)
    Path("x.npy").write_bytes(data)
    found = rescaled("x.npy", bounds=(None, None))
    if found is not None:
        x = np.lib.format.open_memmap("x.npy", "r")
        assert found.shape == x.shape


@fuzzed
@given(headers)
def test_an_npy_file_with_another_header(folder, header):
    Path("x.npy").write_bytes(header + Path("whole.npy").read_bytes()[128:])
    rescaled("x.npy", bounds=(None, None))


class Payload:
    """Makes a folder when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("pickled",)


def test_no_pickle_is_loaded(folder):
    np.save("x.npy", np.array([[Payload()]], dtype=object), allow_pickle=True)
    assert rescaled("x.npy") is None
    assert not Path("pickled").exists()
    np.load("x.npy", allow_pickle=True)  # it would have been seen
    assert Path("pickled").exists()


lines = st.one_of(
    st.text(max_size=20),
    st.fixed_dictionaries({"start": values, "stop": values, "crc32": values}).map(json.dumps),
)


@fuzzed
@given(st.lists(lines, max_size=4), edits)
def test_a_manifest_with_other_lines(folder, monkeypatch, lines, changes):
    monkeypatch.setattr(memory, "_BLOCK", 2 * 8 * N)
    shutil.rmtree("v.npy.partial", ignore_errors=True)  # of an example that failed
    stop_after(3)
    path = Path("v.npy.partial/manifest.jsonl")
    text = path.read_bytes()
    first, rest = text.split(b"\n", 1)
    first = edited(first, changes, len(first))
    path.write_bytes(first + b"\n" + rest + "\n".join(lines).encode(errors="replace"))
    try:
        offline.rescale("whole.npy", resume=True, **CALL)
    except (offline.OfflineError, ValueError) as error:
        if not changes or "v.npy" not in str(error):
            raise
        offline.rescale("whole.npy", force=True, **CALL)
    x = np.load("whole.npy")
    norms = np.linalg.norm(np.load("v.npy") - x, axis=1)
    np.testing.assert_allclose(
        norms, np.minimum(1.0, car.max_norm(x, np.ones_like(x)) + 9), rtol=1e-6
    )
    Path("v.npy").unlink()
    assert sorted(entry.name for entry in folder.iterdir()) == ["inner"]


def stop_after(blocks, call=CALL):
    """Leave a run behind that was interrupted after so many blocks."""

    def progress(done, *_):
        if done >= 2 * blocks:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        offline.rescale("whole.npy", progress=progress, **call)


@fuzzed
@given(edits, st.integers(0, 3000))
@example([], 0)
def test_a_stopped_run_whose_own_metadata_changed(folder, monkeypatch, changes, length):
    pytest.importorskip("zarr", reason="zarr is not installed")
    monkeypatch.setattr(memory, "_BLOCK", 2 * 8 * N)
    monkeypatch.setattr("numba_car.offline.zarrs._CHUNK", 8 * N)
    monkeypatch.setattr("numba_car.offline.zarrs._SHARD", 2 * 8 * N)
    call = CALL | {"out": "v.zarr"}
    shutil.rmtree("v.zarr.partial", ignore_errors=True)  # of an example that failed
    stop_after(3, call)
    path = Path("v.zarr.partial/data.zarr/zarr.json")
    path.write_bytes(edited(path.read_bytes(), changes, length))
    try:
        offline.rescale("whole.npy", resume=True, **call)
    except (offline.OfflineError, ValueError) as error:
        if "v.zarr" not in str(error) or "\n" in str(error):
            raise
        offline.rescale("whole.npy", force=True, **call)
    shutil.rmtree("v.zarr")
    assert sorted(entry.name for entry in folder.iterdir()) == ["inner"]


def test_a_stopped_run_without_shards(folder):
    zarr = pytest.importorskip("zarr", reason="zarr is not installed")
    call = CALL | {"out": "v.zarr"}
    stop_after(0, call)
    zarr.create_array(
        "v.zarr.partial/data.zarr", shape=(ROWS, N), chunks=(3, N), dtype="f8", overwrite=True
    )
    with pytest.raises(offline.OfflineError, match=r"data\.zarr: damaged; force=True starts again"):
        offline.rescale("whole.npy", resume=True, **call)


def test_zarr_version_2_is_refused(folder):
    zarr = pytest.importorskip("zarr", reason="zarr is not installed")
    zarr.create_array("x.zarr", shape=(ROWS, N), dtype="f8", zarr_format=2)[:] = 0.5
    with pytest.raises(offline.OfflineError, match=r"x\.zarr: not an array of Zarr version 3"):
        offline.rescale("x.zarr", **CALL)


@fuzzed
@given(edits, st.integers(0, 3000))
def test_zarr_metadata_with_some_bytes_changed(folder, changes, length):
    zarr = pytest.importorskip("zarr", reason="zarr is not installed")
    array = zarr.create_array("x.zarr", shape=(ROWS, N), chunks=(3, N), dtype="f8", overwrite=True)
    array[:] = np.load("whole.npy")
    path = Path("x.zarr/zarr.json")
    path.write_bytes(edited(path.read_bytes(), changes, length))
    rescaled("x.zarr", bounds=(None, None))
    assert sorted(entry.name for entry in folder.iterdir()) == ["inner"]
