"""The usual method, with which numba_car is compared, and the norm of what both return."""

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float32]
Norms = NDArray[np.float64]


def scale_then_clip(x: Images, delta: Images, eps: float | Norms, p: float) -> Images:
    """Return x plus delta scaled to norm eps, clipped: of norm eps only where nothing is clipped."""
    norm = np.linalg.norm(delta.reshape(len(delta), -1), ord=p, axis=1)
    scale = np.asarray(eps / norm, dtype=delta.dtype).reshape(-1, *[1] * (delta.ndim - 1))
    return np.clip(x + scale * delta, 0, 1)


def reached(x: Images, result: Images, p: float) -> Norms:
    """Return the norm of each row of result - x, in float64."""
    steps = (after.astype(np.float64) - before for before, after in zip(x, result, strict=True))
    return np.array([np.linalg.norm(step.ravel(), ord=p) for step in steps])
