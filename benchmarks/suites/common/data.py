"""The batches that everything is measured on, all seeded."""

from typing import NamedTuple

import numpy as np

SHAPES = {  # all but the first exceed the caches
    "1x784": (1, 784),
    "65536x784": (65536, 784),
    "16384x3072": (16384, 3072),
    "256x150528": (256, 150528),
    "8x6000000": (8, 6_000_000),
}


class Batch(NamedTuple):
    """One problem: inputs in [0, 1], directions, a norm to reach."""

    x: np.ndarray
    delta: np.ndarray
    eps: float
    p: float = 2


def eps_of(n, p=2, share=0.3):
    """Return a norm that grows with n as the norms of random perturbations do."""
    return share * n ** (1 / p)


def batch(shape, dtype="float32", p=2, kind="normal", share=0.3):
    """Make directions of one kind, on noise or on photographs."""
    rng = np.random.default_rng(0)
    if kind == "photographs":
        x = np.resize(photographs().astype(dtype), shape)
    else:
        x = rng.random(shape, dtype)
    if kind == "cauchy":
        delta = rng.standard_cauchy(shape).astype(dtype)
    else:
        delta = rng.standard_normal(shape, dtype)
    return Batch(x, delta, eps_of(shape[1], p, share), p)


def photographs():
    """Return the pixels of some photographs in a row, or of a drawing where scikit-image is absent."""
    try:
        from skimage import data
    except ImportError:
        return drawing()
    images = (data.astronaut(), data.coffee(), data.chelsea(), data.rocket())
    return np.concatenate([image.ravel() for image in images]) / 255


def drawing(size=512):
    """Draw smooth waves that are over- and underexposed in many places, in 256 steps."""
    rng = np.random.default_rng(0)
    ticks = np.linspace(0, 2 * np.pi, size)
    light = np.full((size, size, 3), 0.5)
    for color in range(3):
        for strength, (across, down), phase in zip(
            (0.4, 0.25, 0.15), rng.integers(1, 9, (3, 2)), rng.uniform(0, 6, 3), strict=True
        ):
            light[..., color] += strength * np.sin(across * ticks + down * ticks[:, None] + phase)
    return np.round(255 * np.clip(light, 0, 1)).ravel() / 255


def slow_rows(count, n, ratio=2.2, groups=45, lead=0.05):
    """Make rows on which each of Newton's passes clips a single group of elements.

    The groups' weights fall by `ratio`, and each group's breakpoint lies by `lead` left of where the
    pass that still has it free arrives; the next group's lies right of that as long as
    (ratio - 1) * (1 - lead) > 1. The elements that a sample would see do not move, the rest hardly; their
    room hides the groups'.
    """
    # asv imports this file beside older commits, too, which lack that.
    from numba_car._cpu.newton import sample_of
    from numba_car._jit import interpreted

    weights = ratio ** -np.arange(groups, dtype=float)
    caps, free, remaining = np.empty(groups), weights.sum(), 1.0
    for k in range(groups):
        caps[k] = weights[k] * remaining / free * (1 - lead)
        free, remaining = free - weights[k], remaining - caps[k]
    size = 7 * n // 8 // groups
    delta, room = (np.sqrt(np.repeat(v / size, size)) for v in (weights, caps))
    x = np.full((count, n), 0.5)
    directions = np.zeros_like(x)
    _, block, stride = interpreted(sample_of, {})(n)
    unseen = np.flatnonzero(np.arange(n) % stride >= block)
    places, rest = unseen[: delta.size], unseen[delta.size :]
    x[:, places], directions[:, places] = 1 - room[: places.size], delta[: places.size]
    directions[:, rest] = 1e-13
    return Batch(x, directions, np.sqrt(1 - remaining / 2))
