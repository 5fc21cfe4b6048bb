"""The row-level functions, called from jitted code as a user would; each takes LLVM half a minute."""

from functools import partial

import numpy as np
from numba import prange

from numba_car import kernels
from tests.support.jitted import compiled


@partial(compiled, parallel=True)
def etas(x, delta, eps, p, lower, upper):
    result = np.empty(len(x))
    for row in prange(len(x)):
        result[row] = kernels.eta(x[row], delta[row], eps[row], p, lower, upper)
    return result


@compiled
def rescaled(x, delta, eps, p, lower, upper):
    result = np.empty_like(x)
    for row in range(len(x)):
        kernels.rescale(x[row], delta[row], eps[row], p, lower, upper, result[row])
    return result


@compiled
def max_norms(x, delta, p, lower, upper):
    result = np.empty(len(x))
    for row in range(len(x)):
        result[row] = kernels.max_norm(x[row], delta[row], p, lower, upper)
    return result


@compiled
def gradients(x, delta, eps, p, eta, g):
    by_x, by_delta, by_eps = np.empty_like(x), np.empty_like(x), np.empty(len(x))
    for row in range(len(x)):
        given = x[row], delta[row], eps[row], p, 0.0, 1.0, eta[row]
        by_eps[row] = kernels.backward(*given, g[row], 0.0, by_x[row], by_delta[row])
    return by_x, by_delta, by_eps
