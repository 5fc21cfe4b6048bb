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
    """Round a number, by way of float32, to the nearest bfloat16, of equals to the even one."""
    value = np.float32(value)
    if math.isnan(value):
        return np.uint16(0x7FC0)
    bits = value.view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    return np.uint16((bits + np.uint32(0x7FFF) + odd) >> np.uint32(16))
