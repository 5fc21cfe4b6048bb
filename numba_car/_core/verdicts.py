"""What is known of a row, or of a step of the solver: the six verdicts.

`numba_car._cpu.pipeline` and `numba_car._cuda.solver` show which stage of the solver takes the rows of
which verdict.
"""

PENDING = 0  # no answer yet; eta, where it is positive, is a lower bound of the answer
DONE = 1  # eta is the answer
SATURATED = 2  # no element is free at the current eta
NEEDS_MORE_DIGITS = 3  # beyond the range, or the digits, of the sums that were taken
NOT_FINITE = 4  # x or delta holds NaN or inf
OUTSIDE = 5  # some x lies outside its bounds by more than rounding
