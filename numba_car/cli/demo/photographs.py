"""Crops of the photographs in scikit-image's wheel."""

from importlib.resources import as_file, files

import numpy as np
from numpy.typing import NDArray

from numba_car._extras import extras_named

with extras_named("a photograph of the demo"):
    from skimage.io import imread

NAMES = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "hubble_deep_field.jpg",
    "retina.jpg",
)


def _photographs() -> list[NDArray[np.uint8]]:
    """Return the photographs, read as files: skimage.data may download those that are missing."""
    folder = files("skimage") / "data"
    found = [folder / name for name in NAMES if (folder / name).is_file()]
    if not found:
        raise FileNotFoundError(f"scikit-image has none of {', '.join(NAMES)} in {folder}")
    photographs = []
    for resource in found:
        with as_file(resource) as path:
            photographs.append(np.asarray(imread(path), dtype=np.uint8))
    return photographs


def crops(rows: int, side: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return random crops in [0, 1] of shape (rows, side, side, 3), from each photograph in turn."""
    photographs = _photographs()
    batch = np.empty((rows, side, side, 3), np.float32)
    for row, crop in enumerate(batch):
        photograph = photographs[row % len(photographs)]
        top = rng.integers(photograph.shape[0] - side + 1)
        left = rng.integers(photograph.shape[1] - side + 1)
        crop[:] = photograph[top : top + side, left : left + side] / np.float32(255)
    return batch
