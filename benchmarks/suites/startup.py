"""Time of a new process: the import, and the first call with and without cached kernels."""

from .common.startup import CODES, seconds_of


class StartUp:
    params = (list(CODES),)
    param_names = ("code",)
    number = 1
    repeat = (1, 5, 10.0)

    def setup(self, name):
        if "cache" in name:
            seconds_of(name)  # fills it

    def timeraw_start(self, name):
        return CODES[name]
