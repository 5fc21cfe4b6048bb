"""The least time that memory and powers allow, and the library's time as a multiple of it."""

import re

import numpy as np

from .common.data import SHAPES, batch
from .common.floors import FLOORS, KERNELS, OURS_AND_FLOOR, multiple


class Floors:
    """The floors themselves."""

    params = (list(FLOORS), ["float32", "float64"])
    param_names = ("floor", "dtype")
    timeout = 300

    def setup(self, floor, dtype):
        self.call = FLOORS[floor](batch(SHAPES["16384x3072"], dtype, 3.5))
        self.call()

    def time_floor(self, *params):
        self.call()


class Multiples:
    """Our time in units of the floor's."""

    params = (list(OURS_AND_FLOOR), list(SHAPES)[1:], ["float32", "float64"], [1, 2, 3.5, np.inf])
    param_names = ("pair", "shape", "dtype", "p")
    unit = "times"
    timeout = 300

    def setup(self, pair, shape, dtype, p):
        if pair.endswith("powers") != (p == 3.5):
            raise NotImplementedError  # which asv takes for: skip this
        self.made = batch(SHAPES[shape], dtype, p)

    def track_multiple(self, pair, *params):
        return multiple(pair, self.made)


class Lanes:
    """Numbers that the floors' loops take at once: 1 would be a floor that does not vectorise."""

    params = (list(KERNELS),)
    param_names = ("kernel",)
    unit = "lanes"

    def track_lanes(self, name):
        kernel, arrays = KERNELS[name]
        kernel(*[np.ones(64, np.float32)] * arrays)
        code = kernel.inspect_llvm(kernel.signatures[0])
        return max((int(lanes) for lanes in re.findall(r"<(\d+) x float>", code)), default=1)
