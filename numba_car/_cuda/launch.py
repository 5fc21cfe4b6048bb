"""How many threads share a row, how many rows a block, and where the powers of a row are kept."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from numba import cuda

from numba_car._cuda.jit import IS_SIMULATED
from numba_car._cuda.team import LARGEST_TEAM, SLOTS, WARP
from numba_car._layout import DType

# Up to this length, a warp takes a row: 24 elements a thread, and no thread waits for another warp.
_SHORT = 1024
_WARPS = 4  # rows a block then; more would leave fewer blocks to an SM's shared memory
_AHEAD = 32  # blocks a multiprocessor may be given before rows are looped over
_SHARED = 48 * 1024 - 8 * SLOTS  # bytes that numba can ask for besides the slots
_MOST_ROWS = 1 << 15  # of blocks in a grid, which numbers them with 16 bits
_SAMPLE = 32 * 1024  # bytes of a sample's powers: 4,096 elements of float32
_NARROWING = 2 * WARP if IS_SIMULATED else LARGEST_TEAM  # threads of a block for long rows
_RESIDENT = 2  # blocks of so many a multiprocessor holds; on sm_80 one, which costs time
_ASIDE = 1 << 28  # bytes of global memory for what is set aside of rows in all
_SCRATCH = 1 << 30  # bytes of global memory that rows too long for that may take in all


class Shape(NamedTuple):
    """Of a launch: blocks, (threads a row, rows a block), and bytes of shared memory."""

    blocks: int
    threads: tuple[int, int]
    shared: int = 0


@functools.cache
def multiprocessors() -> int:
    """How many there are on this device."""
    return 1 if IS_SIMULATED else int(cuda.get_current_device().MULTIPROCESSOR_COUNT)


def threads_of(n: int) -> tuple[int, int]:
    """Threads a row and rows a block."""
    if IS_SIMULATED:  # each thread is one of Python's
        return (WARP, 2) if n <= 48 else (2 * WARP, 1)
    if n <= _SHORT:
        return WARP, _WARPS
    return (128 if n <= 4096 else LARGEST_TEAM), 1


def row_teams(count: int, n: int) -> Shape:
    """Launch teams that keep nothing."""
    threads = threads_of(n)
    return Shape(max(1, min(-(-count // threads[1]), _AHEAD * multiprocessors())), threads)


def keeping_teams(count: int, n: int, like: DType) -> Shape | None:
    """Launch teams that keep a row's powers on chip, if it holds them."""
    shape, row_bytes = row_teams(count, n), 2 * n * like.itemsize
    while shape.threads[1] > 1 and shape.threads[1] * row_bytes > _SHARED:
        shape = shape._replace(threads=(shape.threads[0], shape.threads[1] // 2))
    shared = shape.threads[1] * row_bytes
    return shape._replace(shared=shared) if shared <= _SHARED else None


class Narrowing(NamedTuple):
    """Of launches over samples and rows: blocks a row, a sample's stride, layers of what is set aside."""

    samples: Shape
    shape: Shape
    blocks: int
    stride: int
    layers: int


def sample_size(n: int, stride: int) -> int:
    """How many elements a sample has that takes a warp's worth of neighbours of every `stride`."""
    whole = (n - 1) // (WARP * stride)
    return whole * WARP + min(WARP, n - whole * WARP * stride)


def narrowing(count: int, n: int, like: DType) -> Narrowing:
    """Launch a block a row, or several where there are fewer rows than blocks to be had."""
    threads, most = _NARROWING, _SAMPLE // (2 * like.itemsize)
    stride = max(8, -(-n // most))
    shared = 2 * sample_size(n, stride) * like.itemsize
    resident = _RESIDENT * multiprocessors()
    blocks = max(1, min(resident // count, -(-n // threads)))
    shape = Shape(blocks * count if blocks > 1 else min(count, resident), (threads, 1))
    samples = Shape(min(count, 2 * resident), (threads, 1), shared)
    # A sample of millions leaves less open than one of thousands.
    wanted = n // 4 if blocks == 1 else n // 32
    most = _ASIDE // (2 * like.itemsize * shape.blocks * threads)
    return Narrowing(
        samples, shape, blocks, stride, max(4, min(most, -(-wanted // (blocks * threads))))
    )


def sorting_blocks(count: int, n: int, element_bytes: int) -> tuple[Shape, int]:
    """Launch a block a row; return also the power of two that a row is filled up to."""
    size = 1 << max(0, n - 1).bit_length()
    blocks = max(1, min(count, 4 * multiprocessors(), _SCRATCH // (size * element_bytes)))
    return Shape(blocks, (threads_of(n)[0] if IS_SIMULATED else LARGEST_TEAM, 1)), size


def elements_grid(count: int, n: int) -> tuple[tuple[int, int, int], tuple[int, int]]:
    """Blocks and threads of a launch with a thread an element."""
    threads = (4, 8) if IS_SIMULATED else (256, 1) if n >= 256 else (WARP, 8)
    columns, rows = -(-n // threads[0]), -(-count // threads[1])
    layers = -(-rows // _MOST_ROWS)
    return (columns, -(-rows // layers), layers), threads


def run(kernel: Any, shape: Shape, stream: Any, *arguments: Any) -> None:
    """Launch a kernel of teams."""
    kernel[shape.blocks, shape.threads, stream, shape.shared](*arguments)
