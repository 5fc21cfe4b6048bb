"""Whatever is passed: a right answer, or an error that names an argument. Judged by NumPy alone."""

import inspect
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import broadcastable_shapes

import numba_car as car

FLOATS = ("f2", "f4", "f8", ">f4", ">f8")
OTHERS = ("u1", "i8", "?", "c8", "O", "U3", "M8[s]", "m8[s]", "V4", "g", "f4,f4")
NAMES = (
    "x|delta|z|g|eps|eta|p|bounds|lower|upper|axis|keepdims|infeasible|method|num_threads|side|step|"
    "out|full_output|(grad|tangent)_\\w+"
)
SOLVERS = ("eta", "rescale", "solve", "max_norm", "norm", "project", "maximize")
DERIVATIVES = [
    f"{name}_{way}" for name in ("eta", "rescale", "project", "maximize") for way in ("vjp", "jvp")
]
TOLERANCE = {2: 4e-3, 4: 4e-6, 8: 4e-14}
JUNK = [
    None,
    "two",
    -1,
    0,
    1.5,
    float("nan"),
    float("inf"),
    (),
    (0.0,),
    [0, [1]],
    object(),
    2**70,
    -(2**70),
    1j,
    np.uint8(2),
    b"two",
]


def mostly(usual, unusual, times=12):
    return st.integers(0, times).flatmap(lambda n: usual if n else unusual)


def dtypes():
    return mostly(st.sampled_from(FLOATS), st.sampled_from(OTHERS)).map(np.dtype)


@st.composite
def arrays(draw, shape, low, high):
    """An array, or something like one, of numbers mostly from low to high, in any layout."""
    dtype, rng = draw(dtypes()), np.random.default_rng(draw(st.integers(0, 9)))
    values = rng.uniform(low, high, shape)
    if values.size and draw(st.integers(0, 9)) == 0:
        values.flat[rng.integers(values.size)] = draw(st.sampled_from([np.nan, np.inf, -3, 1.25]))
    with np.errstate(all="ignore"):
        array = values.astype("f8" if dtype.kind in "Vg" else dtype)
    array = array.astype(dtype) if dtype.kind == "g" else array
    layout = draw(st.sampled_from(["C", "F", "reversed", "strided", "read-only", "list", "odd"]))
    if layout == "F":
        return np.asfortranarray(array)
    if layout == "reversed" and array.ndim:
        return np.flip(np.flip(array).copy())
    if layout == "strided" and array.ndim:
        return np.repeat(array, 2, axis=-1)[..., ::2]
    if layout == "read-only":
        array.flags.writeable = False
    if layout == "odd" and array.dtype.kind != "O":  # not aligned
        return np.ndarray(array.shape, array.dtype, b"\0" + array.tobytes(), 1)
    return array.tolist() if layout == "list" else array


@st.composite
def calls(draw):
    """Arguments and keywords of a call."""
    shape = tuple(draw(st.lists(mostly(st.integers(1, 4), st.just(0)), max_size=4)))

    def like(low, high):
        related = mostly(st.just(shape), broadcastable_shapes(shape, max_dims=4, max_side=4), 3)
        return arrays(draw(related), low, high)

    batch = shape[:1] if len(shape) > 1 else ()
    eps = mostly(
        st.floats(0, 2, width=16), arrays(draw(st.sampled_from([batch, shape, ()])), 0, 2), 2
    )
    options = {
        "p": st.sampled_from([1, 2, 3.5, 0.7, np.inf]),
        "bounds": st.one_of(
            st.sampled_from([(0.0, 1.0), (None, 1), (-np.inf, np.inf), (0, None)]),
            st.tuples(like(-1, 0), like(1, 2)),
        ),
        "axis": st.one_of(st.integers(-4, 4), st.lists(st.integers(-4, 4), max_size=3).map(tuple)),
        "keepdims": st.booleans(),
        "infeasible": st.sampled_from(["saturate", "nan", "raise"]),
        "method": st.sampled_from(["auto", "newton", "sort"]),
        "num_threads": st.sampled_from([None, 1, 3]),
    }
    chosen = draw(st.lists(st.sampled_from(sorted(options)), unique=True, max_size=4))
    junk = st.sampled_from(JUNK)
    keywords = {name: draw(mostly(options[name], junk)) for name in chosen}
    named = {"x": like(0, 1), "delta": like(-1, 1), "eps": eps}
    return {name: draw(mostly(of, junk, 40)) for name, of in named.items()}, keywords


def attempt(function, *arguments, **keywords):
    """Call it; return the result, or None for an error that says which argument it is about."""
    try:
        return function(*arguments, **keywords)
    except (ValueError, TypeError) as error:
        if not re.search(rf"\b({NAMES})\b", str(error)):
            raise
        return None


def rows_of(array, shape, axes):
    """The array, broadcast, as float64 with a row's elements along the last axis."""
    array = np.broadcast_to(np.asarray(array, np.float64), shape)
    kept = [axis for axis in range(len(shape)) if axis not in axes]
    moved = array.transpose(*kept, *axes)
    batch = moved.shape[: len(kept)]
    return moved.reshape(*batch, math.prod(moved.shape[len(kept) :]))


def norms(steps, p):
    largest = steps.max(axis=-1, initial=0)
    if p == np.inf:
        return largest
    unit = np.where((largest > 0) & np.isfinite(largest), largest, 1)
    return unit * ((steps / unit[..., None]) ** p).sum(axis=-1) ** (1 / p)


def reached(x, delta, eta, keywords):
    """N(eta), NaN where eta is, and R, by NumPy, one number a row."""
    p, axis = keywords.get("p", 2), keywords.get("axis")
    lower, upper = keywords.get("bounds", (0.0, 1.0))
    shape = np.broadcast_shapes(np.shape(x), np.shape(delta))
    axis = tuple(range(int(len(shape) > 1), len(shape))) if axis is None else axis
    axes = sorted(a % len(shape) for a in ((axis,) if isinstance(axis, int) else axis))
    dtype = np.result_type(np.asarray(x), np.asarray(delta))
    dtype = dtype if dtype.kind == "f" else np.dtype("f8")
    lower = np.asarray(-np.inf if lower is None else lower).astype(dtype)
    upper = np.asarray(np.inf if upper is None else upper).astype(dtype)
    x, delta, lower, upper = (rows_of(a, shape, axes) for a in (x, delta, lower, upper))
    with np.errstate(invalid="ignore"):
        room = np.where(delta > 0, upper - x, np.where(delta < 0, x - lower, 0)).clip(0)
        eta = np.asarray(eta, np.float64).reshape(room.shape[:-1])
        steps = np.fmin(eta[..., None] * abs(delta), room)
    bad = ~(np.isfinite(x) & np.isfinite(delta)).all(axis=-1)
    norm = np.where(bad | np.isnan(eta), np.nan, norms(steps, p))
    return norm, np.where(bad, np.nan, norms(room, p)), dtype


@pytest.mark.parametrize("junk", JUNK, ids=lambda junk: type(junk).__name__)
@pytest.mark.parametrize(
    ("library", "name"),
    [("numpy", name) for name in (*SOLVERS, *DERIVATIVES)]
    + [(library, name) for library in ("torch", "jax.numpy") for name in SOLVERS],
)
def test_every_argument(library, name, junk):
    """What the tests below draw for some of them is tried here for each of them."""
    array = pytest.importorskip(library).asarray
    function = getattr(car, name)
    usual = {"x": array([[0.5, 0.25]]), "delta": array([[1.0, -1.0]]), "eps": 0.1}
    usual |= {"grad_eta": 1.0, "grad_out": 1.0}
    usual |= {f"tangent_{name}": 1.0 for name in ("x", "delta", "z", "g")}
    usual |= {"z": usual["delta"], "g": usual["delta"], "eta": 0.1}
    names = inspect.signature(function).parameters
    arguments = {name: value for name, value in usual.items() if name in names}
    assert attempt(function, **arguments) is not None
    for replaced in names:
        attempt(function, **{**arguments, replaced: junk})


@settings(max_examples=settings.default.max_examples // 2)  # most of them compile something
@given(calls())
def test_solve(call):
    arguments, keywords = call
    found = attempt(car.solve, *arguments.values(), **keywords)
    if found is None:
        return
    x, delta, eps = arguments.values()
    norm, largest, dtype = reached(x, delta, found.eta, keywords)
    tolerance = TOLERANCE[min(8, np.asarray(found.eta).dtype.itemsize, dtype.itemsize)]
    eps = np.asarray(eps, np.float64)
    batch = np.shape(found.eta)
    eps = np.broadcast_to(eps.reshape(batch) if eps.size == norm.size else eps, batch).reshape(
        norm.shape
    )
    target = np.minimum(eps, largest)
    if keywords.get("infeasible") == "nan":
        beyond = eps > largest * (1 + tolerance)
        beside = (eps > largest * (1 - tolerance)) & np.isnan(norm)  # rounding decides
        target = np.where(beyond | beside, np.nan, target)
    np.testing.assert_allclose(norm, target, rtol=tolerance, atol=tolerance * 1e-3)
    np.testing.assert_allclose(
        np.asarray(found.max_norm, np.float64).reshape(norm.shape), largest, rtol=tolerance
    )


def check_out(v, x, delta, eps, keywords):
    """What fits takes the result, whatever its layout; what does not is refused, and stays as it is."""
    out = np.full(np.shape(v), 7, np.asarray(v).dtype, order="F")
    assert car.rescale(x, delta, eps, out=out, **keywords) is out
    np.testing.assert_array_equal(out, v)
    for wrong in (np.full((*np.shape(v), 2), 7.0), np.full(np.shape(v), 7, np.int16), 7.0):
        assert attempt(car.rescale, x, delta, eps, out=wrong, **keywords) is None
        assert np.all(np.asarray(wrong) == 7)


@settings(max_examples=settings.default.max_examples // 2)  # most of them compile something
@given(calls())
def test_the_others(call):
    (x, delta, eps), keywords = call[0].values(), call[1]
    eta = attempt(car.eta, x, delta, eps, **keywords)
    v = attempt(car.rescale, x, delta, eps, **keywords)
    assert (eta is None) == (v is None)
    gradients = attempt(car.rescale_vjp, x, delta, eps, 1.0, **keywords)
    of_eta = attempt(car.eta_vjp, x, delta, eps, 1.0, **keywords)
    tangent = attempt(car.eta_jvp, x, delta, eps, tangent_eps=1.0, **keywords)
    assert (gradients is None) == (eta is None) == (tangent is None) == (of_eta is None)
    if eta is not None:
        assert np.shape(v) == np.broadcast_shapes(np.shape(x), np.shape(delta))
        for found in (gradients, of_eta):
            assert [np.shape(of) for of in found[:3]] == [np.shape(of) for of in (x, delta, eps)]
        check_out(v, x, delta, eps, keywords)
        assert np.shape(tangent) == np.shape(eta)
    without = {k: v for k, v in keywords.items() if k not in ("infeasible", "method")}
    attempt(car.max_norm, x, delta, **without)


def shrunk(start, end, eps, p):
    """The points from start towards end that are at most eps away, by NumPy, one row each."""
    step = end - start
    far = norms(abs(step), p)
    with np.errstate(all="ignore"):
        share = np.where(far > eps, eps / np.where(far > 0, far, 1), 1)
    return start + share[..., None] * step


def check_step(name, y, arguments, keywords):
    """y is feasible, and no worse than a point that NumPy finds on the way to the best in the box."""
    x, other, eps = arguments
    p, axis = keywords["p"], keywords.get("axis")
    lower, upper = keywords.get("bounds", (0.0, 1.0))
    axis = tuple(range(int(y.ndim > 1), y.ndim)) if axis is None else axis
    axes = sorted(a % y.ndim for a in ((axis,) if isinstance(axis, int) else axis))
    tolerance = 4 * TOLERANCE[y.dtype.itemsize]
    ends = (-np.inf if lower is None else lower, np.inf if upper is None else upper)
    of = [rows_of(np.asarray(a).astype(y.dtype), y.shape, axes) for a in (x, other, *ends, y)]
    eps, count = np.asarray(eps, np.float64), of[0].shape[:-1]
    eps = np.broadcast_to(eps.reshape(count) if eps.size == math.prod(count) else eps, count)
    x, other, low, high, y = of
    bad = ~(np.isfinite(x) & np.isfinite(other)).all(axis=-1)
    assert np.isnan(y[bad]).all()
    x, other, low, high, y, eps = (values[~bad] for values in (x, other, low, high, y, eps))
    assert ((y >= low) & (y <= high)).all()
    slack = tolerance * (eps + norms(abs(x), p) + 1e-3)
    assert (norms(abs(y - x), p) <= eps + slack).all()
    if name == "project":
        near = shrunk(x, np.clip(other, low, high), eps, p)
        found, known = (norms(abs(v - other), 2) for v in (y, near))
        assert (found <= known + slack).all()
    elif np.isfinite(low).all() and np.isfinite(high).all():
        near = shrunk(x, np.where(other > 0, high, np.where(other < 0, low, x)), eps, p)
        found, known = ((other * (v - x)).sum(axis=-1) for v in (y, near))
        assert (found >= known - slack * norms(abs(other), 1)).all()


@settings(max_examples=settings.default.max_examples // 2)  # most of them compile something
@given(calls(), st.sampled_from(["project", "maximize"]), st.sampled_from([1, 2, np.inf]))
def test_steps(call, name, order):
    arguments, keywords = tuple(call[0].values()), {**call[1], "p": order}
    wrong = {k: keywords.pop(k) for k in ("keepdims", "infeasible", "method") if k in keywords}
    for option in wrong.keys() - {"method"}:
        with pytest.raises(TypeError, match=option):
            getattr(car, name)(*arguments, **keywords, **{option: wrong[option]})
    y = attempt(getattr(car, name), *arguments, **keywords)
    pulled = attempt(getattr(car, f"{name}_vjp"), *arguments, 1.0, **keywords)
    pushed = attempt(getattr(car, f"{name}_jvp"), *arguments, 1.0, **keywords)
    inside = attempt(getattr(car, name), *arguments, **keywords, side="inside")
    assert (y is None) == (pulled is None) == (pushed is None) == (inside is None)
    if y is None:
        return
    assert np.shape(pushed) == np.shape(inside) == np.shape(y)
    assert [np.shape(of) for of in pulled[:3]] == [np.shape(of) for of in arguments]
    for found in (y, inside):
        check_step(name, np.asarray(found), arguments, keywords)
