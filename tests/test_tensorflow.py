"""TensorFlow: the same answers in eager mode and in graphs, and derivatives of any order."""

import functools

import numpy as np
import pytest

import numba_car as car
from tests.support.frameworks import (
    CLOSE,
    POWERS,
    PROMOTED,
    out_of_reach,
    problem,
    second_derivative,
    shapes,
)

tf = pytest.importorskip("tensorflow", reason="TensorFlow is not installed")

FUNCTIONS = (car.eta, car.rescale, car.solve)
MODES = {"eager": lambda function: function, "graph": tf.function}
modes = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
CELLS = [(p, "eager") for p in POWERS] + [(2, "graph")]
cells = pytest.mark.parametrize(
    ("p", "mode"),
    [(p, MODES[name]) for p, name in CELLS],
    ids=[f"{p}-{name}" for p, name in CELLS],
)


def tensors(arrays):
    return tuple(map(tf.constant, arrays))


def everything(x, delta, eps, lower, upper, **options):
    """All that the functions return, in a list."""
    options = options | {"bounds": (lower, upper)}
    found = [function(x, delta, eps, **options) for function in FUNCTIONS[:2]]
    return [*found, *car.solve(x, delta, eps, **options), car.max_norm(x, delta, **options)]


def same(found, expected, **tolerance):
    for a, b in zip(found, expected, strict=True):
        assert isinstance(a, tf.Tensor)
        assert (a.dtype.as_numpy_dtype, tuple(a.shape)) == (b.dtype.type, b.shape)
        if tolerance:
            np.testing.assert_allclose(a.numpy(), b, **tolerance)
        else:
            np.testing.assert_array_equal(a.numpy(), b)


def pull(function, arrays, upstream):
    """The gradient of every array."""
    with tf.GradientTape() as tape:
        tape.watch(arrays)
        found = function(*arrays)
    return tape.gradient(found, arrays, upstream)


@cells
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_are_those_of_numpy(dtype, p, mode):
    arrays = problem(dtype)
    call = functools.partial(everything, p=p)
    same(mode(call)(*tensors(arrays)), call(*arrays))


def test_solution_and_variables():
    x, delta, eps, *_ = problem()
    variable = tf.Variable(x)
    solution = car.solve(variable, delta.tolist(), eps.tolist())
    assert type(solution) is type(car.solve(x, delta, eps))
    with tf.GradientTape() as tape:
        v = car.rescale(variable, tf.Variable(delta), tf.constant(eps))
    same([tape.gradient(v, variable)], [car.rescale_vjp(x, delta, eps, 1.0).x], **CLOSE)


@cells
def test_first_derivatives_are_the_closed_forms(p, mode):
    arrays, rng = problem(), np.random.default_rng(1)
    for function, vjp, shape in (
        (car.eta, car.eta_vjp, 3),
        (car.rescale, car.rescale_vjp, (3, 6)),
    ):
        upstream = rng.standard_normal(shape)
        call = lambda x, d, e, low, up, f=function: f(x, d, e, p=p, bounds=(low, up))
        found = mode(functools.partial(pull, call))(tensors(arrays), tf.constant(upstream))
        same(found, vjp(*arrays[:3], upstream, p=p, bounds=arrays[3:]), **CLOSE)


def test_persistent_tapes_and_jacobians():
    x, delta, eps, *_ = problem()
    given = tensors((x, delta, eps))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(given)
        v, solution = car.rescale(*given), car.solve(*given)
    same([tape.gradient(v, given[0])], [car.rescale_vjp(x, delta, eps, 1.0).x], **CLOSE)
    same([tape.gradient(solution.eta, given[1])], [car.eta_vjp(x, delta, eps, 1.0).delta], **CLOSE)
    same([tape.gradient(solution.norm, given[2])], [np.array([1.0, 1.0, 0.0])])
    by_eps = tf.linalg.diag_part(tf.transpose(tape.jacobian(v, given[2]), (1, 0, 2)))
    tangent = car.rescale_jvp(x, delta, eps, tangent_eps=1.0)
    same([tf.transpose(by_eps)], [tangent], **CLOSE)


@cells
def test_second_derivatives_are_differences_of_the_first(p, mode):
    (x, delta, eps, bounds), weights, tangents, expected = second_derivative(p)
    call = functools.partial(car.rescale, p=p, bounds=tensors(bounds))

    def gradients(*given):
        return pull(lambda *a: weights * call(*a, tf.constant(eps)) ** 3, given, None)

    backward = mode(lambda *given: pull(gradients, given, list(tensors(tangents))))
    found = np.stack(backward(*tensors((x, delta))))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)

    def forward(*given):
        with tf.autodiff.ForwardAccumulator(given, tensors(tangents)) as accumulator:
            found = gradients(*given)
        return [accumulator.jvp(part) for part in found]

    if p == 2:
        pushed = np.stack(mode(forward)(*tensors((x, delta))))
        np.testing.assert_allclose(pushed, found, **CLOSE)


@cells
def test_forward_mode(p, mode):
    arrays = problem()
    tangents = tuple(np.random.default_rng(2).standard_normal(a.shape) for a in arrays[:3])

    def push(*given):
        with tf.autodiff.ForwardAccumulator(given, tensors(tangents)) as accumulator:
            found = car.rescale(*given, p=p, bounds=tensors(arrays[3:]))
        return accumulator.jvp(found)

    expected = car.rescale_jvp(*arrays[:3], *tangents, p=p, bounds=arrays[3:])
    same([mode(push)(*tensors(arrays[:3]))], [expected], **CLOSE)


@pytest.mark.parametrize(("p", "dtype"), [(2, np.float32), (2, np.float64), (0.7, np.float32)])
def test_a_saturated_row_depends_on_its_bounds_alone(p, dtype):
    arrays = tensors(out_of_reach(dtype))
    assert not pull(functools.partial(car.eta, p=p), arrays, None)[2].numpy().any()
    found = pull(functools.partial(car.rescale, p=p), arrays, None)
    assert not any(gradient.numpy().any() for gradient in found)


def per_row(function, arrays):
    return tf.vectorized_map(lambda row: function(*row), arrays)


def test_vectorized_map():
    """One row after the other; derivatives are taken inside of it, or by tf.map_fn."""
    x, delta, eps, *_ = problem()
    rows, expected = tensors((x, delta, eps)), car.rescale(x, delta, eps)
    gradient = car.rescale_vjp(x, delta, eps, 1.0).x
    same([per_row(car.rescale, rows)], [expected])
    by_eps = tf.vectorized_map(lambda e: car.eta(*rows[:2], e), rows[2])
    same([by_eps], [np.stack([car.eta(x, delta, e) for e in eps])])
    same([per_row(lambda *row: pull(car.rescale, row, None)[0], rows)], [gradient], **CLOSE)
    mapped = lambda *a: tf.map_fn(lambda r: car.rescale(*r), a, fn_output_signature=tf.float64)
    same([pull(mapped, rows, None)[0]], [gradient], **CLOSE)
    with pytest.raises(LookupError, match=r"differentiate inside of it, call tf\.map_fn"):
        pull(lambda *arrays: per_row(car.rescale, arrays), rows, None)


def test_static_shapes():
    arrays = problem()[:3]
    fixed = tf.function(car.solve).get_concrete_function(*tensors(arrays)).structured_outputs
    assert [part.shape for part in fixed] == [(3,)] * 4


def of_shapes(rows, norms):
    return [tf.TensorSpec(shape, tf.float64) for shape in ((rows, 6), (rows, 6), (norms,))]


@pytest.mark.parametrize(("rows", "norms"), [(None, None), (None, 3), (None, 1), (3, None)])
def test_a_batch_of_unknown_size(rows, norms):
    x, delta, eps, *_ = problem()
    arrays, signature = (x, delta, eps[:norms]), of_shapes(rows, norms)
    rescale = tf.function(car.rescale, signature)
    assert rescale.get_concrete_function().output_shapes.as_list() == [rows, 6]
    same([rescale(*tensors(arrays))], [car.rescale(*arrays)])
    gradient = tf.function(lambda *a: pull(car.rescale, a, None), signature)
    same(gradient(*tensors(arrays)), car.rescale_vjp(*arrays, 1.0)[:3], **CLOSE)


def test_a_batch_that_turns_out_to_be_of_another_size():
    x, delta, eps, *_ = problem()
    rescale = tf.function(car.rescale, of_shapes(None, None))
    for arrays in ((x, delta, eps[:2]), (x[:1], delta[:1], eps)):
        with pytest.raises(tf.errors.InvalidArgumentError, match="eps of shape"):
            rescale(*tensors(arrays))


@pytest.mark.parametrize(
    ("x_shape", "delta_shape", "message"),
    [
        (None, (3, 6), "x must have a known number of axes"),
        ((None, 6), (3, 6), "x and delta must share axes of unknown size"),
        ((3, None), (3, None), "x must have rows of known size"),
    ],
)
def test_unknown_shapes(x_shape, delta_shape, message):
    signature = [tf.TensorSpec(shape, tf.float64) for shape in (x_shape, delta_shape)]
    with pytest.raises(ValueError, match=message):
        tf.function(lambda x, d: car.eta(x, d, 0.1), signature).get_concrete_function()


@modes
@pytest.mark.parametrize(
    ("x_dtype", "delta_dtype", "expected"),
    [
        *PROMOTED,
        ("float64", "float32", "float64"),
        ("uint8", "int32", "float32"),
        (None, "float16", "float16"),
        (None, "int32", "float32"),
    ],
)
def test_dtypes(x_dtype, delta_dtype, expected, mode):
    values, steps = np.random.default_rng(5).integers(0, 17, (2, 4, 60))
    x = tf.cast(values, x_dtype) if x_dtype else values.tolist()
    delta, dtype = tf.cast(steps, delta_dtype), tf.as_dtype(expected).as_numpy_dtype
    call = functools.partial(car.rescale, eps=9.0, bounds=(0, [255.0]))
    found = mode(lambda delta: call(x, delta))(delta)
    same([found], [call(values.astype(dtype), steps.astype(dtype))])


@modes
@shapes
def test_shapes(x_shape, delta_shape, eps_shape, options, mode):
    rng = np.random.default_rng(6)
    arrays = rng.random(x_shape), rng.standard_normal(delta_shape), rng.random(eps_shape)
    for function in FUNCTIONS[:2]:
        call = functools.partial(function, **options)
        same([mode(call)(*tensors(arrays))], [np.asarray(call(*arrays))])
        gradients = mode(functools.partial(pull, call))(tensors(arrays), None)
        assert [g.shape for g in gradients] == [x_shape, delta_shape, eps_shape]
        assert all(np.isfinite(gradient).all() for gradient in gradients)


@modes
def test_a_bad_row_spoils_no_other(mode):
    x, delta, eps, *_ = problem()
    delta[1, 2] = np.nan
    for function, vjp in ((car.eta, car.eta_vjp), (car.rescale, car.rescale_vjp)):
        call = functools.partial(function, infeasible="nan")
        same([mode(call)(*tensors((x, delta, eps)))], [call(x, delta, eps)])
        found = mode(functools.partial(pull, call))(tensors((x, delta, eps)), None)
        same(found, vjp(x, delta, eps, 1.0, infeasible="nan")[:3], **CLOSE)
        assert np.isnan(found[0]).all(1).tolist() == [False, True, True]


@modes
@pytest.mark.parametrize(
    ("x", "eps", "options", "message"),
    [
        (3.0, 0.1, {}, "x must lie within its bounds"),
        (0.5, -1.0, {}, "eps must be finite and not negative"),
        (0.5, 99.0, {"infeasible": "raise"}, "99"),
    ],
)
def test_bad_values(x, eps, options, message, mode):
    call = mode(lambda x, delta: car.rescale(x, delta, eps, **options))
    # In a graph, it is an error of TensorFlow's.
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match=message):
        call(tf.fill((1, 2), x), tf.ones((1, 2)))


@modes
@pytest.mark.parametrize(
    ("delta", "eps", "options", "error", "message"),
    [
        (np.ones(2), 0.1, {}, TypeError, "one library, found tensorflow's in .* and numpy's in"),
        (tf.ones(2), 0.1, {"out": tf.ones(2)}, TypeError, "out must be None"),
        (tf.ones(2, tf.complex64), 0.1, {}, TypeError, "delta must hold .* complex64"),
        (tf.ones(3), 0.1, {}, ValueError, "do not broadcast"),
        ([[1], [1, 2]], 0.1, {}, TypeError, "delta must be a tensor or convert to one"),
        (["a", "b"], 0.1, {}, TypeError, "delta must hold .* string"),
        (tf.ones(2), tf.ones(3), {"axis": ()}, ValueError, "eps of shape"),
        (tf.ones(2), 0.1, {"bounds": (0, tf.ones(3))}, ValueError, "bounds of shape"),
        (tf.ones(2), 0.1, {"axis": (0, 0)}, ValueError, "repeated axis"),
        (tf.ones(2), 0.1, {"p": 0}, ValueError, "p must be in"),
    ],
)
def test_bad_arguments(delta, eps, options, error, message, mode):
    with pytest.raises(error, match=message):
        mode(lambda x: car.rescale(x, delta, eps, **options))(tf.fill(2, 0.5))


def test_xla_says_that_it_cannot():
    rescale = tf.function(car.rescale, jit_compile=True)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"unsupported operations[\s\S]*PyFunc"
    ):
        rescale(*tensors(problem()[:3]))
