"""PyTorch's operators over the CUDA kernels: what test_torch.py asks of tensors on the host.

In the simulator, tensors on the host stand for those of a GPU; see test_cuda_simulator.py.
"""

import sys

import pytest
from test_torch import *

from numba_car.interop import torch as entry
from numba_car.interop import torch_operators

sys.setswitchinterval(1e-5)  # as in cuda_cases.py


@pytest.fixture(autouse=True)
def on_the_device(monkeypatch):
    monkeypatch.setattr(torch_operators, "is_on_host", lambda tensor: False)
    monkeypatch.setattr(entry, "_on_host", lambda *values: None)
