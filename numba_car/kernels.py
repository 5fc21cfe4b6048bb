"""Row-level jitted functions, for calls from a user's own ``@njit`` and ``@cuda.jit`` code.

Each takes one row: `x` and `delta` one-dimensional contiguous arrays of float32 or float64, `lower`
and `upper` numbers or arrays like x (infinite for no bound), `eps` finite and >= 0, `p` in (0, inf]. Sums
are taken in float64. They raise nothing: what breaks these rules gives NaN, as do a row with NaN or inf, x
outside its bounds by more than rounding, and arrays of different lengths.

>>> import numpy as np
>>> from numba import njit, prange
>>> from numba_car import kernels
>>> @njit(parallel=True)
... def etas(x, delta, eps):
...     result = np.empty(len(x))
...     for row in prange(len(x)):
...         result[row] = kernels.eta(x[row], delta[row], eps, 2.0, 0.0, 1.0)
...     return result
>>> etas(np.full((2, 3), 0.9), np.ones((2, 3)), 0.1)
array([0.05773503, 0.05773503])

In a kernel for CUDA, which needs numba-cuda, a thread takes a row (a warp or a block a row is what
`numba_car.eta` does for arrays in device memory)::

    @cuda.jit
    def etas(x, delta, eps, result):
        row = cuda.grid(1)
        if row < len(x):
            result[row] = kernels.eta(x[row], delta[row], eps, 2.0, 0.0, 1.0)
"""

import math

import numpy as np
from numba.core import config
from numba.core.registry import CPUDispatcher

from numba_car._core.norms import NORM_MAX, any_norm
from numba_car._cpu.any_row import is_valid, norm_at, solve, write
from numba_car._cpu.row import is_even, size_of
from numba_car._cpu.vjp import vjp_row
from numba_car._jit import kernel
from numba_car._step_kernels import maximize, norm, project

__all__ = ["backward", "eta", "max_norm", "maximize", "norm", "project", "rescale"]


class _Shared(CPUDispatcher):  # type: ignore[misc]
    """A jitted function that is another one in ``@cuda.jit`` code: its namesake in `_cuda.thread`."""

    @property
    def _CUDATypingContext__dispatcher(self):  # noqa: N802
        # Under this name numba-cuda keeps the device function that it made of one for the CPU.
        return self._on_device

    @property
    def _on_device(self):
        from numba_car._cuda import thread

        return getattr(thread, self.__name__)

    if config.ENABLE_CUDASIM:

        def __call__(self, *arguments):
            is_simulated = any(type(a).__module__.startswith("numba.cuda") for a in arguments)
            return self._on_device(*arguments) if is_simulated else super().__call__(*arguments)


def _shared(dispatcher):
    if isinstance(dispatcher, CPUDispatcher):  # which NUMBA_DISABLE_JIT leaves none of
        dispatcher.__class__ = _Shared
    return dispatcher


@_shared
@kernel
def eta(x, delta, eps, p, lower, upper):
    """Scale of one row: the smallest eta >= 0 with N(eta) = min(eps, R); see `numba_car.eta`.

    Parameters
    ----------
    x, delta : 1-D array of float32 or float64
        The row and its direction.
    eps : float
        The norm to reach.
    p : float
        Order of the norm, in (0, inf].
    lower, upper : float or array like x
        The bounds; infinite for none.

    Returns
    -------
    float
        Eta in float64; NaN for a row that breaks a rule.

    Examples
    --------
    >>> import numpy as np
    >>> from numba_car import kernels
    >>> x, delta = np.array([0.9, 0.5, 0.1]), np.array([1.0, 1.0, 0.0])
    >>> round(kernels.eta(x, delta, 0.25, 2.0, 0.0, 1.0), 6)
    0.229129
    """
    return solve((x, delta, lower, upper), np.float64(eps), np.float64(p))[0]


@_shared
@kernel
def rescale(x, delta, eps, p, lower, upper, out):
    """Fill out with clip(x + eta*delta, lower, upper) of one row, and return eta.

    Parameters
    ----------
    x, delta, eps, p, lower, upper
        As for `eta`.
    out : 1-D array
        Where the result goes, as long as x; it may be x or delta.

    Returns
    -------
    float
        Eta, as by `eta`. Where it is NaN for the arrays' lengths, `out` is as it was.

    Examples
    --------
    >>> import numpy as np
    >>> from numba_car import kernels
    >>> x, delta = np.array([0.9, 0.5, 0.1]), np.array([1.0, 1.0, 0.0])
    >>> kernels.rescale(x, delta, 0.25, 2.0, 0.0, 1.0, x) > 0
    True
    >>> x
    array([1.        , 0.72912878, 0.1       ])
    """
    row = x, delta, lower, upper
    if out.size != x.size:
        return math.nan
    solved = solve(row, np.float64(eps), np.float64(p))
    write(row, solved, out)
    return solved[0]


@_shared
@kernel
def max_norm(x, delta, p, lower, upper):
    """R of one row, the largest norm within reach; see `numba_car.max_norm`.

    Parameters
    ----------
    x, delta, p, lower, upper
        As for `eta`.

    Returns
    -------
    float
        The norm in float64; NaN for a row that breaks a rule.

    Examples
    --------
    >>> import numpy as np
    >>> from numba_car import kernels
    >>> x, delta = np.array([0.9, 0.5]), np.array([1.0, -1.0])
    >>> round(kernels.max_norm(x, delta, 1.0, 0.0, 1.0), 6)
    0.6
    """
    row = x, delta, lower, upper
    if not is_valid(row, p):
        return math.nan
    return norm_at(row, p, math.inf)


@_shared
@kernel
def backward(x, delta, eps, p, lower, upper, eta, grad_out, grad_eta, out_x, out_delta):
    """Fill out_x and out_delta with the gradients of one row whose eta is known; return that of eps.

    See `numba_car.rescale_vjp` and `numba_car.eta_vjp`.

    Parameters
    ----------
    x, delta, eps, p, lower, upper
        As for `eta`.
    eta : float
        What `eta` or `rescale` returned for them.
    grad_out : 1-D array or float
        The gradient upstream of the rescaled row; 0.0 for none.
    grad_eta : float
        The gradient upstream of eta; 0.0 for none.
    out_x, out_delta : 1-D array
        Where the gradients of x and delta go, as long as these.

    Returns
    -------
    float
        The gradient of eps; NaN for a row that breaks a rule.

    Examples
    --------
    >>> import numpy as np
    >>> from numba_car import kernels
    >>> x, delta = np.array([0.9, 0.5]), np.array([1.0, 1.0])
    >>> row, by_x, by_delta = (x, delta, 0.25, 2.0, 0.0, 1.0), x.copy(), x.copy()
    >>> by_eps = kernels.backward(*row, kernels.eta(*row), 0.0, 1.0, by_x, by_delta)
    >>> round(by_eps, 6), by_delta
    (1.091089, array([ 0.        , -0.22912878]))
    """
    row = x, delta, lower, upper
    valid = is_valid(row, p) and 0 <= eps < math.inf and is_even((x, delta, out_x, out_delta))
    eta = np.float64(eta) if valid and size_of(grad_out, x.size) == x.size else math.nan
    outputs = out_x, out_delta, 0.0, 0.0
    largest = np.finfo(x.dtype).max
    eps, h = np.float64(eps), np.float64(grad_eta)
    if p == math.inf:
        return vjp_row(row, grad_out, h, NORM_MAX, eps, eta, largest, outputs)[0]
    norm = any_norm(np.float64(p))
    return vjp_row(row, grad_out, h, norm, eps, eta, largest, outputs)[0]
