"""The limits of floating-point arithmetic, and what is done about them; equations are those of `docs/derivation.md`.

A row of `benchmarks/NOTES.md`, such as A1, is named where a constant was measured.
"""

# x may lie outside its bounds by this many roundings of its own dtype.
SLACK = 4.0

# Sums of powers between these lose no more terms to underflow than to rounding, as in eq. (17).
SMALLEST_SUM = 2.0**-900
LARGEST_SUM = 2.0**900

# A larger |delta| is not raised to a power: inf * 0 is NaN. In float32 it is inf itself.
LARGEST_DELTA = 2.0**450

# With sums up to this, and no less than its inverse, float32 needs no units: eq. (17).
MODERATE_SUM = 2.0**60

# The terms that float32 loses beyond this range, in units in which they are about 1, are below rounding: eq. (17).
RANGE_FLOAT32 = 2.0**80

# The relative length of a float32 step that may be the last: eq. (13), half of a float32's last place.
NEAR_FLOAT32 = 2.0**-24

# Elements that are summed without compensation: eq. (18), (19). A vectorised loop adds them in 16 sums of float32
# or 8 of float64, and with these lengths a row of equal terms stays within 4 ulps; A1 has the measurements, to be
# repeated when a loop changes. BLOCK_FLOAT32 is for p >= 2, BLOCK_SMALL_P for 1 <= p < 2, both float32; BLOCK_POWERS
# loses nothing of equal terms; BLOCK_CHAIN is for elements that are added one after the other.
BLOCK_FLOAT32, BLOCK_SMALL_P, BLOCK_FLOAT64, BLOCK_POWERS, BLOCK_CHAIN = 416, 128, 128, 16, 8

# Below this p, float64 results take double-double arithmetic: eq. (21); the value is empirical and cautious, A3.
SMALL_P = 0.6

# Beyond these, p makes no difference that float64 shows; between them, products with p are exact: eq. (22).
SMALLEST_P, LARGEST_P = 2.0**-900, 2.0**900

# Newton's passes before a row is sorted, which takes as long as 190 to 250 passes over stored powers: A5. On GPUs,
# the passes before bisection, which takes some 140.
MAX_PASSES = 32

# Longer rows are not sorted whole: radix selection finds the breakpoints around the root first. That takes as long
# as 46 passes at n = 150,528 and 18 at 1,000,000: A5.
MOST_SORTED, MAX_LONG_PASSES = 1 << 16, 12

# The formulas of derivatives hold in any unit of length; eps is the unit, unless its inverse overflows: eq. (31).
SMALLEST_UNIT = 2.0**-1000

# Rounds over a row in which elements go back inside eps by a last place each: eq. (49). More than rounding is left then,
# as where |z - x| > 2**106 eps, and steps grow.
SMALL_ROUNDS = 8

LARGEST = 2.0**1023 * (2.0 - 2.0**-52)  # of float64
LARGEST_FLOAT32 = 2.0**127 * (2.0 - 2.0**-23)
