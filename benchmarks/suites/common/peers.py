"""What else computes eta, and our time beside it; a peer that is not installed is skipped.

Peers take up to some hundred times as long as we do: they get fewer rows, and times are per element.
"""

from functools import partial

import numpy as np

STEPS = 30


def foolbox_numpy(made):
    from foolbox.external.clipping_aware_rescaling import l2_clipping_aware_rescaling

    return partial(l2_clipping_aware_rescaling, made.x, made.delta, float(made.eps))


def foolbox_torch(made):
    import torch

    x, delta = torch.from_numpy(made.x), torch.from_numpy(made.delta)
    return foolbox_numpy(made._replace(x=x, delta=delta))


def sort_jax(made):
    """Compile the paper's algorithm with ``jax.jit``: sort by breakpoint, add up, pick."""
    import jax
    import jax.numpy as jnp

    @jax.jit
    def eta(x, delta, eps):
        room, weight = jnp.where(delta >= 0, 1 - x, x), jnp.square(delta)
        ends = jnp.square(room) / jnp.maximum(weight, 1e-20)
        order = jnp.argsort(ends)
        ends, weight = (jnp.take_along_axis(v, order, -1) for v in (ends, weight))
        free = jnp.cumsum(weight[:, ::-1], -1)[:, ::-1]
        reached = jnp.cumsum(free * jnp.diff(ends, prepend=0), -1)
        piece = jnp.argmax(reached >= eps**2, -1, keepdims=True)
        end, norm, slope = (jnp.take_along_axis(v, piece, -1) for v in (ends, reached, free))
        saturated = reached[:, -1] < eps**2
        return jnp.sqrt(jnp.where(saturated, ends[:, -1], (end - (norm - eps**2) / slope)[:, 0]))

    x, delta = jnp.asarray(made.x), jnp.asarray(made.delta)
    return lambda: eta(x, delta, made.eps).block_until_ready()


def bisect(norm2_at, low, eps, where):
    """Halve [low, 16 low] until float32 is exhausted."""
    high = 16 * low
    for _ in range(STEPS):
        middle = (low + high) / 2
        is_float32 = norm2_at(middle) < eps * eps
        low, high = where(is_float32, middle, low), where(is_float32, high, middle)
    return (low + high) / 2


def bisection_torch(made):
    """Compile the norm at an eta, and call that 30 times.

    Compiled as a whole the bisection runs up to a fifth faster, but compiles for 23 s for each shape.
    """
    import torch

    @torch.compile
    def norm2(x, delta, eta):
        return ((x + eta[:, None] * delta).clamp(0, 1) - x).square().sum(1)

    x, delta = torch.from_numpy(made.x), torch.from_numpy(made.delta)
    norm2_at = partial(norm2, x, delta)
    return lambda: bisect(norm2_at, made.eps / delta.norm(dim=1), made.eps, torch.where)


def bisection_numpy(made):
    x, delta, eps, _ = made

    def norm2_at(eta):
        return np.square(np.clip(x + eta[:, None] * delta, 0, 1) - x).sum(1)

    return lambda: bisect(norm2_at, eps / np.linalg.norm(delta, axis=1), eps, np.where)


def one_liner(made):
    """What most people write: it falls short of eps, and gives the result instead of eta."""
    x, delta, eps, _ = made
    eps = np.float32(eps)
    return lambda: np.clip(x + eps / np.linalg.norm(delta, axis=1, keepdims=True) * delta, 0, 1)


PEERS = {
    "NumPy one-liner, inexact": one_liner,
    "torch.compile, bisection": bisection_torch,
    "foolbox, NumPy": foolbox_numpy,
    "foolbox, torch": foolbox_torch,
    "jax.jit, sort and scan": sort_jax,
    "NumPy, bisection": bisection_numpy,
}
QUICK_PEERS = {"NumPy one-liner, inexact"}  # they get all rows


def counterpart(name):
    """Name the function of ours that does what a peer does."""
    return "rescale" if PEERS[name] is one_liner else "eta"


def peer(name, made):
    """Return a peer's call, compiled, or None where it is not installed."""
    try:
        call = PEERS[name](made)
        call()
    except ImportError:
        return None
    return call
