"""pytest plugin (``-p tests.support.ptx_device.plugin``): the tests' kernels run on the PTX device."""

import pytest

from tests.support.ptx_device.install import install

DRIVER = install()


@pytest.fixture(autouse=True)
def no_fault_goes_unseen():
    """Fail a test that caught an error of the device, or whose copies are wrong."""
    yield
    assert DRIVER.take_faults() == []
