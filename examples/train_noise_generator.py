"""Train a noise generator against a classifier, with and without the gradient through eta.

A small network G turns an image x and random numbers into a direction, and `numba_car` scales it:

    delta = G(x, random),   eta = car.eta(x, delta, eps),   v = clip(x + eta*delta, 0, 1)

Every v is eps away from x, whatever G does. G learns to make a classifier fail: first one that stays
as it is, then one that learns at the same time. Both are done twice: with the whole gradient of v,
and with eta detached, as if it were a constant. In the second case G is told that a longer delta
moves v further, which eta takes back: it makes delta ever longer, and learns little else.

    python examples/train_noise_generator.py --out noise_generator.png
"""

from __future__ import annotations

import argparse
import copy
import time
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import numba_car as car

TRAIN = 1280  # of 1797 images
THROUGH, DETACHED, PLAIN = "gradient through η", "η detached", "no noise"
COLORS = {THROUGH: "#0072b2", DETACHED: "#d55e00", PLAIN: "#777777"}


class Data(NamedTuple):
    """Images in [0, 1] and their labels."""

    x: Tensor
    y: Tensor
    x_test: Tensor
    y_test: Tensor


class Perturbed(NamedTuple):
    """Images, the directions that they went, and how far they came."""

    v: Tensor
    delta: Tensor
    norm: Tensor


@dataclass
class Curves:
    """What the test images show after each epoch."""

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    length: list[float] = field(default_factory=list)


def digits() -> Data:
    """Return handwritten digits of 8 x 8 pixels."""
    found = load_digits()
    order = torch.randperm(len(found.target))
    x = torch.tensor(found.images / 16, dtype=torch.float32)[order, None]
    y = torch.tensor(found.target)[order]
    return Data(x[:TRAIN], y[:TRAIN], x[TRAIN:], y[TRAIN:])


def make_classifier() -> nn.Module:
    """Return a network from images to ten scores."""
    convolutions = (nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1, stride=2))
    first, second = convolutions
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Flatten(), nn.Linear(512, 10))


def make_generator() -> nn.Module:
    """Return a network from images and noise to directions."""
    first, second, third = (nn.Conv2d(*size, 3, padding=1) for size in ((2, 16), (16, 16), (16, 1)))
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)


def perturb(generator: nn.Module, x: Tensor, norm: tuple[float, float], mode: str) -> Perturbed:
    """Move x by eps where the generator says, inside [0, 1]."""
    eps, p = norm
    delta = generator(torch.cat([x, torch.randn_like(x)], dim=1))
    if mode == THROUGH:
        v = car.rescale(x, delta, eps, p=p)
    else:
        eta = car.eta(x, delta, eps, p=p, keepdims=True).detach()
        v = (x + eta * delta).clip(0, 1)
    return Perturbed(v, delta, (v - x).flatten(1).norm(p, dim=1))


def step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """Make loss smaller."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def train_plainly(classifier: nn.Module, data: Data, epochs: int) -> None:
    """Train on images as they are."""
    optimizer = torch.optim.Adam(classifier.parameters(), 2e-3)
    for _ in range(epochs):
        for batch in torch.randperm(TRAIN).split(64):
            step(optimizer, cross_entropy(classifier(data.x[batch]), data.y[batch]))


def contest(
    classifier: nn.Module, data: Data, options: argparse.Namespace, mode: str, *, both: bool
) -> tuple[nn.Module, Curves]:
    """Train a generator against a classifier, which learns too if both do."""
    torch.manual_seed(options.seed)
    generator, curves = make_generator(), Curves()
    attack = torch.optim.Adam(generator.parameters(), 2e-3)
    defence = torch.optim.Adam(classifier.parameters(), 1e-3)
    norm = options.eps, options.p
    for _ in range(options.epochs):
        for batch in torch.randperm(TRAIN).split(64):
            y, perturbed = data.y[batch], perturb(generator, data.x[batch], norm, mode)
            step(attack, -cross_entropy(classifier(perturbed.v), y))
            if both:
                step(defence, cross_entropy(classifier(perturbed.v.detach()), y))
        with torch.no_grad():
            found = perturb(generator, data.x_test, norm, mode)
            scores = classifier(found.v)
        curves.loss.append(cross_entropy(scores, data.y_test).item())
        curves.accuracy.append((scores.argmax(1) == data.y_test).float().mean().item())
        curves.length.append(found.delta.flatten(1).norm(dim=1).mean().item())
    print("    loss ", *(f"{loss:.2f}" for loss in curves.loss))
    print(f"    accuracy {curves.accuracy[-1]:.1%}, length of δ {curves.length[-1]:.3g}, ", end="")
    print(f"norms from {found.norm.min():.6f} to {found.norm.max():.6f}")
    return generator, curves


def draw_curves(axes: Axes, title: str, label: str, lines: dict[str, list[float]]) -> None:
    """Draw one value by epoch, one line for each name."""
    for name, values in lines.items():
        axes.plot(range(1, len(values) + 1), values, color=COLORS[name], lw=2, label=name)
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel("epoch of the generator")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel(label)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)


def draw_images(figure: Figure | SubFigure, rows: dict[str, Tensor]) -> None:
    """Draw a strip of digits for each name."""
    for axes, (name, images) in zip(figure.subplots(len(rows), 1), rows.items(), strict=True):
        apart = nn.functional.pad(images[:, 0], (0, 1), value=float("nan"))
        axes.imshow(torch.cat(list(apart), dim=1), cmap="gray", vmin=0, vmax=1)
        axes.set_axis_off()
        axes.set_title(name, fontsize=8, color=COLORS[name], loc="left", pad=2)


def draw(fixed: dict[str, Curves], again: dict[str, Curves], images: dict[str, Tensor]) -> Figure:
    """Draw the curves of all, and digits under them."""
    figure = Figure(figsize=(11, 6), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1), hspace=0.05)
    left, middle, right = above.subplots(1, 3)
    losses = {mode: curves.loss for mode, curves in fixed.items()}
    draw_curves(left, "Noise against a fixed classifier", "loss on test digits", losses)
    lengths = {mode: curves.length for mode, curves in fixed.items()}
    draw_curves(middle, "What the generator puts out", "length of δ", lengths)
    middle.set_yscale("log")
    for axes in (left, right):
        axes.set_ylim(bottom=0)
    accuracies = {mode: curves.accuracy for mode, curves in again.items()}
    draw_curves(right, "New noise against trained classifiers", "accuracy", accuracies)
    right.legend(
        title="trained with", title_fontsize=8, fontsize=8, frameon=False, loc="lower left"
    )
    draw_images(below, images)
    return figure


def options_from(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=12, help="of each training (%(default)s)")
    parser.add_argument("--eps", type=float, default=1.0, help="norm of the noise (%(default)s)")
    parser.add_argument("--p", type=float, default=2.0, help="of the norm, or inf (%(default)s)")
    parser.add_argument("--out", default="noise_generator.png", help="picture (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Train, print and draw."""
    options, start = options_from(arguments), time.perf_counter()
    torch.set_num_threads(1)  # the networks are too small for more
    torch.manual_seed(options.seed)
    data, classifier = digits(), make_classifier()
    train_plainly(classifier, data, options.epochs)
    accuracy = (classifier(data.x_test).argmax(1) == data.y_test).float().mean()
    print(f"A classifier with {accuracy:.1%} of the test digits right")

    fixed = {}
    for mode in (THROUGH, DETACHED):
        print(f"  Noise of norm {options.eps:g} against it, {mode}:")
        fixed[mode] = contest(classifier, data, options, mode, both=False)
    again = {PLAIN: fixed[THROUGH][1]}
    for mode in (DETACHED, THROUGH):
        trained = copy.deepcopy(classifier)
        print(f"  While it learns too, {mode}:")
        contest(trained, data, options, mode, both=True)
        print(f"  New noise against what it has become, {THROUGH}:")
        again[mode] = contest(trained, data, options, THROUGH, both=False)[1]

    norm, x = (options.eps, options.p), data.x_test[:12]
    with torch.no_grad():
        images = {PLAIN: x} | {
            mode: perturb(generator, x, norm, mode).v for mode, (generator, _) in fixed.items()
        }
    figure = draw({mode: curves for mode, (_, curves) in fixed.items()}, again, images)
    figure.savefig(options.out, dpi=100)
    print(f"{options.out} after {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
