"""foolbox's attacks with our rescaling in the place of theirs, as docs/howto/attacks.md says to put it."""

import numpy as np
import pytest

import numba_car as car
from tests.support.strategies import family_arrays

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
ep = pytest.importorskip("eagerpy", reason="EagerPy is not installed")
fb = pytest.importorskip("foolbox", reason="foolbox is not installed")
from foolbox.attacks import additive_noise
from foolbox.external.clipping_aware_rescaling import (
    l2_clipping_aware_rescaling as of_foolbox,
)

ONCE = (
    fb.attacks.L2ClippingAwareAdditiveGaussianNoiseAttack,
    fb.attacks.L2ClippingAwareAdditiveUniformNoiseAttack,
)
REPEATED = (
    fb.attacks.L2ClippingAwareRepeatedAdditiveGaussianNoiseAttack,
    fb.attacks.L2ClippingAwareRepeatedAdditiveUniformNoiseAttack,
)
BOUNDS = (-1.0, 2.0)


def rescaling(x, delta, eps, a=0.0, b=1.0):
    return car.eta(x, delta, eps, bounds=(a, b), keepdims=True)


@pytest.fixture
def model():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 10)).eval()
    return fb.PyTorchModel(network, bounds=BOUNDS, device="cpu")


@pytest.fixture
def images():
    """Return images with much of their area on a bound, so that clipping matters."""
    torch.manual_seed(1)
    return (torch.randn(6, 3, 8, 8) * 2).clip(*BOUNDS)


def run(attack, model, images, eps):
    """Attack what the model says, with the same noise each time; foolbox has not clipped it again."""
    labels = model(images).argmax(-1)
    torch.manual_seed(2)
    found, _, success = attack(model, images, labels, epsilons=eps)
    return found, success


def norms_of(perturbed, images):
    return (perturbed.double() - images.double()).flatten(1).norm(dim=1).numpy()


def check_norms(perturbed, images, eps):
    """Hold norms to eps: eta and two roundings of each element in float32 are what there is."""
    assert perturbed.min() >= BOUNDS[0]
    assert perturbed.max() <= BOUNDS[1]
    rounding = np.linalg.norm(np.spacing(np.abs(perturbed.flatten(1).numpy())), axis=1)
    off = np.abs(norms_of(perturbed, images) - eps)
    assert np.all(off <= rounding + 4 * np.spacing(np.float32(eps)))
    np.testing.assert_allclose(norms_of(perturbed, images), eps, rtol=4e-7)


def test_attacks_look_the_function_up_here():
    assert additive_noise.l2_clipping_aware_rescaling is of_foolbox


@pytest.mark.parametrize("eps", [0.5, 4.0, 12.0])
@pytest.mark.parametrize("attack", ONCE, ids=lambda attack: attack.__name__)
def test_noise_of_an_exact_norm(model, images, attack, eps, monkeypatch):
    theirs, _ = run(attack(), model, images, eps)
    monkeypatch.setattr(additive_noise, "l2_clipping_aware_rescaling", rescaling)
    ours, _ = run(attack(), model, images, eps)
    check_norms(ours, images, eps)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-5)


@pytest.mark.parametrize("attack", REPEATED, ids=lambda attack: attack.__name__)
def test_repeated_noise(model, images, attack, monkeypatch):
    theirs, success = run(attack(repeats=20), model, images, 12.0)
    monkeypatch.setattr(additive_noise, "l2_clipping_aware_rescaling", rescaling)
    ours, same = run(attack(repeats=20), model, images, 12.0)
    assert success.any()
    assert torch.equal(success, same)
    check_norms(ours[success], images[success], 12.0)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-5)


def test_a_norm_out_of_reach(model, images, monkeypatch):
    monkeypatch.setattr(additive_noise, "l2_clipping_aware_rescaling", rescaling)
    ours, _ = run(ONCE[0](), model, images, 1000.0)
    torch.manual_seed(2)
    room = car.max_norm(images, torch.randn(images.shape), bounds=BOUNDS)
    np.testing.assert_allclose(norms_of(ours, images), room, rtol=4e-7)


@pytest.mark.parametrize("wrap", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
@pytest.mark.parametrize("eagerpy", [False, True])
def test_same_arguments_and_result(wrap, eagerpy):
    x, delta = map(wrap, family_arrays("uniform", (5, 3, 7), np.float32))
    x, delta = (ep.astensor(array) if eagerpy else array for array in (x, delta))
    ours, theirs = rescaling(x, delta, 0.5), of_foolbox(x, delta, 0.5)
    assert type(ours) is type(theirs)
    assert ours.shape == theirs.shape == (5, 1, 1)
    assert ours.dtype == theirs.dtype
    ours, theirs = (np.asarray(eta.numpy() if eagerpy else eta) for eta in (ours, theirs))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
