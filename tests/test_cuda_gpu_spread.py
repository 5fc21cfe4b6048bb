"""Few long rows on a real GPU, which have launches of their own in these tests: see test_cuda_gpu.py."""

import pytest

from tests.cuda_spread_cases import *
from tests.test_cuda_gpu import HAS_GPU

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not HAS_GPU, reason="no CUDA device was found"),
]
