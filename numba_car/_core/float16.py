"""float16 in integer arithmetic, as its 16 bits: NumPy converts one element at a time, and numba has no such type."""

import numpy as np

from numba_car._jit import formula

_SIGN, _MAGNITUDE, _INFINITY = np.uint32(0x8000), np.uint32(0x7FFF), np.uint32(0x7C00)
_ONE, _SHIFT, _HALF_WORD = np.uint32(1), np.uint32(13), np.uint32(16)  # float32 has 13 more digits
_SCALE = np.float32(2.0**112)  # the exponents are 127 - 15 = 112 apart
_INFINITY_32, _SIGN_32 = np.uint32(0x7F800000), np.uint32(0x80000000)
_OVERFLOW = np.uint32(143 << 23)  # bits of 65536, which float16 does not hold
_SMALLEST_NORMAL = np.uint32(113 << 23)  # bits of 2**-14
_HALF, _BITS_OF_HALF = (
    np.float32(0.5),
    np.uint32(126 << 23),
)  # whose last place is that of a subnormal, 2**-24
_REBIAS = np.uint32((1 << 32) - (112 << 23) + 0xFFF)  # and half a last place, but for the tie
_NAN = np.uint32(0x7E00)


@formula
def widen(bits):
    """Return the float32 of a float16."""
    bits = np.uint32(bits)
    magnitude = np.uint32(np.uint32(bits & _MAGNITUDE) << _SHIFT)
    finite = np.float32(magnitude.view(np.float32) * _SCALE).view(np.uint32)
    is_finite = np.uint32(bits & _MAGNITUDE) < _INFINITY
    size = finite if is_finite else np.uint32(magnitude | _INFINITY_32)
    return np.uint32(np.uint32(np.uint32(bits & _SIGN) << _HALF_WORD) | size).view(np.float32)


@formula
def narrow(value):
    """Return the bits of the float16 nearest to a float32; ties go to even, and what is beyond is infinite."""
    bits = np.float32(value).view(np.uint32)
    sign = np.uint32(bits & _SIGN_32)
    bits = np.uint32(bits ^ sign)
    odd = np.uint32(np.uint32(bits >> _SHIFT) & _ONE)
    normal = np.uint32(np.uint32(np.uint32(bits + _REBIAS) + odd) >> _SHIFT)
    aligned = np.float32(np.uint32(bits).view(np.float32) + _HALF).view(np.uint32)
    small = np.uint32(aligned - _BITS_OF_HALF)
    size = small if bits < _SMALLEST_NORMAL else normal
    beyond = _NAN if bits > _INFINITY_32 else _INFINITY
    size = beyond if bits >= _OVERFLOW else size
    return np.uint16(size | np.uint32(sign >> _HALF_WORD))
