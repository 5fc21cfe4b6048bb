"""With this folder and the project's on PYTHONPATH, each Python of a command runs kernels on the PTX device."""

from tests.support.ptx_device.install import install

install()
