"""Time of the public functions on whole batches, for asv."""

import numpy as np

import numba_car as car

SHAPES = {"65536x784": (65536, 784), "16384x3072": (16384, 3072), "256x150528": (256, 150528)}


class Batch:
    """Normal directions in [0, 1], a third of the way to each row's largest norm."""

    params = (sorted(SHAPES), ["float32", "float64"], [1, 2, 3.5, np.inf], ["newton", "sort"])
    param_names = ("shape", "dtype", "p", "method")
    timeout = 300

    def setup(self, shape, dtype, p, method):
        rng = np.random.default_rng(0)
        self.x = rng.random(SHAPES[shape], np.float32).astype(dtype)
        self.delta = rng.standard_normal(SHAPES[shape], np.float32).astype(dtype)
        self.eps = 0.3 * SHAPES[shape][1] ** (1 / p)
        self.out = np.zeros_like(self.x)
        self.time_rescale(shape, dtype, p, method)

    def time_eta(self, shape, dtype, p, method):
        car.eta(self.x, self.delta, self.eps, p=p, method=method)

    def time_rescale(self, shape, dtype, p, method):
        car.rescale(self.x, self.delta, self.eps, p=p, method=method, out=self.out)
