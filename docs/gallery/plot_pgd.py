r"""
Projected gradient descent
==========================

An attack moves images along the gradient of a loss, within ε and inside the bounds. Usually a step is
v + g ε/(4 ‖g‖), scaled onto the ball and then clipped. Pixels at their bound take a share of such a step that clipping
throws away, and the scaling is not a projection. :func:`numba_car.maximize` and :func:`numba_car.project` are the best
step and the projection, exactly. They come sooner where both ways end, so that fewer gradients are needed.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

import numba_car as car

digits = load_digits()
x, y = (digits.data / 16).astype(np.float32), digits.target
model, order = MLPClassifier(64, random_state=0), np.random.default_rng(0)
for _ in range(15):
    for batch in np.split(order.permutation(1300), 26):
        model.partial_fit(x[batch], y[batch], classes=np.arange(10))
x, y = x[1300:], y[1300:]
(first, second), (bias, last) = model.coefs_, model.intercepts_


def loss_and_gradient(v):
    """Return the cross entropy of each row, and its gradient by v."""
    hidden = v @ first + bias
    scores = np.maximum(hidden, 0) @ second + last
    scores -= scores.max(axis=1, keepdims=True)
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    loss = -np.log(np.maximum(probabilities[np.arange(len(y)), y], 1e-30))
    probabilities[np.arange(len(y)), y] -= 1
    return loss, ((probabilities @ second.T * (hidden > 0)) @ first.T).astype(
        np.float32
    )


def scale(delta, eps):
    """Return directions of norm eps."""
    return eps * delta / np.maximum(np.linalg.norm(delta, axis=1, keepdims=True), 1e-12)


def usual_step(v, g, eps):
    """Step along the gradient, scale onto the ball, clip."""
    moved = v + scale(g, eps / 4) - x
    inside = np.linalg.norm(moved, axis=1, keepdims=True) <= eps
    return np.clip(x + np.where(inside, moved, scale(moved, eps)), 0, 1)


def exact_step(v, g, eps):
    """Step to the best point within eps/4, and project."""
    return car.project(x, car.maximize(v, g, eps / 4), eps)


# %%
# Ten steps of each, for ε = 1.

asked, curves = 1.0, {}
for name, step in (("usual", usual_step), ("exact", exact_step)):
    v, curve = x, []
    for _ in range(10):
        loss, g = loss_and_gradient(v)
        curve.append((loss.mean(), model.score(v, y)))
        v = step(v, g, asked)
    reached = np.linalg.norm(v - x, axis=1)
    curves[name] = np.transpose(curve)
    loss, right = curves[name][:, -1]
    print(f"{name}: loss {loss:.3f}, {right:.1%} right, mean norm {reached.mean():.4f}")

# %%

figure, panels = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
for row, axes in enumerate(panels):
    axes.plot(curves["usual"][row], "o-", color="#d55e00", label="scaled, then clipped")
    axes.plot(curves["exact"][row], "o-", color="#0072b2", label="maximize and project")
    axes.set(xlabel="step", ylabel=("mean loss", "accuracy")[row])
    axes.legend(frameon=False)
plt.show()
