"""The stream that an array is ready on, and the order of work on several streams.

A call runs on the stream of x. Before its first kernel that stream waits for the streams of all other arrays, `out`
among them, and these wait for it after the last: so all may be written to, or freed, in the order of their own streams.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any

from numba import cuda

from numba_car._cuda.jit import IS_SIMULATED
from numba_car._cuda.libraries import library_of


def stream_of(array: Any) -> Any:
    """Return the stream in whose order an array's memory may be used."""
    library = library_of(array)
    if (
        library == "numba"
    ):  # the stream itself: a result that holds it keeps it from being destroyed
        stream = getattr(array, "stream", 0)
        return stream if stream and _number(stream) else cuda.legacy_default_stream()
    if IS_SIMULATED:
        return cuda.legacy_default_stream()
    if library == "torch":
        pointer = import_module("torch").cuda.current_stream(array.device).cuda_stream
    else:
        pointer = getattr(array, "__cuda_array_interface__", {}).get("stream")
    # Arrays on `cuda.default_stream()` would export the stream 0, which the interface forbids.
    return cuda.external_stream(pointer) if pointer else cuda.legacy_default_stream()


def _number(stream: Any) -> int:
    """Return the driver's number of a stream; numba's simulator has but one."""
    return int(stream) if hasattr(stream, "__int__") else 1


def _wait(stream: Any, other: Any) -> None:
    """Have a stream wait for what was launched on another."""
    event = cuda.event(timing=False)
    event.record(other)
    event.wait(stream)


@contextlib.contextmanager
def in_order(first: Any, others: Iterable[Any]) -> Iterator[None]:
    """Order what is launched on the stream of the first array with the streams of the others.

    A stream that a library other than numba names by its number alone may be gone when a result is used: there all work
    is complete in the end.
    """
    stream = stream_of(first)
    streams = {_number(found): found for found in map(stream_of, others)}
    streams.pop(_number(stream), None)
    for other in streams.values():
        _wait(stream, other)
    try:
        yield
    finally:
        for other in streams.values():
            _wait(other, stream)
        if is_borrowed(first, stream):
            stream.synchronize()


def is_borrowed(array: Any, stream: Any) -> bool:
    """Return whether nothing that numba_car holds keeps an array's stream from being destroyed."""
    return getattr(stream, "external", False) and library_of(array) not in _KEEP_STREAMS


# numba's arrays hold theirs, PyTorch destroys none, and CuPy's arrays name the one that is current.
_KEEP_STREAMS = "numba", "torch", "cupy"


def refuse_capture(tensor: Any) -> None:
    """Raise RuntimeError where PyTorch captures what is launched on its current stream in a CUDA graph."""
    if library_of(tensor) != "torch" or IS_SIMULATED:
        return
    if import_module("torch").cuda.is_current_stream_capturing():
        raise RuntimeError(
            "numba_car cannot be captured in a CUDA graph: each call reads back whether a row was in error; "
            "call it between two graphs, as torch.compile does"
        )
