"""ART's, foolbox's, adv_lib's, AutoAttack's and secml-torch's attacks with our projections inside.

The adapters are those of docs/howto/attacks.md. The libraries' own code runs in each test.
"""

import importlib
import importlib.util
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from tests.support.adapters import (
    InBox,
    l1_projection,
    manipulation_from,
    projecting_in_place,
    projection,
)

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
INF = float("inf")


def module_of(name, package):
    """Return a module of a library, with its warnings, or skip the test."""
    pytest.importorskip(name.partition(".")[0], reason=f"{package} is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


def attack_of_adv_lib(name):
    """Return a module of adv_lib.attacks without the rest of that package, which needs torchvision and visdom."""
    package = module_of("adv_lib", "adv-lib")
    path = Path(package.__file__).parent / "attacks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec.loader.exec_module(module)
    return module


@pytest.fixture
def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 10)).eval()


@pytest.fixture
def images():
    """Return images with much of their area on a bound, so that clipping matters."""
    torch.manual_seed(1)
    return (torch.randn(6, 3, 8, 8) + 0.5).clip(0, 1)


def norms_of(v, x, p):
    difference = np.asarray(v, np.float64) - np.asarray(x, np.float64)
    return np.linalg.norm(difference.reshape(len(difference), -1), p, axis=1)


def exact_l1_projection(x, y, eps):
    """Return the projection of x + y onto the ball and [0, 1], by bisection of the multiplier in float64.

    This is the problem that AutoAttack's authors solve by sorting (arXiv:2103.01208, Proposition 2.1).
    """
    x, y = (np.asarray(a, np.float64).reshape(len(x), -1) for a in (x, y))
    room = np.where(y > 0, 1 - x, x)
    low, high = np.zeros(len(x)), np.abs(y).max(axis=1)
    for _ in range(100):
        middle = 0.5 * (low + high)
        moved = np.minimum(np.maximum(np.abs(y) - middle[:, None], 0), room)
        is_beyond = moved.sum(axis=1) > eps
        low, high = np.where(is_beyond, middle, low), np.where(is_beyond, high, middle)
    moved = np.minimum(np.maximum(np.abs(y) - high[:, None], 0), room)
    return x + np.sign(y) * moved


# ART


@pytest.mark.parametrize("eps", [0.5, 5.0])
@pytest.mark.parametrize("p", [1, 2, np.inf, "inf"])
@pytest.mark.parametrize("n", [7, 200])
def test_projection_of_art(p, n, eps):
    theirs = module_of("art.utils", "adversarial-robustness-toolbox").projection
    values = np.random.default_rng(n).standard_normal((9, 1, n))
    values[0] *= 1e-3
    np.testing.assert_allclose(
        projection(values, eps, p), theirs(values, eps, p, suboptimal=False), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize(("p", "eps"), [(1, 8.0), (2, 2.0), (np.inf, 0.1)])
def test_pgd_of_art(network, images, p, eps, monkeypatch):
    module_of("art", "adversarial-robustness-toolbox")
    from art.attacks.evasion import ProjectedGradientDescentNumpy, fast_gradient
    from art.estimators.classification import PyTorchClassifier

    classifier = PyTorchClassifier(
        network, torch.nn.CrossEntropyLoss(), (3, 8, 8), nb_classes=10, clip_values=(0.0, 1.0)
    )
    x, y = images.numpy(), network(images).argmax(1).numpy()
    attack = ProjectedGradientDescentNumpy(
        classifier, norm=p, eps=eps, eps_step=eps / 3, max_iter=8, verbose=False
    )
    theirs = attack.generate(x, y)
    calls = []

    def counted(*arguments):
        calls.append(arguments)
        return projection(*arguments)

    monkeypatch.setattr(fast_gradient, "projection", counted)
    ours = attack.generate(x, y)
    assert calls
    assert ours.min() >= 0
    assert ours.max() <= 1
    assert np.all(norms_of(ours, x, p) <= eps * (1 + 1e-6))
    if p != 1:  # where theirs is no projection, but a scale
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


# foolbox


@pytest.mark.parametrize(("p", "eps"), [(1, 8.0), (2, 2.0), (INF, 0.1)])
def test_pgd_of_foolbox(network, images, p, eps):
    fb = module_of("foolbox", "foolbox")
    name = {1: "L1", 2: "L2", INF: "Linf"}[p] + "ProjectedGradientDescentAttack"
    base = getattr(fb.attacks, name)
    attack = type("InBox" + name, (InBox, base), {"p": p})
    model = fb.PyTorchModel(network, bounds=(0, 1), device="cpu")
    labels = network(images).argmax(1)

    def loss_of(kind):
        torch.manual_seed(2)
        start = kind(steps=20, rel_stepsize=0.2)
        found, _, success = start(model, images, labels, epsilons=eps)
        assert found.min() >= 0
        assert found.max() <= 1
        loss = torch.nn.functional.cross_entropy(network(found), labels, reduction="none")
        return loss.detach(), norms_of(found, images, p), success

    ours, norms, success = loss_of(attack)
    theirs, _, theirs_success = loss_of(base)
    assert np.all(norms <= eps * (1 + 1e-6))
    assert success.sum() >= theirs_success.sum()
    if p == INF:
        torch.testing.assert_close(ours, theirs)
    else:  # it goes farther where theirs is clipped after it was scaled
        assert bool((ours > theirs).all())


# AutoAttack's APGD for p = 1


@pytest.mark.parametrize("eps", [0.0, 1.0, 12.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_l1_projection(images, dtype, eps):
    x = images.to(dtype)
    torch.manual_seed(3)
    y = torch.randn(x.shape, dtype=dtype)
    found = (x + y + l1_projection(x, y, eps)).flatten(1).numpy()
    tolerance = 1e-6 if dtype == torch.float32 else 1e-13
    np.testing.assert_allclose(found, exact_l1_projection(x, y, eps), atol=tolerance)


@pytest.mark.parametrize("eps", [1.0, 12.0])
def test_l1_projection_of_adv_lib(images, eps):
    theirs = attack_of_adv_lib("auto_pgd").l1_projection
    torch.manual_seed(3)
    y, radii = torch.randn(images.shape), torch.full((len(images),), eps)
    torch.testing.assert_close(
        l1_projection(images, y, radii), theirs(images, y.clone(), radii), atol=2e-5, rtol=0
    )


def test_apgd_of_adv_lib(network, images, monkeypatch):
    module = attack_of_adv_lib("auto_pgd")
    labels, found = network(images).argmax(1), []
    for function in (module.l1_projection, l1_projection):
        monkeypatch.setattr(module, "l1_projection", function)
        torch.manual_seed(4)
        v = module.apgd(network, images, labels, 8.0, 1, n_iter=20, loss_function="ce")
        assert np.all(norms_of(v, images, 1) <= 8.0 * (1 + 1e-5))
        found.append(network(v).argmax(1) != labels)
    assert torch.equal(*found)


# adv_lib's fast minimum norm attack


@pytest.mark.parametrize("p", [1, 2])
def test_fmn_of_adv_lib(network, images, p, monkeypatch):
    module = attack_of_adv_lib("fast_minimum_norm")
    labels = network(images).argmax(1)

    def run():
        v = module.fmn(network, images, labels, norm=p, steps=100)
        return norms_of(v, images, p), (network(v).argmax(1) != labels).numpy()

    theirs, found = run()
    monkeypatch.setattr(module, f"l{p}_projection_", projecting_in_place(images, p))
    ours, all_found = run()
    # Theirs clips afterwards, and may stop short of the boundary for ever.
    assert all_found.all()
    assert np.all(ours[found] <= 1.01 * theirs[found])


# secml-torch


@pytest.mark.parametrize(("p", "eps"), [(1, 8.0), (2, 2.0), (INF, 0.1)])
def test_pgd_of_secml_torch(network, images, p, eps, monkeypatch):
    monkeypatch.setitem(sys.modules, "adv_lib", None)  # it would import all of it
    pgd = module_of("secmlt.adv.evasion.pgd", "secml-torch").PGDNative
    from secmlt.manipulations.manipulation import AdditiveManipulation
    from secmlt.models.pytorch.base_pytorch_nn import BasePyTorchClassifier

    model, labels = BasePyTorchClassifier(network), network(images).argmax(1)

    def loss_of(kind):
        attack = pgd(f"l{p}", eps, 20, eps / 5, random_start=False)
        if kind is not None:
            attack.manipulation_function = kind
        v, _ = attack._run(model, images, labels)
        assert v.min() >= 0
        assert v.max() <= 1
        assert np.all(norms_of(v.detach(), images, p) <= eps * (1 + 1e-6))
        return torch.nn.functional.cross_entropy(network(v), labels).item()

    assert loss_of(manipulation_from(AdditiveManipulation)(eps, p)) >= loss_of(None) * (1 - 1e-6)
