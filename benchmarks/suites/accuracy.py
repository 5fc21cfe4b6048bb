"""How exact eta is, and in how many passes Newton's method finds it."""

import numpy as np

from .common.accuracy import passes, worst_error
from .common.data import batch


class Accuracy:
    params = (["float32", "float64"], [1, 2, 3.5, np.inf], ["normal", "cauchy", "photographs"])
    param_names = ("dtype", "p", "kind")
    unit = "ulp"
    timeout = 300

    def track_worst_ulp(self, dtype, p, kind):
        return worst_error(batch((16, 1000), dtype, p, kind, share=0.1))


class Passes:
    params = (["normal", "cauchy", "photographs"], [1, 2, 3.5], [784, 3072, 150528])
    param_names = ("kind", "p", "n")
    unit = "passes"

    def track_passes(self, kind, p, n):
        return passes(batch((2**19 // n, n), p=p, kind=kind, share=0.1))
