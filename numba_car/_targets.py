"""Norms to ask for that are relative to x: a share of its norm, or a signal-to-noise ratio."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from numba_car._dispatch import library_of
from numba_car._norms import norm
from numba_car._options import Axis, axis_of
from numba_car._problem import as_numeric


def relative_eps(
    x: ArrayLike,
    share: ArrayLike,
    *,
    p: float = 2,
    axis: Axis = None,
    dim: Axis = None,
    num_threads: int | None = None,
) -> Any:
    r"""Eps of each row that is a share of the norm of x.

    .. math:: \epsilon = \mathrm{share} \cdot \|x\|_p

    Parameters
    ----------
    x : array_like
        The inputs, which are measured from 0.
    share : array_like
        Finite and >= 0: a scalar, one per row, or a sweep, as eps of `eta` may be.
    p : float, optional
        Order of the norm, in (0, inf]; below 1 a quasi-norm.
    axis : int, tuple of int, "all" or None, optional
        The axes that make up one row. None is all but the first, which counts the rows, or the only
        one. "all" makes one row of the whole array, a single image or clip, as None does in NumPy.
    dim : int, str or tuple, optional
        Another name of `axis`, that of PyTorch and xarray. Dimensions of xarray go by name.
    num_threads : int, optional
        Number of threads; by default ``NUMBA_CAR_NUM_THREADS``, or the CPUs of the process. It does
        not change the result.

    Returns
    -------
    ndarray or scalar
        One eps per row, in float64, whatever the dtype of x; for other libraries' arrays as `norm` gives it.
        Rows with NaN or inf are NaN, which `rescale` refuses as eps: replace it by any number, for
        such a row becomes NaN anyway.

    Raises
    ------
    ValueError, TypeError
        As for `eta`.

    See Also
    --------
    eps_for_snr : The same for a ratio in decibels.

    Examples
    --------
    >>> import numpy as np
    >>> import numba_car as car
    >>> x = np.array([[0.3, 0.4], [0.6, 0.8]])
    >>> eps = car.relative_eps(x, 0.1)
    >>> eps.round(12)
    array([0.05, 0.1 ])
    >>> v = car.rescale(x, np.ones((2, 2)), eps)
    >>> np.linalg.norm(v - x, axis=1).round(12)
    array([0.05, 0.1 ])
    """
    factor = _floats("share", share)
    _check_factor("share must be finite and >= 0", factor, share)
    return _norms(x, p, axis_of(axis, dim), num_threads) * factor


def eps_for_snr(
    x: ArrayLike,
    snr_db: ArrayLike,
    *,
    p: float = 2,
    axis: Axis = None,
    dim: Axis = None,
    num_threads: int | None = None,
) -> Any:
    r"""Eps of each row for a signal-to-noise ratio in decibels.

    .. math:: \epsilon = 10^{-\mathrm{snr\_db}/20} \, \|x\|_p, \qquad
              \mathrm{snr\_db} = 20 \log_{10} \frac{\|x\|_p}{\|v - x\|_p}

    For p = 2 that is the ratio of the energies of x, the signal, and of v - x, the noise.

    Parameters
    ----------
    x : array_like
        The signals, which are measured from 0: subtract an offset before.
    snr_db : array_like
        The ratio in decibels, not NaN: a scalar, one per row, or a sweep, as eps of `eta` may be.
        inf is no noise.
    p : float, optional
        Order of the norm, in (0, inf]; below 1 a quasi-norm.
    axis : int, tuple of int, "all" or None, optional
        The axes that make up one row. None is all but the first, which counts the rows, or the only
        one. "all" makes one row of the whole array, a single image or clip, as None does in NumPy.
    dim : int, str or tuple, optional
        Another name of `axis`, that of PyTorch and xarray. Dimensions of xarray go by name.
    num_threads : int, optional
        Number of threads; by default ``NUMBA_CAR_NUM_THREADS``, or the CPUs of the process. It does
        not change the result.

    Returns
    -------
    ndarray or scalar
        One eps per row, as `relative_eps` gives it; 0 for silence.

    Raises
    ------
    ValueError, TypeError
        As for `eta`, and if the noise would be infinite.

    See Also
    --------
    relative_eps : The same for a share of the norm of x.

    Examples
    --------
    >>> import numpy as np
    >>> import numba_car as car
    >>> clip = np.rint(20000 * np.sin(0.1 * np.arange(8000))).astype(np.int16)
    >>> eps = car.eps_for_snr(clip, 20.0)
    >>> float((eps / np.linalg.norm(clip.astype(float))).round(12))
    0.1
    >>> v = car.rescale(clip, car.noise(8000), eps, bounds=(-32768, 32767), step=1)
    >>> noise = v.astype(float) - clip
    >>> print(v.dtype, round(10 * np.log10(np.sum(clip.astype(float) ** 2) / np.sum(noise**2)), 6))
    int16 20.0
    """
    with np.errstate(over="ignore"):
        factor = 10 ** (-_floats("snr_db", snr_db) / 20)
    _check_factor("snr_db must give a finite norm", factor, snr_db)
    return _norms(x, p, axis_of(axis, dim), num_threads) * factor


def _is_numpy(value: Any) -> bool:
    """Return whether a value is for NumPy: no array of another library."""
    return library_of(value) is library_of()


def _floats(name: str, value: Any) -> Any:
    """Return numbers in float64; another library's array as it is."""
    return as_numeric(name, value).astype(np.float64)[()] if _is_numpy(value) else value


def _check_factor(rule: str, factor: Any, given: Any) -> None:
    """Raise unless a factor of the norm is finite and >= 0; another library's is checked when it is eps."""
    if _is_numpy(factor) and not np.all((factor >= 0) & (factor < np.inf)):
        raise ValueError(f"{rule}, found {given!r}")


def _norms(x: Any, p: float, axis: Axis, num_threads: int | None) -> Any:
    """Return the p-norm of each row: what x reaches from 0 without bounds."""
    if _is_numpy(x):
        x, zero = as_numeric("x", x), np.float64(0)
    else:
        zero = 0 * x
    return norm(zero, x, 1.0, p=p, bounds=(None, None), axis=axis, num_threads=num_threads)
