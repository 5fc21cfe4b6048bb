"""Calls from Python of functions that only jitted code may call."""

import numba


def jitted(function):
    """Return a compiled function that hands its arguments to `function`, which has no Python wrapper."""

    def caller(*arguments):
        return function(*arguments)

    return numba.njit(caller)
