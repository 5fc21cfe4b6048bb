"""What to install where an optional package is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

# The extra that brings a package.
_EXTRAS = {
    name: name for name in ("torch", "jax", "tensorflow", "xarray", "pandas", "dask", "zarr")
}
_EXTRAS |= {"jaxlib": "jax", "eagerpy": "foolbox", "distributed": "dask"}
_EXTRAS |= {"fsspec": "zarr", "h5py": "hdf5"}
_EXTRAS |= {"matplotlib": "demo", "skimage": "demo", "click": "cli", "rich": "cli"}


@contextmanager
def extras_named(needed_by: str) -> Iterator[None]:
    """Tell what to install where a package of an extra is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRAS:
            raise
        cure = f"install it with: pip install 'numba_car[{_EXTRAS[package]}]'"
        raise ModuleNotFoundError(f"{needed_by} needs {package}; {cure}", name=package) from error
