"""Where the arithmetic of float64 ends, and what is done about it."""

# x may lie outside its bounds by this many roundings of its own dtype.
SLACK = 4.0

# Sums of powers between these are safe: terms that underflow are lost in their rounding anyway.
SMALLEST_SUM = 2.0**-900
LARGEST_SUM = 2.0**900

# A larger |delta| is not raised to a power: inf * 0 is NaN. In float32 it is inf itself.
LARGEST_DELTA = 2.0**450

# With sums up to this, and no less than its inverse, float32 needs no units.
MODERATE_SUM = 2.0**60

# What sums of float32 lose of terms beyond this range, whose unit is about 1, is of no account.
RANGE_FLOAT32 = 2.0**80

# Relatively, the last step of a float32 pass may be this long: half of what float32 shows of it.
NEAR_FLOAT32 = 2.0**-24

# Elements summed before compensation sets in, which go into 32 or 16 sums of their own. What rounding
# adds to such a block must stay below the result's own, even if all of them are equal and err alike; the
# result's is 1/p times as much, and for p < 2 in float64 what rounding lost is put back at last. Where
# elements may be added one after the other, they are BLOCK_CHAIN. In float32, BLOCK_FLOAT32 is for p >= 2,
# BLOCK_SMALL_P for 1 <= p < 2.
BLOCK_FLOAT32, BLOCK_SMALL_P, BLOCK_FLOAT64, BLOCK_POWERS, BLOCK_CHAIN = 416, 128, 128, 16, 8

# Below this p, even compensated sums of float64 no longer do for float64 results.
SMALL_P = 0.6

# Beyond these, p makes no difference that float64 could show; within, products with it are exact.
SMALLEST_P, LARGEST_P = 2.0**-900, 2.0**900

# Newton's passes before sorting is the better deal: a pass costs about 1/100 of a sort. On GPUs, those
# before bisection is, of some 140 passes.
MAX_PASSES = 32

# Longer rows are not sorted whole: the breakpoints about the root are found first, at some 1/12 a pass.
MOST_SORTED, MAX_LONG_PASSES = 1 << 16, 12

# The gradients' formulas hold in any unit of length; eps is one, unless its inverse overflows.
SMALLEST_UNIT = 2.0**-1000

LARGEST = 2.0**1023 * (2.0 - 2.0**-52)  # of float64
