"""How device code sees a batch of rows, and what stands for one.

======================  =============================================
``(array, stride)``     rows in flat memory, and the stride between them
``(number,)``           one number for all elements
``(array, 0, 0)``       the same, as the one element of an array
``(bits, s, d, 0)``     bfloat16: rows s apart, elements d apart
======================  =============================================

As with norms, a tuple's length picks the code. Indices are cast to unsigned, which spares each access
the test for a negative one.
"""

import numpy as np
from numba import cuda

from numba_car._core.bfloat16 import narrow, widen
from numba_car._cuda.jit import device


@device
def my_element():
    """Return the row and the element of this thread in a launch with a thread an element."""
    layer = np.int64(cuda.blockIdx.z) * cuda.gridDim.y
    r = (layer + cuda.blockIdx.y) * cuda.blockDim.y + cuda.threadIdx.y
    return r, np.int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x


@device
def at(batch, r, i, dtype):
    """Element i of row r in the type `dtype`."""
    if len(batch) == 1:
        return dtype(batch[0])
    if len(batch) == 3:
        return dtype(batch[0][0])
    if len(batch) == 4:
        return dtype(widen(batch[0][np.uint64(r * batch[1] + i * batch[2])]))
    return dtype(batch[0][np.uint64(r * batch[1] + i)])


@device
def store(batch, r, i, value):
    """Store an element; what is one number stores nothing."""
    if len(batch) == 2:
        batch[0][np.uint64(r * batch[1] + i)] = value
    if len(batch) == 4:
        batch[0][np.uint64(r * batch[1] + i * batch[2])] = narrow(value)


@device
def element(row, i, dtype):
    """x, delta, lower and upper of an element of row (x, delta, lower, upper, r, n)."""
    x, delta, lower, upper, r, _ = row
    return (
        at(x, r, i, dtype),
        at(delta, r, i, dtype),
        at(lower, r, i, dtype),
        at(upper, r, i, dtype),
    )


@device
def four(row, i, step, dtype):
    """Return every step-th element from i on, four in all, so that the loads wait for memory together."""
    first, second = element(row, i, dtype), element(row, i + step, dtype)
    return first, second, element(row, i + 2 * step, dtype), element(row, i + 3 * step, dtype)
