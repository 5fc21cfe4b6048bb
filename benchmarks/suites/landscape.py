"""The price of exactness, cell by cell, for asv: see `common/landscape.py`."""

from .common.landscape import CELLS, FUNCTIONS, calls_of, measured

BY_NAME = {cell.name: cell for cell in CELLS}


class Landscape:
    params = (list(BY_NAME), list(FUNCTIONS))
    param_names = ("cell", "function")
    unit = "x the inexact rescale"
    timeout = 300

    def setup(self, name, function):
        try:
            has = function in calls_of(BY_NAME[name])[1]
        except ImportError as error:
            raise NotImplementedError from error
        if not has:
            raise NotImplementedError  # which asv takes for: skip this

    def track_price(self, name, function):
        return measured(BY_NAME[name], 1, (function,))[function]
