"""Calls of the public functions, ready to be timed."""

from functools import partial

import numpy as np

import numba_car as car

FUNCTIONS = ["eta", "rescale", "max_norm", "eta_vjp", "rescale_vjp"]


def call_of(function, made, **options):
    """Return a call of one of `FUNCTIONS` on a batch, `rescale` into memory of its own."""
    x, delta, eps, p = made
    if function == "max_norm":
        return partial(car.max_norm, x, delta, p=p, **options)
    arguments = [x, delta, eps]
    if function == "rescale":
        options["out"] = np.empty_like(x)
    elif function.endswith("vjp"):
        arguments.append(1.0 if function == "eta_vjp" else np.ones_like(x))
    return partial(getattr(car, function), *arguments, p=p, **options)


def ready(function, made, **options):
    """Return such a call that has run once: compiled or loaded, its memory touched."""
    call = call_of(function, made, **options)
    call()
    return call


def bounds_like(x):
    """Return bounds for each element, in memory of their own."""
    return np.full_like(x, 0), np.full_like(x, 1)
