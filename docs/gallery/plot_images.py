r"""
Noise on photographs
====================

Noise that is scaled to a norm and then clipped is cut off where a photograph is bright or dark, and what is left is
*shorter* than asked for. :func:`numba_car.rescale` scales it further, until what is left has the norm. A direction may
be anything: here it is normal noise for each value, and normal noise for blocks of 16 pixels.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_images

import numba_car as car

china, dahlia = load_sample_images().images
x = np.stack([china[:240, :240], dahlia[100:340, 200:440]]).astype(np.float32) / 255
rng = np.random.default_rng(0)
fine = rng.standard_normal(x.shape, dtype=np.float32)
coarse = np.kron(rng.standard_normal((2, 15, 15, 3)), np.ones((1, 16, 16, 1))).astype(
    np.float32
)


def norms(change):
    """Return the norm of each image's change."""
    return np.linalg.norm(change.reshape(len(change), -1), axis=1)


# %%
# ε is the norm of a change by 0.3 in each value. The usual way, and ours:

asked = 0.3 * np.sqrt(x[0].size)
pairs, reached = [], []
for name, delta in (("fine", fine), ("coarse", coarse)):
    clipped = np.clip(x + (asked / norms(delta)).reshape(2, 1, 1, 1) * delta, 0, 1)
    exact = car.rescale(x, delta, asked)
    pairs.append((clipped, exact))
    reached.append(norms(exact - x))
    print(
        f"ε = {asked:.2f}, {name}: clipped {norms(clipped - x)}, rescaled {reached[-1]}"
    )

# %%

figure, axes = plt.subplots(2, 4, figsize=(11, 6), layout="constrained")
for row, pair in zip(axes, pairs, strict=True):
    for way, (v, color) in enumerate(zip(pair, ("#d55e00", "#0072b2"), strict=True)):
        for photograph, shown in enumerate(row[way::2]):
            shown.imshow(v[photograph])
            shown.set_axis_off()
            title = f"norm {norms(v - x)[photograph] / asked:.3f} ε"
            shown.set_title(title, fontsize=11, color=color)
plt.show()
