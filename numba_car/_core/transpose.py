"""Transposed copies, eight by eight elements at a time: between rows in memory and columns in memory.

A copy that takes one element after the other takes 5 times as long.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from numba_car._jit import rows

SIDE = 8


def swap(source, start, stride, target, to, step):
    """Store source[start + a*stride + b] in target[to + b*step + a], for a and b from 0 to 7."""
    for a in range(SIDE):
        for b in range(SIDE):
            target[to + b * step + a] = source[start + a * stride + b]


@intrinsic
def _swap(_, source, start, stride, target, to, step):
    def generate(context, builder, signature, values):
        arrays = [
            context.make_array(signature.args[k])(context, builder, values[k]) for k in (0, 3)
        ]
        number = context.get_data_type(signature.args[0].dtype)
        vector, alignment = ir.VectorType(number, SIDE), context.get_abi_sizeof(number)

        def place(array, first, by, k):
            index = builder.add(first, builder.mul(by, ir.Constant(first.type, k)))
            return builder.bitcast(builder.gep(array.data, [index]), vector.as_pointer())

        vectors = []
        for k in range(SIDE):
            vectors.append(builder.load(place(arrays[0], values[1], values[2], k)))
            vectors[-1].align = alignment
        for far in (
            1,
            2,
            4,
        ):  # swaps this bit of the index of a row with that of the index in the row
            for k in range(SIDE):
                if not k & far:
                    pair = vectors[k], vectors[k + far]
                    vectors[k], vectors[k + far] = (
                        builder.shuffle_vector(*pair, mask) for mask in _masks(far)
                    )
        for k in range(SIDE):
            store = builder.store(vectors[k], place(arrays[1], values[4], values[5], k))
            store.align = alignment
        return context.get_dummy_value()

    return types.void(source, start, stride, target, to, step), generate


def _masks(far):
    """Return which elements of two rows, `far` apart, the first and the second of them get."""
    low = [k + SIDE - far if k & far else k for k in range(SIDE)]
    high = [k + SIDE if k & far else k + far for k in range(SIDE)]
    kind = ir.VectorType(ir.IntType(32), SIDE)
    return [ir.Constant(kind, mask) for mask in (low, high)]


@overload(swap)
def _compiled_swap(source, start, stride, target, to, step):
    return lambda source, start, stride, target, to, step: _swap(
        source, start, stride, target, to, step
    )


@rows
def transpose(source, start, stride, target, to, step, height, width):
    """Store source[start + a*stride + b] in target[to + b*step + a], for a below height and b below width."""
    whole_height, whole_width = height - height % SIDE, width - width % SIDE
    for a in range(0, whole_height, SIDE):
        for b in range(0, whole_width, SIDE):
            swap(source, start + a * stride + b, stride, target, to + b * step + a, step)
        for b in range(whole_width, width):
            for k in range(a, a + SIDE):
                target[to + b * step + k] = source[start + k * stride + b]
    for a in range(whole_height, height):
        for b in range(width):
            target[to + b * step + a] = source[start + a * stride + b]
