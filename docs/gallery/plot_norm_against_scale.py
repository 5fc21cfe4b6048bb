r"""
The norm against the scale
==========================

For a row x and a direction δ, the norm of what is left after clipping, ‖clip(x + η δ) - x‖, grows with the scale η: at
first like η ‖δ‖, then slower with each element that reaches its bound, up to R, when all have. :func:`numba_car.eta`
inverts this curve. How soon it bends depends on the picture.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits, load_sample_images

import numba_car as car

rng = np.random.default_rng(0)
flower = load_sample_images().images[1][100:292, 200:392] / 255
rows = {
    "a flower": flower.ravel(),
    "a digit": np.kron(load_digits().images[0] / 16, np.ones((24, 24))).ravel(),
    "grey": np.full(flower.size, 0.5),
}

# %%
# Each row is drawn in units of the root of its length: norms are then those of a change in each element.

figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
etas = np.linspace(0, 2, 81)
asked, reached = 0.3, []
for (name, row), color in zip(
    rows.items(), ("#0072b2", "#d55e00", "#009e73"), strict=True
):
    x = row[None].astype(np.float32)
    delta = rng.standard_normal(x.shape, dtype=np.float32)
    unit = np.sqrt(x.size)
    axes.plot(
        etas, car.norm(x, delta, etas[:, None])[:, 0] / unit, color=color, label=name
    )
    axes.axhline(car.max_norm(x, delta)[0] / unit, color=color, lw=0.8, ls=":")
    eta = car.eta(x, delta, asked * unit)
    axes.plot(eta, asked, "o", color=color)
    v = np.clip(x + eta[:, None] * delta, 0, 1)
    reached.append(np.linalg.norm(v - x) / unit)
    print(f"{name}: η = {eta[0]:.4f} reaches {reached[-1]:.6f}")

axes.plot(etas, etas, color="#707070", lw=0.8, ls="--", label="η ‖δ‖, without bounds")
axes.axhline(asked, color="black", lw=0.8)
axes.text(1.97, asked, "ε", va="bottom", ha="right")
axes.set(xlabel="η", ylabel="norm / √n", xlim=(0, 2), ylim=(0, 0.7))
axes.legend(frameon=False, loc="lower right")
plt.show()
