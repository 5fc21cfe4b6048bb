"""Rescale in JAX: under jit, with gradients, and mapped over several directions at once.

python examples/rescale_in_jax.py
"""

from __future__ import annotations

import argparse

import jax
import jax.numpy as jnp
from jax import Array

import numba_car as car


@jax.jit
def perturb(x: Array, delta: Array, eps: Array) -> Array:
    """Move each row of x by eps along delta, inside [0, 1]."""
    return car.rescale(x, delta, eps)


def norms(v: Array, x: Array) -> Array:
    """Return how far each row has come."""
    return jnp.linalg.norm((v - x).reshape(*v.shape[:-3], -1), axis=-1)


def main(arguments: list[str] | None = None) -> None:
    """Print what comes out of each transformation."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=4, help="(%(default)s)")
    parser.add_argument("--size", type=int, default=32, help="of an image (%(default)s)")
    parser.add_argument("--eps", type=float, default=4.0, help="norm of the noise (%(default)s)")
    options = parser.parse_args(arguments)
    shape, eps = (options.images, 3, options.size, options.size), options.eps
    of_x, of_delta, of_weight, of_draws = jax.random.split(jax.random.key(0), 4)
    x = jax.random.uniform(of_x, shape)
    delta = jax.random.normal(of_delta, shape)
    weight = jax.random.normal(of_weight, shape)

    print("jit   norms", norms(perturb(x, delta, eps), x))

    def score(delta: Array, eps: Array) -> Array:
        return jnp.sum(weight * perturb(x, delta, eps))

    gradients = jax.jit(jax.grad(score, argnums=(0, 1)))
    by_delta, by_eps = gradients(delta, eps)
    # Only where delta points matters, not how far: so the gradient is at a right angle to it.
    radial = jnp.sum(by_delta * delta) / (jnp.linalg.norm(by_delta) * jnp.linalg.norm(delta))
    print(f"grad  by eps {by_eps:.4f}; along delta {radial:.1e} of the length of its gradient")

    before = score(delta, eps)
    for _ in range(20):
        delta += 0.1 * gradients(delta, eps)[0]
    after, reached = score(delta, eps), norms(perturb(x, delta, eps), x)
    print(f"20 steps up the gradient: score {before:.2f} -> {after:.2f}, norms", reached)

    draws = jax.random.normal(of_draws, (5, *shape))
    mapped = jax.vmap(perturb, in_axes=(None, 0, 0))(x, draws, jnp.linspace(0.2, 1.0, 5) * eps)
    print("vmap  norms of the first image:", norms(mapped, x)[:, 0])


if __name__ == "__main__":
    main()
