"""Times on a machine that others use as well: candidates take turns, medians are compared."""

import time

import numpy as np


def seconds_of(functions, runs, number=1):
    """Seconds of one call, a row a run: the functions take turns, after one warm-up of each."""
    seconds = np.empty((runs, len(functions)))
    for function in functions:
        function()
    for row in seconds:
        for column, function in enumerate(functions):
            start = time.perf_counter()
            for _ in range(number):
                function()
            row[column] = (time.perf_counter() - start) / number
    return seconds


def medians(functions, runs=7, number=1):
    """Median seconds of one call of each function."""
    return np.median(seconds_of(functions, runs, number), axis=0)


def ratio(ours, theirs, runs=7, number=1):
    """How many times as long our call takes as theirs."""
    first, second = medians((ours, theirs), runs, number)
    return first / second
