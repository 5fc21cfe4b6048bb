"""pytest plugin, after `plugin`: PyTorch's tensors on the host stand for those of a GPU, in the PTX device's memory."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.support.ptx_device.plugin import DRIVER

_TYPES = {torch.bfloat16: "V2", torch.bool: "|b1"}


def _interface(tensor):
    """Return the array interface of a tensor."""
    dtype = np.dtype(_TYPES.get(tensor.dtype) or str(tensor.dtype).removeprefix("torch."))
    return {
        "data": (tensor.data_ptr(), False),
        "shape": tuple(tensor.shape),
        "strides": tuple(step * dtype.itemsize for step in tensor.stride()),
        "typestr": dtype.str,
        "version": 3,
    }


@pytest.fixture(autouse=True)
def tensors_on_the_device(monkeypatch):
    """Have tensors describe their memory as a GPU's do."""
    stream = SimpleNamespace(cuda_stream=0)
    monkeypatch.setattr(DRIVER.memory, "is_open", True)
    monkeypatch.setattr(torch.Tensor, "__cuda_array_interface__", property(_interface))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
