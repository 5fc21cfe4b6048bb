"""Zarr, HDF5 and a Dask cluster: the same rows, the same bytes, and nothing lost there either."""

import json
import subprocess
import sys
import time
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from numba_car import offline

ROWS, SHAPE = 150, (3, 5, 7)
CALL = {"eps": 1.0, "noise": "gaussian", "seed": 3}


@pytest.fixture
def x(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).random((ROWS, *SHAPE), dtype=np.float32)
    np.save("x.npy", x)
    return x


@pytest.fixture
def expected(x):
    offline.rescale("x.npy", out="expected.npy", **CALL)
    return np.load("expected.npy")


@pytest.fixture
def zarr():
    return pytest.importorskip("zarr", reason="zarr is not installed")


@pytest.fixture
def small_shards(zarr, monkeypatch):
    """Shards of 20 rows, in chunks of 5."""
    from numba_car.offline import zarrs

    row = 4 * int(np.prod(SHAPE))
    monkeypatch.setattr(zarrs, "_CHUNK", 5 * row)
    monkeypatch.setattr(zarrs, "_SHARD", 20 * row)


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


def test_zarr_to_zarr(x, expected, zarr, small_shards):
    zarr.save_array("x.zarr", x)
    offline.rescale("x.zarr", out="v.zarr", **CALL)
    found = zarr.open_array("v.zarr", mode="r")
    assert found.metadata.zarr_format == 3
    assert (found.shards, found.chunks) == ((20, *SHAPE), (5, *SHAPE))
    np.testing.assert_array_equal(found[:], expected)
    assert not Path("v.zarr.partial").exists()


def test_zarr_at_a_url(x, expected, zarr, small_shards):
    pytest.importorskip("fsspec", reason="fsspec is not installed")
    zarr.save_array("memory://box/x.zarr", x)
    for force in (False, True):
        offline.rescale(
            "memory://box/x.zarr", out="memory://box/v.zarr", eta_out="eta.npy", force=force, **CALL
        )
        found = zarr.open_array("memory://box/v.zarr", mode="r")
        np.testing.assert_array_equal(found[:], expected)
    with pytest.raises(FileExistsError, match=r"memory://box/v\.zarr"):
        offline.rescale("x.npy", out="memory://box/v.zarr", **CALL)


def test_a_chained_url(x, expected, zarr):
    pytest.importorskip("fsspec", reason="fsspec is not installed")
    zarr.save_array("memory://box/in.zarr", x, mode="w")
    offline.rescale("simplecache::memory://box/in.zarr", out="v.npy", **CALL)
    np.testing.assert_array_equal(np.load("v.npy"), expected)


def test_the_url_of_a_file_is_that_file(x, expected, zarr):
    place = f"file://{Path.cwd()}"
    offline.rescale(f"{place}/x.npy", out=f"{place}/v.zarr", **CALL)
    np.testing.assert_array_equal(zarr.open_array("v.zarr", mode="r")[:], expected)
    assert not Path("v.zarr.partial").exists()


@pytest.mark.parametrize(
    "url", ["memory://nowhere/x.zarr", "no-such-protocol://x.zarr", "memory://x.npy"]
)
def test_urls_where_nothing_is(x, zarr, url):
    pytest.importorskip("fsspec", reason="fsspec is not installed")
    with pytest.raises(offline.OfflineError, match=f"^{url}: "):
        offline.rescale(url, out="v.npy", **CALL)
    if "no-such" in url:
        with pytest.raises(offline.OfflineError, match=f"^{url}: Protocol not known"):
            offline.rescale("x.npy", out=url, **CALL)


@pytest.fixture
def fifth_write_fails(zarr, monkeypatch):
    """A context in which the fifth write of a shard fails."""
    from numba_car.offline.zarrs import ZarrSink

    write, calls = ZarrSink.write, []

    def failing(self, start, block):
        calls.append(start)
        if len(calls) == 5:
            raise OSError("the disk is gone")
        write(self, start, block)

    @contextmanager
    def context():
        with monkeypatch.context() as patch:
            patch.setattr(ZarrSink, "write", failing)
            with pytest.raises(OSError, match="the disk is gone"):
                yield

    return context


def test_zarr_goes_on_where_it_stopped(x, expected, small_shards, fifth_write_fails):
    offline.rescale("x.npy", out="whole.zarr", **CALL)
    with fifth_write_fails():
        offline.rescale("x.npy", out="v.zarr", **CALL)
    assert not Path("v.zarr").exists()
    shard = Path("v.zarr.partial/data.zarr/c/1/0/0/0")
    shard.write_bytes(shard.read_bytes()[:100])  # what a power cut may leave
    Path("v.zarr.partial/data.zarr/c/2/0/0/0").unlink()
    report = offline.rescale("x.npy", out="v.zarr", resume=True, **CALL)
    assert report["rows_resumed"] == 2 * 20
    assert contents("v.zarr") == contents("whole.zarr")


def test_a_url_goes_on_where_it_stopped(x, expected, zarr, small_shards, fifth_write_fails):
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")
    memory = fsspec.filesystem("memory")
    with fifth_write_fails():
        offline.rescale("x.npy", out="memory://box/u.zarr", **CALL)
    assert not memory.exists("/box/u.zarr")
    memory.pipe("/box/u.zarr.partial/c/1/0/0/0", b"torn")
    report = offline.rescale("x.npy", out="memory://box/u.zarr", resume=True, **CALL)
    assert report["rows_resumed"] == 3 * 20
    np.testing.assert_array_equal(zarr.open_array("memory://box/u.zarr", mode="r")[:], expected)
    assert not memory.exists("/box/u.zarr.partial")
    assert not Path("u.zarr.partial").exists()


def test_bounds_in_zarr_and_hdf5(x, zarr, h5py, small_shards):
    rng = np.random.default_rng(1)
    lower, upper = -rng.random((ROWS, 1, 1, 1)), 1 + rng.random((3, 1, 1))
    zarr.save_array("lower.zarr", lower)
    with h5py.File("upper.h5", "w") as file:
        file["a/upper"] = upper
    bounds = "lower.zarr", "upper.h5:/a/upper"
    offline.rescale("x.npy", out="v.zarr", bounds=bounds, **CALL | {"eps": 7.0})
    steps = zarr.open_array("v.zarr", mode="r")[:]
    assert (steps >= lower - 1e-6).all()
    assert (steps <= upper + 1e-6).all()
    reached = np.linalg.norm((steps.astype(float) - x).reshape(ROWS, -1), axis=1)
    np.testing.assert_allclose(reached, 7.0, rtol=1e-5)


def test_zarr_is_replaced_by_force_alone(x, expected, zarr):
    offline.rescale("x.npy", out="v.zarr", **CALL)
    with pytest.raises(FileExistsError, match=r"v\.zarr"):
        offline.rescale("x.npy", out="v.zarr", **CALL)
    offline.rescale("x.npy", out="v.zarr", force=True, **CALL | {"eps": 0.0})
    np.testing.assert_array_equal(zarr.open_array("v.zarr")[:], x)


def test_what_is_no_zarr_array(x, zarr):
    Path("x.zarr").mkdir()
    with pytest.raises(offline.OfflineError, match=r"x\.zarr: not an array of Zarr version 3"):
        offline.rescale("x.zarr", out="v.npy", **CALL)


@pytest.fixture
def h5py():
    return pytest.importorskip("h5py", reason="h5py is not installed")


@pytest.mark.parametrize("chunks", [None, (7, *SHAPE)], ids=["contiguous", "chunked"])
def test_hdf5_to_hdf5(x, expected, h5py, chunks):
    with h5py.File("x.h5", "w") as file:
        file.create_dataset("a/x", data=x, chunks=chunks)
    offline.rescale("x.h5:/a/x", out="v.h5:/b/v", **CALL)
    with h5py.File("v.h5", "r") as file:
        np.testing.assert_array_equal(file["b/v"][:], expected)
    assert not Path("v.h5.partial").exists()


def test_several_datasets_in_one_file(x, expected, h5py):
    """Each run adds its own or replaces it, and leaves the others, with their attributes, as they are."""
    with h5py.File("v.h5", "w") as file:
        file["precious"] = x
        file.attrs["by"] = "hand"
    call = CALL | {"seed": 4}
    offline.rescale("x.npy", out="v.h5:/a/v", **CALL)
    offline.rescale("x.npy", out="v.h5:/a/w", **call)
    for name, options in (("v", CALL), ("w", call)):  # a complete run stays one
        report = offline.rescale("x.npy", out=f"v.h5:/a/{name}", resume=True, **options)
        assert report["rows_resumed"] == ROWS
    with pytest.raises(FileExistsError, match=r"v\.h5:/a/w"):
        offline.rescale("x.npy", out="v.h5:/a/w", **call)
    offline.rescale("x.npy", out="v.h5:/a/w", force=True, **CALL)
    with h5py.File("v.h5", "r") as file:
        assert file.attrs["by"] == "hand"
        np.testing.assert_array_equal(file["precious"][:], x)
        for name in ("a/v", "a/w"):
            np.testing.assert_array_equal(file[name][:], expected)
    assert not Path("v.h5.partial").exists()


@pytest.mark.parametrize("place", ["rename", "sync_folder"])
def test_a_crash_while_a_dataset_is_added(x, expected, h5py, monkeypatch, place):
    """Before the file is replaced and after it."""
    with h5py.File("v.h5", "w") as file:
        file["x"] = x
    with monkeypatch.context() as patch:
        patch.setattr(f"numba_car.offline.hdf5.{place}", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            offline.rescale("x.npy", out="v.h5:/v", **CALL)
    assert offline.rescale("x.npy", out="v.h5:/v", resume=True, **CALL)["rows_resumed"] == ROWS
    with h5py.File("v.h5", "r") as file:
        np.testing.assert_array_equal(file["v"][:], expected)
        np.testing.assert_array_equal(file["x"][:], x)
    assert not Path("v.h5.partial").exists()


def test_input_and_output_in_one_file(x, expected, h5py):
    with h5py.File("all.h5", "w") as file:
        file["x"] = x
        file["low"] = np.full((3, 1, 1), 0.0)
    call = {"out": "all.h5:/v", "bounds": ("all.h5:/low", 1.0)} | CALL
    with pytest.raises(ValueError, match="out must not be the file of x"):
        offline.rescale("all.h5:/x", **call | {"out": "all.h5:x"})
    offline.rescale("all.h5:/x", **call)
    with h5py.File("all.h5", "r+") as file:
        np.testing.assert_array_equal(file["v"][:], expected)
        file["another"] = 1
    assert offline.rescale("all.h5:/x", resume=True, **call)["rows_resumed"] == ROWS
    with h5py.File("all.h5", "r+") as file:
        file["x"][20] = 0.5
    with pytest.raises(offline.OfflineError, match=r"x \(all\.h5:/x\)\.sample_crc32 was"):
        offline.rescale("all.h5:/x", resume=True, **call)


@pytest.mark.parametrize(
    ("name", "message"),
    [("a/x/v", "a/x is a dataset, not a group"), ("a", "is a group, not a dataset")],
)
def test_a_dataset_that_cannot_be_there(x, h5py, name, message):
    with h5py.File("v.h5", "w") as file:
        file["a/x"] = x
    before = Path("v.h5").read_bytes()
    with pytest.raises(offline.OfflineError, match=rf"^v\.h5:/{name}: {message}"):
        offline.rescale("x.npy", out=f"v.h5:/{name}", force=True, **CALL)
    assert Path("v.h5").read_bytes() == before
    assert not Path("v.h5.partial").exists()


def test_a_file_that_does_not_open_is_not_replaced(x, h5py):
    """It may hold other datasets; and a stopped run is of one dataset alone."""
    with h5py.File("v.h5", "w") as file:
        file["x"] = x
    Path("v.h5").write_bytes(Path("v.h5").read_bytes()[:-9])
    with pytest.raises(offline.OfflineError, match=r"^v\.h5: cannot be opened"):
        offline.rescale("x.npy", out="v.h5:/v", force=True, **CALL)


def test_a_stopped_run_is_of_one_dataset(x, expected, h5py, monkeypatch):
    monkeypatch.setattr("numba_car.offline.memory._BLOCK", 20 * 4 * int(np.prod(SHAPE)))

    def stop(done, *_):
        if done > 40:
            raise KeyboardInterrupt

    with h5py.File("v.h5", "w") as file:
        file["x"] = x
    with pytest.raises(KeyboardInterrupt):
        offline.rescale("x.npy", out="v.h5:/v", progress=stop, **CALL)
    with pytest.raises(offline.OfflineError, match='dataset of out was "/v", is "/w"'):
        offline.rescale("x.npy", out="v.h5:/w", resume=True, **CALL)
    assert offline.rescale("x.npy", out="v.h5:/v", resume=True, **CALL)["rows_resumed"] >= 40
    with h5py.File("v.h5", "r") as file:
        np.testing.assert_array_equal(file["v"][:], expected)
        assert sorted(file) == ["v", "x"]


@pytest.mark.parametrize(("out", "package"), [("v.zarr", "zarr"), ("v.h5:/a/v", "h5py")])
def test_arrays_say_where_they_come_from(x, out, package):
    module = pytest.importorskip(package, reason=f"{package} is not installed")
    report = offline.rescale("x.npy", out=out, **CALL)
    if package == "zarr":
        found = module.open_array(out, mode="r").attrs["numba_car"]
    else:
        with module.File("v.h5", "r") as file:
            found = json.loads(file["a/v"].attrs["numba_car"])
    assert found["settings"]["seed"] == 3
    assert found["settings"]["numba_car"] == report["versions"]["numba_car"]
    assert found["inputs"] == report["inputs"]
    assert found["names"] == {"x": "x.npy"}


def test_what_is_no_hdf5_dataset(x, h5py):
    with h5py.File("x.h5", "w") as file:
        file["x"] = x
    with pytest.raises(offline.OfflineError, match=r"x\.h5:/y: there is no such dataset"):
        offline.rescale("x.h5:/y", out="v.npy", **CALL)
    with h5py.File("x.h5", "a") as file:
        file["empty"] = h5py.Empty("f4")
    with pytest.raises(offline.OfflineError, match=r"x\.h5:/empty: is empty"):
        offline.rescale("x.h5:/empty", out="v.npy", **CALL)
    data = Path("x.h5").read_bytes()
    Path("x.h5").write_bytes(data[: len(data) // 2])
    with pytest.raises(offline.OfflineError, match=r"x\.h5:/x: not a whole HDF5 file"):
        offline.rescale("x.h5:/x", out="v.npy", **CALL)


def test_a_scheduler_writes_zarr_alone(x):
    with pytest.raises(
        ValueError, match=r"out must be a Zarr array for a scheduler, found 'v\.npy'"
    ):
        offline.rescale("x.npy", out="v.npy", scheduler="local", **CALL)


@pytest.fixture
def cluster(tmp_path):
    """A scheduler and two workers, each a process of its own that nothing starts again."""
    pytest.importorskip("distributed", reason="dask.distributed is not installed")
    log, address = (tmp_path / "log").open("w"), tmp_path / "scheduler.json"

    def started(name, *options):
        command = [sys.executable, "-m", f"distributed.cli.dask_{name}", "--no-dashboard", *options]
        return subprocess.Popen(command, stdout=log, stderr=log)

    at = ("--scheduler-file", str(address))
    scheduler = started("scheduler", "--host", "127.0.0.1", "--port", "0", *at)
    workers = [started("worker", "--nthreads", "1", "--no-nanny", *at) for _ in range(2)]
    try:
        found, deadline = None, time.monotonic() + 60
        while not found:
            ended = scheduler.poll() is not None or time.monotonic() > deadline
            assert not ended, (tmp_path / "log").read_text()
            time.sleep(0.05)
            with suppress(FileNotFoundError, json.JSONDecodeError):  # not there, or half-written
                found = json.loads(address.read_text())
        yield found["address"], workers
    finally:
        for process in (*workers, scheduler):
            process.kill()
            process.wait()
        log.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of a client that failed
def test_a_cluster_loses_nothing(x, zarr, small_shards, cluster):
    """One worker of two is killed, then the client fails; a later one has the other do the rest."""
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    zarr.save_array("x.zarr", x)
    offline.rescale("x.zarr", out="whole.zarr", eta_out="eta0.npy", **CALL)
    address, workers = cluster
    with distributed.Client(address) as client:
        client.wait_for_workers(2, timeout=60)

    def progress(done, total, row):
        if done == 40:
            workers[0].kill()
        if done == 100:
            raise RuntimeError("stop here")

    call = CALL | {"out": "v.zarr", "eta_out": "eta.npy", "scheduler": address}
    with pytest.raises(RuntimeError, match="stop here"):
        offline.rescale("x.zarr", progress=progress, **call)
    assert workers[0].wait() != 0
    assert not Path("v.zarr").exists()
    report = offline.rescale("x.zarr", resume=True, **call)
    assert 100 <= report["rows_resumed"] < ROWS
    assert contents("v.zarr") == contents("whole.zarr")
    assert Path("eta.npy").read_bytes() == Path("eta0.npy").read_bytes()


def test_what_is_no_address_of_a_scheduler(x, zarr):
    pytest.importorskip("distributed", reason="dask.distributed is not installed")
    message = "^scheduler must be local or an address such as .*, found 'nowhere': missing port"
    with pytest.raises(ValueError, match=message):
        offline.rescale("x.npy", out="v.zarr", scheduler="nowhere", **CALL)
    assert [path.name for path in Path().iterdir()] == ["x.npy"]


def test_a_lost_scheduler_is_named(x, zarr, small_shards, monkeypatch):
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    from numba_car.offline import cluster

    class Lost:
        def result(self):
            raise distributed.CancelledError("scheduler-connection-lost")

    client = SimpleNamespace(submit=lambda *_, **__: Lost(), nthreads=lambda: {"worker": 2})
    monkeypatch.setattr(cluster, "_connected", lambda *_: nullcontext(client))
    monkeypatch.setattr(cluster, "as_completed", iter)
    with pytest.raises(offline.OfflineError, match=r"^tcp://somewhere: scheduler-connection-lost"):
        offline.rescale("x.npy", out="v.zarr", scheduler="tcp://somewhere", **CALL)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_cluster_of_its_own(x, zarr, small_shards):
    pytest.importorskip("distributed", reason="dask.distributed is not installed")
    np.save("lower.npy", np.full((3, 1, 1), -0.5))
    call = CALL | {"bounds": ("lower.npy", 1)}
    offline.rescale("x.npy", out="whole.zarr", **call)
    offline.rescale("x.npy", out="v.zarr", scheduler="local", workers=1, **call)
    assert contents("v.zarr") == contents("whole.zarr")


@pytest.mark.parametrize(
    ("module", "extra", "changes"),
    [
        ("zarr", "zarr", {"out": "v.zarr"}),
        ("h5py", "hdf5", {"out": "v.h5:/v"}),
        ("distributed", "dask", {"out": "v.zarr", "scheduler": "local"}),
        ("matplotlib.figure", "demo", {"plot": "plot.png"}),
    ],
)
def test_missing_packages_are_named(x, zarr, monkeypatch, module, extra, changes):
    for name in ("zarrs", "hdf5", "cluster"):
        monkeypatch.delitem(sys.modules, f"numba_car.offline.{name}", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    cure = rf"needs {module.partition('.')[0]}; install it with: pip install 'numba_car\[{extra}\]'"
    with pytest.raises(ModuleNotFoundError, match=cure):
        offline.rescale("x.npy", **CALL | {"out": "v.npy"} | changes)
    assert [path.name for path in Path().iterdir()] == ["x.npy"]
