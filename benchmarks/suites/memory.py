"""Peak memory of a process that calls eta once."""

from .common.calls import call_of
from .common.data import SHAPES, batch


class Memory:
    params = (["none", "newton", "sort"], ["1x784", "256x150528", "8x6000000"])
    param_names = ("call", "shape")
    timeout = 300

    def setup(self, method, shape):
        self.made = batch(SHAPES[shape])

    def peakmem_eta(self, method, shape):
        if method != "none":
            call_of("eta", self.made, method=method)()
