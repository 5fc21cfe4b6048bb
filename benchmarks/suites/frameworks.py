"""The public functions on tensors of other libraries, where they are installed and supported."""

from functools import partial

import numba_car as car

from .common.data import SHAPES, batch


def tensor_of(library, array):
    """Return an array as a tensor; raise ImportError without the library."""
    if library == "torch":
        import torch

        return torch.from_numpy(array)
    if library == "jax":
        import jax.numpy as jnp

        return jnp.asarray(array)
    return array


def finished(call):
    """Run a call; JAX returns before its work is done."""
    result = call()
    getattr(result, "block_until_ready", lambda: None)()


class Frameworks:
    params = (["eta", "rescale"], ["numpy", "torch", "jax"], ["1x784", "16384x3072"])
    param_names = ("function", "library", "shape")
    timeout = 300

    def setup(self, function, library, shape):
        made = batch(SHAPES[shape])
        try:
            x, delta = (tensor_of(library, array) for array in made[:2])
            self.call = partial(getattr(car, function), x, delta, made.eps)
            finished(self.call)
        except (ImportError, TypeError) as error:
            raise NotImplementedError from error

    def time_call(self, *params):
        finished(self.call)
