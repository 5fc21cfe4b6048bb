"""`numba-car info`."""

import os
import platform
import warnings
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

import click
from rich.console import Console
from rich.table import Table

import numba_car as car


def _version(package: str) -> str:
    """Return the version of a package, or that it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def gpus() -> str:
    """Return the names of the GPUs that numba can use, or why there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cuda = import_module("numba.cuda")
            if not cuda.is_available():
                return "none that numba can use"
            names = [device.name for device in cuda.list_devices()]
            # numba-cuda says str, numba's own driver bytes.
            return ", ".join(n.decode() if isinstance(n, bytes) else n for n in names)
    except Exception as error:  # noqa: BLE001 - half an installation of CUDA fails in many ways
        return f"none that numba can use ({type(error).__name__})"


@click.command()
def info() -> None:
    """Show versions, threads, the cache folder and the GPU."""
    from numba_car._cpu.threads import default_threads
    from numba_car._jit import cache_folder

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("numba_car", car.__version__)
    table.add_row("Python", f"{platform.python_version()} ({platform.platform(terse=True)})")
    for name, package in {"NumPy": "numpy", "numba": "numba", "llvmlite": "llvmlite"}.items():
        table.add_row(name, _version(package))
    table.add_row("CPUs", str(os.cpu_count()))
    table.add_row("threads used", str(default_threads()))
    table.add_row("cache folder", cache_folder() or "none: compiled code is not kept")
    table.add_row("numba-cuda", _version("numba-cuda"))
    table.add_row("GPU", gpus())
    Console().print(table, highlight=False, markup=False)
