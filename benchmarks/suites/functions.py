"""Time of the public functions on whole batches, for asv: each class varies one thing.

All of it crossed would take days; `floors.Multiples` crosses shapes, dtypes and norms.
"""

import numpy as np

from .common.calls import FUNCTIONS, bounds_like, ready
from .common.data import SHAPES, batch, slow_rows

SHAPE = SHAPES["16384x3072"]


class _Call:
    timeout = 300

    def time_call(self, *params):
        self.call()


class Shapes(_Call):
    params = (FUNCTIONS, list(SHAPES))
    param_names = ("function", "shape")

    def setup(self, function, shape):
        self.call = ready(function, batch(SHAPES[shape]))


class Norms(_Call):
    params = (FUNCTIONS, ["float32", "float64"], [1, 2, 3.5, np.inf])
    param_names = ("function", "dtype", "p")

    def setup(self, function, dtype, p):
        self.call = ready(function, batch(SHAPE, dtype, p))


class Kinds(_Call):
    params = (FUNCTIONS, ["normal", "cauchy", "photographs"])
    param_names = ("function", "kind")

    def setup(self, function, kind):
        self.call = ready(function, batch(SHAPE, kind=kind))


class Targets(_Call):
    params = (FUNCTIONS, [0.05, 0.3, 0.5])
    param_names = ("function", "eps / sqrt(n)")

    def setup(self, function, share):
        self.call = ready(function, batch(SHAPE, share=share))


class Methods(_Call):
    """Both methods, on some 4 million elements: sorting takes some thirty times as long."""

    params = (["newton", "sort"], ["normal", "slow"], [3072, 150528, 6_000_000])
    param_names = ("method", "rows", "n")

    def setup(self, method, rows, n):
        shape = max(1, 2**22 // n), n
        made = slow_rows(*shape) if rows == "slow" else batch(shape)
        self.call = ready("eta", made, method=method)


class Bounds(_Call):
    params = (["eta", "rescale"], ["numbers", "per row", "per element", "upper only", "none"])
    param_names = ("function", "bounds")

    def setup(self, function, bounds):
        made = batch(SHAPE)
        lower, upper = bounds_like(made.x)
        pair = {
            "numbers": (0, 1),
            "per row": (lower[:, :1], upper[:, :1]),
            "per element": (lower, upper),
            "upper only": (None, 1),
            "none": (None, None),
        }
        self.call = ready(function, made, bounds=pair[bounds])


class Layouts(_Call):
    params = (["eta", "rescale"], ["C", "Fortran", "every other", "byte-swapped", "one delta"])
    param_names = ("function", "layout")

    def setup(self, function, layout):
        made = batch(SHAPE)
        change = {
            "C": np.asarray,
            "Fortran": np.asfortranarray,
            "every other": lambda array: np.repeat(array, 2, axis=1)[:, ::2],
            "byte-swapped": lambda array: array.astype(">f4"),
            "one delta": np.asarray,
        }[layout]
        delta = made.delta[:1] if layout == "one delta" else change(made.delta)
        self.call = ready(function, made._replace(x=change(made.x), delta=delta))
