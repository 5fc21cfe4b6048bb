"""What else computes eta on a GPU; a peer that is not installed is left out."""

from functools import partial

from .peers import bisect


def foolbox_torch(x, delta, eps):
    """The paper's code, as foolbox has it."""
    import torch
    from foolbox.external.clipping_aware_rescaling import l2_clipping_aware_rescaling

    x, delta = (torch.as_tensor(array, device="cuda") for array in (x, delta))
    return partial(l2_clipping_aware_rescaling, x, delta, eps)


def bisection_torch(x, delta, eps):
    """The norm at an eta, compiled, 30 times."""
    import torch

    @torch.compile
    def norm2(x, delta, eta):
        return ((x + eta[:, None] * delta).clamp(0, 1) - x).square().sum(1)

    x, delta = (torch.as_tensor(array, device="cuda") for array in (x, delta))
    norm2_at = partial(norm2, x, delta)
    return lambda: bisect(norm2_at, eps / delta.norm(dim=1), eps, torch.where)


def segmented_sort(x, delta, eps):
    """CUB's sort of as many keys and values: a floor of what sorting takes."""
    import cuda.compute
    import cupy

    keys, values = (cupy.asarray(array).ravel() for array in (x, delta))
    sorted_keys, sorted_values = cupy.empty_like(keys), cupy.empty_like(values)
    starts = cupy.arange(0, keys.size, x.shape[1], dtype=cupy.int64)
    given = keys, sorted_keys, values, sorted_values, keys.size, x.shape[0]
    ends = starts + x.shape[1]
    order = cuda.compute.SortOrder.ASCENDING
    return lambda: cuda.compute.segmented_sort(*given, starts, ends, order)


PEERS = {
    "foolbox, torch on CUDA": foolbox_torch,
    "torch.compile, bisection": bisection_torch,
    "cuda.compute.segmented_sort": segmented_sort,
}
