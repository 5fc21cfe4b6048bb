"""Transposed copies, eight by eight elements, or four by four, at a time: between rows in memory and columns in memory.

A copy that takes one element after the other takes 5 times as long.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from numba_car._jit import kernel, overload, rows

SIDE, HALF = 8, 4


def _copied(source, start, stride, target, to, step, side):
    for a in range(side):
        for b in range(side):
            target[to + b * step + a] = source[start + a * stride + b]


def swap(source, start, stride, target, to, step):
    """Store source[start + a*stride + b] in target[to + b*step + a], for a and b from 0 to 7."""
    _copied(source, start, stride, target, to, step, SIDE)


def swap_half(source, start, stride, target, to, step):
    """Store source[start + a*stride + b] in target[to + b*step + a], for a and b from 0 to 3."""
    _copied(source, start, stride, target, to, step, HALF)


def _swap_of(side):
    """Return the intrinsic that swaps `side` by `side` elements, a power of two."""

    @intrinsic
    def _swap(_, source, start, stride, target, to, step):
        def generate(context, builder, signature, values):
            arrays = [
                context.make_array(signature.args[k])(context, builder, values[k]) for k in (0, 3)
            ]
            number = context.get_data_type(signature.args[0].dtype)
            vector, alignment = ir.VectorType(number, side), context.get_abi_sizeof(number)

            def place(array, first, by, k):
                index = builder.add(first, builder.mul(by, ir.Constant(first.type, k)))
                return builder.bitcast(builder.gep(array.data, [index]), vector.as_pointer())

            vectors = []
            for k in range(side):
                vectors.append(builder.load(place(arrays[0], values[1], values[2], k)))
                vectors[-1].align = alignment
            for bit in range(side.bit_length() - 1):
                # Swap this bit of the index of a row with that of the index in the row.
                far = 1 << bit
                for k in range(side):
                    if not k & far:
                        pair = vectors[k], vectors[k + far]
                        vectors[k], vectors[k + far] = (
                            builder.shuffle_vector(*pair, mask) for mask in _masks(far, side)
                        )
            for k in range(side):
                store = builder.store(vectors[k], place(arrays[1], values[4], values[5], k))
                store.align = alignment
            return context.get_dummy_value()

        return types.void(source, start, stride, target, to, step), generate

    return _swap


def _masks(far, side):
    """Return which elements of two rows, `far` apart, the first and the second of them get."""
    low = [k + side - far if k & far else k for k in range(side)]
    high = [k + side if k & far else k + far for k in range(side)]
    kind = ir.VectorType(ir.IntType(32), side)
    return [ir.Constant(kind, mask) for mask in (low, high)]


_swap_whole, _swap_half = _swap_of(SIDE), _swap_of(HALF)


@overload(swap)
def _compiled_swap(source, start, stride, target, to, step):
    return lambda source, start, stride, target, to, step: _swap_whole(
        source, start, stride, target, to, step
    )


@overload(swap_half)
def _compiled_swap_half(source, start, stride, target, to, step):
    return lambda source, start, stride, target, to, step: _swap_half(
        source, start, stride, target, to, step
    )


@rows
def _is_even(places, first, count):
    """Return whether `count` places from the first on follow each other at equal distances."""
    if first + count > places.size:
        return False
    pitch, found = places[first + 1] - places[first], True
    for k in range(2, count):
        found &= places[first + k] - places[first] == k * pitch
    return found


@rows
def _side_of(places, first):
    """Return how many elements from the first on are copied at once: 8 or 4 at equal distances, or 1, and the distance."""
    for side in (SIDE, HALF):
        if _is_even(places, first, side):
            return side, places[first + 1] - places[first]
    return 1, 0


@rows
def _find_runs(rows_at):
    """Return of each eight rows whether they lie side by side in memory."""
    runs = np.zeros(rows_at.size // SIDE + 1, np.bool_)
    for group in range(rows_at.size // SIDE):
        first = group * SIDE
        runs[group] = rows_at[first + 1] - rows_at[first] == 1 and _is_even(rows_at, first, SIDE)
    return runs


@kernel
def gather(memory, rows_at, places, block, stride):
    """Store element i of row r, memory[rows_at[r] + places[i]], at block[r*stride + i]."""
    runs, i = _find_runs(rows_at), 0
    while i < places.size:
        side, pitch = _side_of(places, i)
        for r in range(0, rows_at.size, SIDE):
            start, to = rows_at[r] + places[i], r * stride + i
            if runs[r // SIDE] and side == SIDE:
                swap(memory, start, pitch, block, to, stride)
            elif runs[r // SIDE] and side == HALF:
                swap_half(memory, start, pitch, block, to, stride)
                swap_half(memory, start + HALF, pitch, block, to + HALF * stride, stride)
            elif runs[r // SIDE]:
                for a in range(SIDE):
                    block[to + a * stride] = memory[start + a]
            else:
                for b in range(i, i + side):
                    for a in range(r, min(r + SIDE, rows_at.size)):
                        block[a * stride + b] = memory[rows_at[a] + places[b]]
        i += side


@kernel
def scatter(block, stride, memory, rows_at, places):
    """Store block[r*stride + i] as element i of row r, memory[rows_at[r] + places[i]]."""
    runs, i = _find_runs(rows_at), 0
    while i < places.size:
        side, pitch = _side_of(places, i)
        for r in range(0, rows_at.size, SIDE):
            start, to = rows_at[r] + places[i], r * stride + i
            if runs[r // SIDE] and side == SIDE:
                swap(block, to, stride, memory, start, pitch)
            elif runs[r // SIDE] and side == HALF:
                swap_half(block, to, stride, memory, start, pitch)
                swap_half(block, to + HALF * stride, stride, memory, start + HALF, pitch)
            elif runs[r // SIDE]:
                for a in range(SIDE):
                    memory[start + a] = block[to + a * stride]
            else:
                for b in range(i, i + side):
                    for a in range(r, min(r + SIDE, rows_at.size)):
                        memory[rows_at[a] + places[b]] = block[a * stride + b]
        i += side
