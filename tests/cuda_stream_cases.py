"""Streams, allocators and staging of the CUDA functions, in numba's simulator: see test_cuda_simulator.py."""

import sys

import numpy as np
import pytest
from numba import cuda

import numba_car as car
from numba_car._cuda import launch, staging, streams

sys.setswitchinterval(1e-5)  # as in cuda_cases.py


class Stream:
    """A stream of a number."""

    external = False

    def __init__(self, number):
        self.number = number

    def __int__(self):
        return self.number

    def synchronize(self):
        pass


@pytest.fixture
def log(monkeypatch):
    """What is done on which stream, in order: ("record", stream), ("wait", stream), ("launch", stream)."""
    done = []

    class Event:
        def __init__(self, timing):
            assert not timing

        def record(self, stream):
            done.append(("record", int(stream)))

        def wait(self, stream):
            done.append(("wait", int(stream)))

    run = launch.run

    def run_logged(kernel, shape, stream, *arguments):
        done.append(("launch", int(stream)))
        run(kernel, shape, stream, *arguments)

    monkeypatch.setattr(streams.cuda, "event", Event)
    monkeypatch.setattr(launch, "run", run_logged)
    return done


def on(stream, values):
    array = cuda.to_device(np.asarray(values))
    array.stream = stream
    return array


ROW = [[0.5, 0.5, 0.5]]


def test_the_stream_of_each_argument_is_waited_for_and_waits(log):
    bounds = on(Stream(15), np.zeros(3)), on(Stream(16), np.ones(3))
    x, delta, eps = on(Stream(12), ROW), on(Stream(13), ROW), on(Stream(14), [0.3])
    out = on(Stream(17), np.zeros((1, 3)))
    car.rescale(x, delta, eps, bounds=bounds, out=out)
    launches = [k for k, entry in enumerate(log) if entry == ("launch", 12)]
    before, after = log[: launches[0]], log[launches[-1] + 1 :]
    others = {13, 14, 15, 16, 17}
    assert {s for kind, s in before if kind == "record"} == others
    assert before.count(("wait", 12)) == len(others)
    assert {s for kind, s in after if kind == "wait"} == others
    assert after.count(("record", 12)) == len(others)


def test_one_stream_takes_no_events(log):
    stream = Stream(12)
    car.eta(on(stream, ROW), on(stream, ROW), 0.3)
    assert {kind for kind, _ in log} == {"launch"}


def test_streams_wait_after_an_error_too(log):
    with pytest.raises(ValueError, match="x must lie within its bounds"):
        car.eta(on(Stream(12), [[2.0]]), on(Stream(13), [[1.0]]), 0.3)
    assert log[-2:] == [("record", 12), ("wait", 13)]


def test_a_result_holds_the_stream_of_x():
    stream = Stream(12)
    found = car.eta(on(stream, ROW), on(stream, ROW), 0.3)
    assert found.stream is stream


def test_out_must_be_writeable_and_on_the_device():
    x, values = cuda.to_device(np.array(ROW)), np.zeros((1, 3))
    values.flags.writeable = False
    with pytest.raises(ValueError, match="out must be writeable"):
        car.rescale(x, x, 0.3, out=type(x)(values))
    with pytest.raises(TypeError, match="out must be on the device"):
        car.rescale(x, x, 0.3, out=[[0.0, 0.0, 0.0]])


@pytest.mark.parametrize("x", [0.5, 2.0])
def test_staging_waits_before_pinned_memory_may_be_freed(monkeypatch, x):
    from numba_car.cuda import eta

    waited = []

    class Recorded(Stream):
        def synchronize(self):
            waited.append(int(self))

    monkeypatch.setattr(staging.cuda, "stream", lambda: Recorded(12))
    row = np.full((1, 3), x)
    if x > 1:
        with pytest.raises(ValueError, match="x must lie within its bounds"):
            eta(row, row, 0.3)
    else:
        eta(row, row, 0.3)
    assert waited == [12]
