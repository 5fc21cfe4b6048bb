"""What else computes eta on a GPU; of one that is not installed, the table says so.

Under numba's simulator those of PyTorch run on the CPU.
"""

from functools import partial

from numba_car._cuda.jit import IS_SIMULATED

from .suites.common.peers import bisect


def tensors(*arrays):
    """Return arrays in device memory as PyTorch's, without a copy."""
    import torch

    if IS_SIMULATED:
        return [torch.from_numpy(array.copy_to_host()) for array in arrays]
    return [torch.as_tensor(array, device="cuda") for array in arrays]


def foolbox_torch(x, delta, eps):
    """The paper's code, as foolbox has it."""
    from foolbox.external.clipping_aware_rescaling import l2_clipping_aware_rescaling

    return partial(l2_clipping_aware_rescaling, *tensors(x, delta), eps)


def bisection_torch(x, delta, eps):
    """The norm at an eta, compiled, 30 times."""
    import torch

    # The simulator's process waits for no C compiler.
    @torch.compile(backend="eager" if IS_SIMULATED else "inductor")
    def norm2(x, delta, eta):
        return ((x + eta[:, None] * delta).clamp(0, 1) - x).square().sum(1)

    x, delta = tensors(x, delta)
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
