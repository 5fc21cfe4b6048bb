"""Times on a machine that others use as well: candidates take turns, medians are compared."""

import time

import numpy as np


def medians(functions, runs=7, number=1):
    """Median seconds of one call of each function, the functions taking turns, after one warm-up."""
    seconds = np.empty((runs, len(functions)))
    for function in functions:
        function()
    for row in seconds:
        for column, function in enumerate(functions):
            start = time.perf_counter()
            for _ in range(number):
                function()
            row[column] = (time.perf_counter() - start) / number
    return np.median(seconds, axis=0)


def ratio(ours, theirs, runs=7, number=1):
    """How many times as long our call takes as theirs."""
    first, second = medians((ours, theirs), runs, number)
    return first / second
