"""How device code sees a batch of rows, or a number that stands for one.

As with norms, the length of the tuple that a batch travels as is its kind.

=================  ============================  =============================================
kind               batch                         elements
=================  ============================  =============================================
`NUMBER`           ``(number,)``                 one number for all
`ROWS`             ``(array, stride)``           rows in flat memory, a stride apart
`STORED_NUMBER`    ``(array, 0, 0)``             one number for all, in device memory
`BFLOAT16_ROWS`    ``(bits, stride, step, 0)``   as `ROWS`, the elements of a row a step apart;
                                                 one number for all where both are 0
=================  ============================  =============================================

Indices are cast to unsigned, which spares each access the test for a negative one.
"""

import numpy as np
from numba import cuda

from numba_car._core.bfloat16 import narrow, widen
from numba_car._cuda.jit import device

NUMBER, ROWS, STORED_NUMBER, BFLOAT16_ROWS = range(1, 5)


@device
def my_element():
    """Return the row and the element of this thread in a launch with a thread an element."""
    layer = np.int64(cuda.blockIdx.z) * cuda.gridDim.y
    r = (layer + cuda.blockIdx.y) * cuda.blockDim.y + cuda.threadIdx.y
    return r, np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x


@device
def loaded(batch):
    """Return a batch, but a number in device memory as one in registers, for a kernel that passes over rows."""
    return (batch[0][0],) if len(batch) == STORED_NUMBER else batch


@device
def at(batch, r, i, dtype):
    """Return element i of row r as a `dtype`."""
    kind = len(batch)
    if kind == NUMBER:
        return dtype(batch[0])
    if kind == STORED_NUMBER:
        return dtype(batch[0][0])
    if kind == BFLOAT16_ROWS:
        return dtype(widen(batch[0][np.uint64(r * batch[1] + i * batch[2])]))
    return dtype(batch[0][np.uint64(r * batch[1] + i)])


@device
def store(batch, r, i, value):
    """Store a value as element i of row r; a number stores nothing."""
    kind = len(batch)
    if kind == ROWS:
        batch[0][np.uint64(r * batch[1] + i)] = value
    if kind == BFLOAT16_ROWS:
        batch[0][np.uint64(r * batch[1] + i * batch[2])] = narrow(value)


@device
def element(row, i, dtype):
    """Return x, delta, lower and upper of element i of row (x, delta, lower, upper, r, n)."""
    x, delta, lower, upper, r, _ = row
    return (
        at(x, r, i, dtype),
        at(delta, r, i, dtype),
        at(lower, r, i, dtype),
        at(upper, r, i, dtype),
    )


@device
def four(row, i, step, dtype):
    """Return four elements from i on, a step apart, whose loads wait for memory together."""
    first, second = element(row, i, dtype), element(row, i + step, dtype)
    return first, second, element(row, i + 2 * step, dtype), element(row, i + 3 * step, dtype)
