r"""
Training with noise
===================

Two classifiers of digits are trained with noise of norms drawn between 0 and 4. Most pixels of a digit are black, so
clipping takes away a third of a norm, and the classifier that gets such noise never sees what was drawn for it.
Clipping deceives still more in a test: noise that is only *asked* to have norm 4 leaves 69% of the digits right, noise
that has it 34%.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

import numba_car as car

digits = load_digits()
order = np.random.default_rng(0).permutation(len(digits.target))
x, y = (digits.data[order] / 16).astype(np.float32), digits.target[order]
x_test, y_test, x, y = x[1300:], y[1300:], x[:1300], y[:1300]


def clip_noise(x, delta, eps):
    """Scale each direction to its norm, add it, and clip."""
    scale = np.reshape(eps, (-1, 1)) / np.linalg.norm(delta, axis=1, keepdims=True)
    return np.clip(x + scale * delta, 0, 1)


def train(add_noise, epochs=15, largest=4.0):
    """Return a classifier, and what was asked for and reached in the last epoch."""
    rng, model = np.random.default_rng(1), MLPClassifier(64, random_state=1)
    for _ in range(epochs):
        eps = rng.uniform(0, largest, len(x)).astype(np.float32)
        noisy = add_noise(x, rng.standard_normal(x.shape, dtype=np.float32), eps)
        for batch in np.split(rng.permutation(len(x)), 26):
            model.partial_fit(noisy[batch], y[batch], classes=np.arange(10))
    return model, eps, np.linalg.norm(noisy - x, axis=1)


clipped, _, short = train(clip_noise)
exact, asked, reached = train(car.rescale)

# %%
# How many test digits they have right, by the norm of the noise in the test.

levels = np.arange(6.0)
delta = np.random.default_rng(2).standard_normal(x_test.shape, dtype=np.float32)


def accuracies(model, add_noise):
    """Return the accuracy for each level."""
    return [model.score(add_noise(x_test, delta, eps), y_test) for eps in levels]


curves = {
    "trained with clipped noise": ("#d55e00", "-", accuracies(clipped, car.rescale)),
    "trained with exact norms": ("#0072b2", "-", accuracies(exact, car.rescale)),
    "the same, tested with clipped noise": (
        "#0072b2",
        "--",
        accuracies(exact, clip_noise),
    ),
}
for name, (_, _, found) in curves.items():
    print(name, *(f"{accuracy:.1%}" for accuracy in found))

# %%

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
left.plot(asked, short, ".", color="#d55e00", ms=3, label="scaled, then clipped")
left.plot(asked, reached, ".", color="#0072b2", ms=3, label="car.rescale")
left.set(xlabel="norm asked for in training", ylabel="norm of the noise")
for name, (color, line, found) in curves.items():
    right.plot(levels, found, f"o{line}", color=color, label=name)
right.set(xlabel="norm asked for in the test", ylabel="accuracy", ylim=(0, 1))
for axes in (left, right):
    axes.legend(frameon=False)
plt.show()
