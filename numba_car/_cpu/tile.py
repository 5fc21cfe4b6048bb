"""Tiles of short rows, transposed: each row is a lane of every loop, and element i of all rows lies side by side.

Batches are those of `row`: (flat array, stride between rows), or one number.
"""

import numpy as np
from numba import types

from numba_car._core.transpose import HALF, SIDE, swap, swap_half
from numba_car._cpu.row import store
from numba_car._jit import formula, overload, rows

LANES = 32  # rows of a tile
GROUP = 4  # elements that a loop over the lanes takes at once: sums stay in registers


@formula
def place(index, lane):
    """Return the place in a tile of an element of the row of that lane; unsigned, so that no loop asks for its sign."""
    return np.uint64(index * LANES + lane)


@rows
def _copy_rows(flat, stride, first, count, n, tile):
    for r in range(0, count, SIDE):
        start, is_whole = (first + r) * stride, r + SIDE <= count
        for i in range(0, n, SIDE):
            to = i * LANES + r
            if is_whole and i + HALF == n:
                swap_half(flat, start + i, stride, tile, to, LANES)
                swap_half(flat, start + HALF * stride + i, stride, tile, to + HALF, LANES)
            # What a vector holds beyond the end of its row, nothing reads.
            elif is_whole and start + (SIDE - 1) * stride + i + SIDE <= flat.size:
                swap(flat, start + i, stride, tile, to, LANES)
            else:
                for k in range(r, min(r + SIDE, count)):
                    for j in range(i, min(i + SIDE, n)):
                        tile[j * LANES + k] = flat[(first + k) * stride + j]


@rows
def _save_row(tile, flat, stride, first, lane, n):
    row = flat[(first + lane) * stride : (first + lane) * stride + n]
    for i in range(n):
        row[i] = tile[i * LANES + lane]


@rows
def _save_rows(tile, flat, stride, first, count, n):
    whole = count - count % SIDE if n % HALF == 0 else 0
    for r in range(0, whole, SIDE):
        for i in range(0, n, SIDE):
            at, to = i * LANES + r, (first + r) * stride + i
            if i + HALF == n:
                swap_half(tile, at, LANES, flat, to, stride)
                swap_half(tile, at + HALF, LANES, flat, to + HALF * stride, stride)
            else:
                swap(tile, at, LANES, flat, to, stride)
    for r in range(whole, count):
        _save_row(tile, flat, stride, first, r, n)


def save(tile, batch, first, count, n):
    """Store a tile as `count` rows of a batch, from `first` on; do nothing for one number."""
    if isinstance(batch, tuple):
        _save_rows(tile, batch[0], batch[1], first, count, n)


@overload(save)
def _save(tile, batch, first, count, n):
    if not isinstance(batch, types.BaseTuple):
        return lambda tile, batch, first, count, n: None
    return lambda tile, batch, first, count, n: _save_rows(
        tile, batch[0], batch[1], first, count, n
    )


def save_row(tile, batch, first, lane, n):
    """Store one row of a tile as row `first + lane` of a batch; do nothing for one number."""
    if isinstance(batch, tuple):
        _save_row(tile, batch[0], batch[1], first, lane, n)


@overload(save_row)
def _save_one(tile, batch, first, lane, n):
    if not isinstance(batch, types.BaseTuple):
        return lambda tile, batch, first, lane, n: None
    return lambda tile, batch, first, lane, n: _save_row(tile, batch[0], batch[1], first, lane, n)


@rows
def save_those(tile, batch, first, count, n, chosen):
    """Store the rows of a tile that are chosen among `count` rows of a batch, from `first` on."""
    missing = 0
    for r in range(count):
        missing += 0 if chosen[r] else 1
    if missing == 0:
        save(tile, batch, first, count, n)
        return
    for r in range(count):
        if chosen[r]:
            save_row(tile, batch, first, r, n)


def tile_of(batch, n):
    """Return a tile of zeros for rows of a batch; one number unchanged."""
    if not isinstance(batch, tuple):
        return batch
    return np.zeros((n + -n % SIDE) * LANES, batch[0].dtype)


@overload(tile_of)
def _tile_of(batch, n):
    if not isinstance(batch, types.BaseTuple):
        return lambda batch, n: batch
    return lambda batch, n: np.zeros((n + -n % SIDE) * LANES, batch[0].dtype)


def load(batch, first, count, n, tile):
    """Store `count` rows from `first` on in a tile; do nothing for one number."""
    if isinstance(batch, tuple):
        _copy_rows(batch[0], batch[1], first, count, n, tile)


@overload(load)
def _load(batch, first, count, n, tile):
    if not isinstance(batch, types.BaseTuple):
        return lambda batch, first, count, n, tile: None
    return lambda batch, first, count, n, tile: _copy_rows(
        batch[0], batch[1], first, count, n, tile
    )


@rows
def _copy_first_of(tile, index):
    for r in range(LANES):  # compiles in a tenth of the time that slices take
        tile[place(index, r)] = tile[r]


def copy_first(tile, index):
    """Store element 0 as element `index` too; do nothing for one number."""
    if isinstance(tile, np.ndarray):
        _copy_first_of(tile, index)


@overload(copy_first)
def _copy_first(tile, index):
    if not isinstance(tile, types.Array):
        return lambda tile, index: None
    return lambda tile, index: _copy_first_of(tile, index)


@rows
def clear(tile, index):
    """Store 0 as that element of all rows; do nothing for one number."""
    for r in range(LANES):
        store(tile, place(index, r), 0)


@rows
def tiles_of(x, delta, lower, upper, n):
    """Return tiles of zeros for x, delta, lower and upper."""
    return tile_of(x, n), tile_of(delta, n), tile_of(lower, n), tile_of(upper, n)


@rows
def pad_tiles(tiles, n):
    """Fill a last group of elements with some that do not move."""
    x, delta, lower, upper = tiles
    for i in range(n, n + -n % GROUP):
        clear(delta, i)
        copy_first(x, i)
        copy_first(lower, i)
        copy_first(upper, i)


@rows
def load_tiles(x, delta, lower, upper, first, count, n, tiles):
    """Store `count` rows from `first` on in the tiles."""
    load(x, first, count, n, tiles[0])
    load(delta, first, count, n, tiles[1])
    load(lower, first, count, n, tiles[2])
    load(upper, first, count, n, tiles[3])
    pad_tiles(tiles, n)


@rows
def load_padded(batch, first, count, n, tile):
    """Store `count` rows from `first` on in a tile, with zeros in a last group of elements; do nothing for one number."""
    load(batch, first, count, n, tile)
    for i in range(n, n + -n % GROUP):
        clear(tile, i)
