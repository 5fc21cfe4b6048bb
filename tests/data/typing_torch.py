# pyright: strict, reportUnknownMemberType=false
"""A user's program with PyTorch, which pyright reads and nobody runs: see test_typing.py."""

from typing import assert_type

import torch
from torch import Tensor

import numba_car as car

x = torch.rand(64, 3, 32, 32)
delta = torch.randn_like(x, requires_grad=True)
assert_type(car.eta(x, delta, 8.0), Tensor)
assert_type(car.rescale(x, delta, torch.rand(64), bounds=(torch.zeros(3, 1, 1), None)), Tensor)
assert_type(car.rescale(x, delta, 8.0, full_output=True).norm, Tensor)
assert_type(car.project(x, delta, 8.0, dim=(1, 2, 3)), Tensor)
assert_type(car.solve(x, delta, 8.0), car.Solution[Tensor])
