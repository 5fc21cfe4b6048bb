r"""
A table with physical bounds
============================

Measurements of cells cannot be negative, and columns have units of their own. So rows are moved in units of each
column's standard deviation, and the bound of 0 is brought to the same units: one bound for each column.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer

import numba_car as car

table = load_breast_cancer()
mean, std = table.data.mean(axis=0), table.data.std(axis=0)
z = ((table.data - mean) / std).astype(np.float32)
lower = ((0 - mean) / std).astype(
    np.float32
)  # a shape of (30,): a bound for each column
delta = np.random.default_rng(0).standard_normal(z.shape, dtype=np.float32)

# %%
# Each of 569 rows moves by a norm of 5 standard deviations.

eps = 5.0
scale = eps / np.linalg.norm(delta, axis=1, keepdims=True)
clipped = np.maximum(z + scale * delta, lower)
exact = car.rescale(z, delta, eps, bounds=(lower, None))
lengths = np.linalg.norm(clipped - z, axis=1)
asked, reached = eps, np.linalg.norm(exact - z, axis=1)
print(
    f"clipped: {lengths.min():.3f} to {lengths.max():.3f}; rescaled: {reached.min():.3f} to {reached.max():.3f}"
)

# %%

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
first, second = 0, 6
for rows, color, label in (
    (z, "#707070", "as measured"),
    (exact, "#0072b2", "moved by car.rescale"),
):
    back = rows * std + mean
    left.plot(back[:, first], back[:, second], ".", color=color, ms=4, label=label)
left.axhline(0, color="black", lw=0.8, ls="--")
left.set(xlabel=table.feature_names[first], ylabel=table.feature_names[second])
left.legend(frameon=False)
right.hist(lengths, 40, color="#d55e00", label="scaled, then clipped")
right.axvline(eps, color="#0072b2", lw=3, label="car.rescale: all 569 rows")
right.set(xlabel="norm that a row moved by", ylabel="rows")
right.legend(frameon=False)
plt.show()
