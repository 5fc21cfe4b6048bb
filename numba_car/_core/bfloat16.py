"""bfloat16: the upper half of a float32, carried as its 16 bits."""

import math

import numpy as np

from numba_car._jit import formula


@formula
def widen(bits):
    """Return the float32 of a bfloat16."""
    return np.uint32(np.uint32(bits) << np.uint32(16)).view(np.float32)


@formula
def narrow(value):
    """Return the bits of the bfloat16 nearest to a number rounded to float32; ties go to even."""
    value = np.float32(value)
    if math.isnan(value):
        return np.uint16(0x7FC0)
    bits = value.view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    return np.uint16((bits + np.uint32(0x7FFF) + odd) >> np.uint32(16))
