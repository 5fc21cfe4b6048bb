"""DataArrays: what NumPy arrays would give, by the names of dimensions."""

import numpy as np
import pytest

import numba_car as car
from tests.support.strategies import family_arrays

REASON = "xarray is not installed"
xr = pytest.importorskip("xarray", reason=REASON)
car_xarray = pytest.importorskip("numba_car.interop.xarray", reason=REASON)

DIMS = ("image", "channel", "y", "x")
SHAPE = (3, 2, 4, 5)
COORDS = {"image": ["a", "b", "c"], "y": np.arange(4.0), "sensor": ("image", [7, 8, 9])}


@pytest.fixture
def images():
    """Return x and delta, and both again as DataArrays."""
    x, delta = family_arrays("cauchy", SHAPE, np.float32)
    named = xr.DataArray(x, dims=DIMS, coords=COORDS, name="images", attrs={"units": "1"})
    return x, delta, named, xr.DataArray(delta, dims=DIMS)


def norms_of(v, x, dims, p=2):
    steps = np.abs(v.astype(float) - x)
    return steps.max(dims) if np.isinf(p) else (steps**p).sum(dims) ** (1 / p)


@pytest.mark.parametrize("p", [1, 2, 3, np.inf])
@pytest.mark.parametrize("method", ["newton", "sort"])
def test_values(images, p, method):
    x, delta, named, directions = images
    options = {"p": p, "method": method}
    found = car.solve(named, directions, 0.5, **options)
    for one, other in zip(found, car.solve(x, delta, 0.5, **options), strict=True):
        assert one.dims == ("image",)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(car.eta(named, directions, 0.5, **options), found.eta)
    np.testing.assert_array_equal(car.max_norm(named, directions, p=p), found.max_norm)
    v = car.rescale(named, directions, 0.5, **options)
    np.testing.assert_array_equal(v, car.rescale(x, delta, 0.5, **options))
    np.testing.assert_allclose(norms_of(v, named, DIMS[1:], p), 0.5, rtol=1e-5)


def test_what_is_kept(images):
    _, _, x, delta = images
    v = car.rescale(x, delta, 0.5)
    with xr.set_options(keep_attrs=True):  # which is its default since 2025.11
        expected = x + delta
    assert v.dims == expected.dims
    assert v.coords.identical(expected.coords)
    assert v.attrs == expected.attrs == {"units": "1"}
    assert v.name is expected.name is None
    delta = delta.assign_attrs(units="px").rename("images")
    with xr.set_options(keep_attrs=True):
        assert car.rescale(x, delta, 0.5).attrs == (x + delta).attrs
    eta = car.eta(x, delta, 0.5)
    assert eta.coords.identical(x[:, 0, 0, 0].drop_vars("y").coords)
    assert eta.name == "images"
    with xr.set_options(keep_attrs=False):
        assert car.rescale(x, delta, 0.5).attrs == {}


@pytest.mark.parametrize(
    ("axis", "places", "batch"),
    [
        ("x", 3, ("image", "channel", "y")),
        (("y", "x"), (2, 3), ("image", "channel")),
        (["x", "image"], (0, 3), ("channel", "y")),
        (-1, -1, ("image", "channel", "y")),
        ((0, 2), (0, 2), ("channel", "x")),
        (DIMS, (0, 1, 2, 3), ()),
        ((), (), DIMS),
        (None, None, ("image",)),
    ],
    ids=str,
)
@pytest.mark.parametrize("keepdims", [False, True])
def test_axis(images, axis, places, batch, keepdims):
    x, delta, named, directions = images
    found = car.eta(named, directions, 0.1, axis=axis, keepdims=keepdims)
    assert found.dims == (DIMS if keepdims else batch)
    expected = car.eta(x, delta, 0.1, axis=places, keepdims=keepdims)
    np.testing.assert_allclose(found, expected, rtol=3e-7)
    v = car.rescale(named, directions, 0.1, axis=axis, keepdims=keepdims)
    assert v.dims == DIMS
    np.testing.assert_allclose(v, car.rescale(x, delta, 0.1, axis=places), atol=1e-6)


@pytest.mark.parametrize("name", ["eta", "rescale", "solve", "max_norm"])
def test_dim_is_axis(images, name):
    arguments = images[2:] if name == "max_norm" else (*images[2:], 0.5)
    by_dim = getattr(car_xarray, name)(*arguments, dim=("y", "x"), p=1)
    by_axis = getattr(car, name)(*arguments, axis=("y", "x"), p=1)
    both = zip(by_dim, by_axis, strict=True) if name == "solve" else [(by_dim, by_axis)]
    assert all(one.identical(other) for one, other in both)
    with pytest.raises(TypeError, match="axis"):
        getattr(car_xarray, name)(*arguments, dim="x", axis="x")


def test_order_of_dimensions_does_not_matter(images):
    _, _, x, delta = images
    found = car.rescale(x, delta.transpose(), 0.5)
    assert found.identical(car.rescale(x, delta, 0.5))
    turned = car.rescale(x.transpose(), delta, 0.5, axis=DIMS[1:])
    assert turned.dims == DIMS[::-1]
    np.testing.assert_allclose(turned.transpose(*DIMS), found, atol=1e-6)


def test_broadcasting_by_name(images):
    x, delta, named, directions = images
    eps = np.array([0.1, 0.5, 2.0])
    lower, upper = np.array([-1.0, -2.0]), np.array([1.5, 3.0])
    bounds = xr.DataArray(lower, dims="channel"), xr.DataArray(upper, dims="channel")
    found = car.eta(named, directions, xr.DataArray(eps, dims="image"), bounds=bounds)
    across = lower[:, None, None], upper[:, None, None]
    np.testing.assert_array_equal(found, car.eta(x, delta, eps, bounds=across))
    found = car.eta(named, directions, 0.5, bounds=(None, bounds[1]))
    np.testing.assert_array_equal(found, car.eta(x, delta, 0.5, bounds=(None, across[1])))
    found = car.eta(named, directions[0, 1], 0.5, axis=DIMS[1:])
    np.testing.assert_array_equal(found, car.eta(x, delta[0, 1], 0.5))


def test_dimensions_of_their_own(images):
    x, delta, named, directions = images
    eps = xr.DataArray([0.1, 0.5], dims="size", coords={"size": [1, 2]})
    found = car.eta(named, directions, eps)
    assert found.dims == ("image", "size")
    assert list(found["size"].values) == [1, 2]
    for k in range(2):
        np.testing.assert_array_equal(found[:, k], car.eta(x, delta, eps.values[k]))
    assert car.rescale(named, directions, eps).dims == (*DIMS, "size")
    draws = xr.concat([directions, -directions], "draw")
    found = car.rescale(named, draws, 0.5, axis=DIMS[1:])
    assert found.dims == (*DIMS, "draw")
    np.testing.assert_array_equal(found[..., 1], car.rescale(x, -delta, 0.5))
    upper = xr.DataArray([1.0, 2.0], dims="white")
    found = car.max_norm(named, directions, bounds=(0.0, upper))
    np.testing.assert_array_equal(found[:, 1], car.max_norm(x, delta, bounds=(0.0, 2.0)))


def test_numbers_adapt(images):
    x, _, named, _ = images
    for number in (1, -1.0, xr.DataArray(np.float32(1.0))):
        found = car.rescale(named, number, 0.5)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, car.rescale(x, np.float32(number), 0.5))
    found = car.rescale(0.5, named, 0.5, axis=DIMS[1:])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, car.rescale(np.float32(0.5), x, 0.5))


def test_one_row():
    x, delta = family_arrays("uniform", (6,), np.float64)
    found = car.eta(xr.DataArray(x, dims="pixel"), xr.DataArray(delta, dims="pixel"), 0.1)
    assert found.dims == ()
    assert found.item() == car.eta(x, delta, 0.1)
    assert car.eta(xr.DataArray(0.5), xr.DataArray(2.0), 0.1).item() == 0.05


ROWS = xr.DataArray(np.full((2, 3), 0.5), dims=("image", "pixel"), coords={"image": [1, 2]})


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"delta": ROWS.assign_coords(image=[1, 3])}, ValueError, "join='exact'"),
        ({"delta": ROWS[:, :2]}, ValueError, "pixel"),
        ({"delta": ROWS.expand_dims("draw")}, ValueError, "axis must name .* where delta has more"),
        ({"delta": ROWS.to_dataset(name="a")}, TypeError, "delta .* a number, found Dataset"),
        ({"delta": ROWS.variable}, TypeError, "found Variable"),
        ({"delta": ROWS.values}, TypeError, "one library, found xarray's in .* and numpy's in"),
        ({"eps": [0.1, 0.2]}, TypeError, "eps must be a DataArray or a number, found list"),
        ({"eps": ROWS}, ValueError, "eps must have no dimension of a row, .'pixel',."),
        ({"eps": -ROWS[:, 0]}, ValueError, "eps must be finite and not negative"),
        ({"bounds": (0.0, [1.0, 1.0])}, TypeError, "upper of bounds .* found list"),
        ({"bounds": 1.0}, ValueError, "pair"),
        ({"x": ROWS + 1}, ValueError, "x must lie within its bounds"),
        ({"axis": "y"}, ValueError, "axis must name .*'image', 'pixel'.*, found 'y'"),
        ({"axis": ("pixel", "pixel")}, ValueError, "repeat"),
        ({"axis": 2}, np.exceptions.AxisError, "axis 2 is out of bounds"),
        ({"axis": 1.5}, ValueError, "found 1.5"),
        ({"infeasible": "raise", "eps": 9.0}, ValueError, "eps"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_errors(change, error, message):
    arguments = {"x": ROWS, "delta": ROWS, "eps": 0.1, **change}
    with pytest.raises(error, match=message):
        car.eta(**arguments)


def test_out_is_refused():
    with pytest.raises(TypeError, match="out must be None"):
        car.rescale(ROWS, ROWS, 0.1, out=ROWS.copy())


def test_dask_is_refused():
    pytest.importorskip("dask", reason="dask is not installed")
    with pytest.raises(NotImplementedError, match=r"dask arrays .* in delta: \.compute\(\)"):
        car.eta(ROWS, ROWS.chunk(), 0.1)
