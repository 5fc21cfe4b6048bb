"""The shapes of launches: threads a row, rows a block, blocks, and memory for the terms of a row."""

from __future__ import annotations

import functools
import threading
from typing import Any, NamedTuple

from numba import cuda

from numba_car._cuda.jit import IS_SIMULATED
from numba_car._cuda.team import LARGEST_TEAM, SLOTS, WARP
from numba_car._layout import DType

# Up to this length a warp takes a row: with 32 elements a thread, warps need not wait for each other.
_SHORT = 1024
_WARPS = 4  # rows a block then; with more, fewer blocks would fit a multiprocessor's shared memory
_AHEAD = 32  # blocks launched a multiprocessor at most; each loops over further rows
_SHARED = (
    48 * 1024 - 8 * SLOTS
)  # bytes of shared memory that numba can ask for, less a team's slots
_MOST_ROWS = 1 << 15  # of blocks in a grid, which numbers them with 16 bits
_SAMPLE = 32 * 1024  # bytes of a sample's terms: 4,096 elements of float32
_NARROWING = 2 * WARP if IS_SIMULATED else LARGEST_TEAM  # threads of a block for long rows
_RESIDENT = (
    2  # such blocks that a multiprocessor holds at once; on sm_80 it is one, which costs time
)
_SPREAD = 8  # blocks a multiprocessor, of those that share rows in a pass over few rows
_PIECE = 1 << 13  # elements of a row that such a block takes at least
_ASIDE = 1 << 28  # bytes of global memory for the terms that are set aside, of all rows
_SCRATCH = 1 << 30  # bytes of global memory for sorting, of all rows
_launching = threading.Lock()


class Shape(NamedTuple):
    """A launch: its blocks, (threads a row, rows a block), and bytes of dynamic shared memory."""

    blocks: int
    threads: tuple[int, int]
    shared: int = 0


@functools.cache
def multiprocessors() -> int:
    """Return how many multiprocessors the device has."""
    return 1 if IS_SIMULATED else int(cuda.get_current_device().MULTIPROCESSOR_COUNT)


def threads_of(n: int) -> tuple[int, int]:
    """Return threads a row and rows a block."""
    if IS_SIMULATED:  # each thread is one of Python's
        return (WARP, 2) if n <= 48 else (2 * WARP, 1)
    if n <= _SHORT:
        return WARP, _WARPS
    return (128 if n <= 4096 else LARGEST_TEAM), 1


def row_teams(count: int, n: int) -> Shape:
    """Return the launch of a team a row that keeps no terms."""
    threads = threads_of(n)
    return Shape(max(1, min(-(-count // threads[1]), _AHEAD * multiprocessors())), threads)


def keeping_teams(count: int, n: int, like: DType) -> Shape | None:
    """Return the launch of a team a row that keeps its terms in shared memory, or None if they do not fit."""
    shape, row_bytes = row_teams(count, n), 2 * n * like.itemsize
    while shape.threads[1] > 1 and shape.threads[1] * row_bytes > _SHARED:
        shape = shape._replace(threads=(shape.threads[0], shape.threads[1] // 2))
    shared = shape.threads[1] * row_bytes
    return shape._replace(shared=shared) if shared <= _SHARED else None


class Spread(NamedTuple):
    """A launch over parts of rows, and one over rows with a block each; blocks a row of the first."""

    parts: Shape
    rows: Shape
    blocks: int


def spread(count: int, n: int) -> Spread | None:
    """Return launches in which several blocks share a row, or None where rows are short, or enough to fill the device."""
    blocks = min(_SPREAD * multiprocessors() // count, n // _PIECE)
    if blocks < 2:
        return None
    threads = _NARROWING, 1
    return Spread(Shape(blocks * count, threads), Shape(count, threads), blocks)


class Narrowing(NamedTuple):
    """The launches over samples and over rows, blocks a row, a sample's stride, and layers for what is set aside."""

    samples: Shape
    shape: Shape
    blocks: int
    stride: int
    layers: int


def sample_size(n: int, stride: int) -> int:
    """Return the size of a sample of 32 neighbouring elements of every 32*stride."""
    whole = (n - 1) // (WARP * stride)
    return whole * WARP + min(WARP, n - whole * WARP * stride)


def narrowing(count: int, n: int, like: DType) -> Narrowing:
    """Return launches with a block a row, or several where the device holds more blocks than there are rows."""
    threads, most = _NARROWING, _SAMPLE // (2 * like.itemsize)
    stride = max(8, -(-n // most))
    shared = 2 * sample_size(n, stride) * like.itemsize
    resident = _RESIDENT * multiprocessors()
    blocks = max(1, min(resident // count, -(-n // threads)))
    shape = Shape(blocks * count if blocks > 1 else min(count, resident), (threads, 1))
    samples = Shape(min(count, 2 * resident), (threads, 1), shared)
    # With several blocks a row a second, larger sample leaves fewer elements to set aside.
    wanted = n // 4 if blocks == 1 else n // 32
    most = _ASIDE // (2 * like.itemsize * shape.blocks * threads)
    layers = max(4, min(most, -(-wanted // (blocks * threads))))
    return Narrowing(samples, shape, blocks, stride, layers)


def sorting_blocks(count: int, n: int, element_bytes: int) -> tuple[Shape, int]:
    """Return the launch of a block a row, and the power of two that rows are padded to."""
    size = 1 << max(0, n - 1).bit_length()
    blocks = max(1, min(count, 4 * multiprocessors(), _SCRATCH // (size * element_bytes)))
    return Shape(blocks, (threads_of(n)[0] if IS_SIMULATED else LARGEST_TEAM, 1)), size


def elements_grid(count: int, n: int) -> tuple[tuple[int, int, int], tuple[int, int]]:
    """Return blocks and threads of a launch with a thread an element."""
    threads = (4, 8) if IS_SIMULATED else (256, 1) if n >= 256 else (WARP, 8)
    columns, rows = -(-n // threads[0]), -(-count // threads[1])
    layers = -(-rows // _MOST_ROWS)
    return (columns, -(-rows // layers), layers), threads


def call(kernel: Any, configuration: tuple[Any, ...], *arguments: Any) -> None:
    """Launch a kernel with blocks, threads and a stream.

    numba-cuda loads a kernel when it is first launched, which only one thread may do at a time.
    """
    with _launching:
        kernel[configuration](*arguments)


def run(kernel: Any, shape: Shape, stream: Any, *arguments: Any) -> None:
    """Launch a kernel of teams."""
    call(kernel, (shape.blocks, shape.threads, stream, shape.shared), *arguments)
