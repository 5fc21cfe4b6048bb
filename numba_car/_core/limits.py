"""Where the arithmetic of float64 ends, and what is done about it."""

# x may lie outside its bounds by this many roundings of its own dtype.
SLACK = 4.0

# Sums of powers between these are safe: terms that underflow are lost in their rounding anyway.
SMALLEST_SUM = 2.0**-900
LARGEST_SUM = 2.0**900

# A larger |delta| is not raised to a power: inf * 0 is NaN. In float32 it is inf itself.
LARGEST_DELTA = 2.0**450

# What sums of float32 lose of terms beyond this range, whose unit is about 1, is of no account.
RANGE_FLOAT32 = 2.0**80

# Relatively, the last step of a float32 pass may be this long: in the norm it is worth half of that.
NEAR_FLOAT32 = 2.0**-22

# Elements summed before compensation sets in. What rounding adds to such a block must stay below the
# result's own: float32 has room to spare, and a general p magnifies it 1/p times.
BLOCK_FLOAT32, BLOCK_FLOAT64, BLOCK_POWERS = 512, 128, 8

# Below this p, even compensated sums of float64 no longer do for float64 results.
SMALL_P = 0.6

# Beyond these, p makes no difference that float64 could show; within, products with it are exact.
SMALLEST_P, LARGEST_P = 2.0**-900, 2.0**900

# Newton's passes before sorting is the better deal: a pass costs about 1/100 of a sort. On GPUs, those
# before bisection is, of some 140 passes.
MAX_PASSES = 32

# The gradients' formulas hold in any unit of length; eps is one, unless its inverse overflows.
SMALLEST_UNIT = 2.0**-1000

LARGEST = 2.0**1023 * (2.0 - 2.0**-52)  # of float64
