"""JAX: the same answers, under every transformation, and derivatives of any order."""

import functools
import importlib
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import numba_car as car
from tests.support.frameworks import (
    CLOSE,
    POWERS,
    PROMOTED,
    out_of_reach,
    powers,
    problem,
    second_derivative,
    shapes,
)

jax = pytest.importorskip("jax", reason="JAX is not installed")
import jax.numpy as jnp
from jax import export
from jax.test_util import check_grads

from numba_car.interop import xla_ffi

# Programs here are compiled, and run once.
jax.config.update("jax_disable_most_optimizations", True)

FUNCTIONS = (car.eta, car.rescale, car.solve, car.max_norm)
functions = pytest.mark.parametrize("function", FUNCTIONS)
compiled = pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def on_jax(arrays):
    return tuple(map(jnp.asarray, arrays))


def bound(function, **options):
    """The function of all five arrays, or of those that it has."""
    if function is car.max_norm:
        return lambda x, delta, _, low, high: function(x, delta, bounds=(low, high), **options)
    return lambda x, delta, eps, low, high: function(x, delta, eps, bounds=(low, high), **options)


def same(found, expected, **tolerance):
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert isinstance(a, jax.Array)
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        if tolerance:
            np.testing.assert_allclose(a, b, **tolerance)
        else:
            np.testing.assert_array_equal(a, b)


@compiled
@powers
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_are_those_of_numpy(dtype, p, compiled):
    arrays = problem(dtype)
    call = lambda *arrays: [bound(function, p=p)(*arrays) for function in FUNCTIONS]
    found, expected = (jax.jit(call) if compiled else call)(*on_jax(arrays)), call(*arrays)
    same(found, expected)
    assert isinstance(found[2], type(expected[2]))


@functions
def test_vmap_over_rows_and_over_one_argument(function):
    arrays = problem()
    call = bound(function)
    for_rows = jax.vmap(call, in_axes=(0, 0, 0, 0, None))
    same(for_rows(*on_jax(arrays)), call(*arrays))
    for place in range(5):
        scales = np.linspace(0.9, 1, 4) if place in (0, 1, 2) else np.linspace(1, 1.1, 4)
        batch = np.multiply.outer(scales, arrays[place])
        several = [(*arrays[:place], one, *arrays[place + 1 :]) for one in batch]
        axes = tuple(0 if i == place else None for i in range(5))
        if function is car.max_norm and place == 2:
            continue
        mapped = jax.jit(jax.vmap(call, in_axes=axes))
        given = (*arrays[:place], batch, *arrays[place + 1 :])
        expected = jax.tree.map(lambda *a: np.stack(a), *(call(*one) for one in several))
        same(mapped(*on_jax(given)), expected)


def test_vmap_of_vmap_and_another_axis():
    x, delta, *_ = problem(shape=(3, 8))
    cube, steps = x.reshape(3, 2, 4), delta.reshape(3, 2, 4)
    nested = jax.vmap(jax.vmap(car.eta, (0, 0, None)), (0, 0, None))
    same(nested(*on_jax((cube, steps)), 0.2), car.eta(cube, steps, 0.2, axis=2))
    last = jax.vmap(car.rescale, (2, 2, None), 2)
    expected = np.stack([car.rescale(cube[..., i], steps[..., i], 0.2) for i in range(4)], 2)
    same(last(*on_jax((cube, steps)), 0.2), expected)


@pytest.mark.parametrize(
    ("p", "dtype", "compiled"),
    [(2, np.float32, True), (2, np.float64, False), *((p, np.float64, True) for p in POWERS)],
)
def test_first_derivatives_are_the_closed_forms(p, dtype, compiled):
    arrays = problem(dtype)
    rng = np.random.default_rng(1)
    of_eta, of_out = (rng.standard_normal(size).astype(dtype) for size in (3, (3, 6)))

    def total(*arrays):
        both = of_eta * bound(car.eta, p=p)(*arrays), of_out * bound(car.rescale, p=p)(*arrays)
        return both[0].sum() + both[1].sum()

    gradient = jax.grad(total, range(5))
    found = (jax.jit(gradient) if compiled else gradient)(*on_jax(arrays))
    options = {"p": p, "bounds": arrays[3:]}
    expected = map(
        np.add,
        car.eta_vjp(*arrays[:3], of_eta, **options),
        car.rescale_vjp(*arrays[:3], of_out, **options),
    )
    same(found, tuple(expected), **(CLOSE if dtype is np.float64 else {"rtol": 2e-4, "atol": 1e-5}))


@powers
def test_forward_mode(p):
    arrays = problem()
    tangents = tuple(np.random.default_rng(2).standard_normal(a.shape) for a in arrays[:3])
    options = {"p": p, "bounds": arrays[3:]}
    call = functools.partial(car.rescale, p=p, bounds=on_jax(arrays[3:]))
    found = jax.jvp(call, on_jax(arrays[:3]), on_jax(tangents))[1]
    same(found, car.rescale_jvp(*arrays[:3], *tangents, **options), **CLOSE)


@pytest.mark.parametrize("mode", ["fwd", "rev"])
def test_second_derivatives_by_check_grads(mode):
    @jax.jit
    def call(*arrays):
        solution = bound(car.solve)(*arrays)
        return bound(car.rescale)(*arrays), solution[:3]

    check_grads(call, on_jax(problem()), order=2, modes=(mode,), atol=1e-3, rtol=1e-3)


@powers
def test_second_derivatives_are_differences_of_the_first(p):
    """Forward over backward."""
    (x, delta, eps, bounds), weights, tangents, expected = second_derivative(p)

    def total(x, delta):
        v = car.rescale(x, delta, jnp.asarray(eps), p=p, bounds=on_jax(bounds))
        return (weights * v**3).sum()

    gradient = jax.grad(total, (0, 1))
    push = jax.jit(lambda *arrays: jax.jvp(gradient, arrays, on_jax(tangents))[1])
    found = np.stack(push(*on_jax((x, delta))))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("p", "dtype"), [(2, np.float32), (2, np.float64), (0.7, np.float32)])
def test_a_saturated_row_depends_on_its_bounds_alone(p, dtype):
    arrays = on_jax(out_of_reach(dtype))
    by_eta = jax.jit(jax.grad(lambda *a: car.eta(*a, p=p).sum(), 2))(*arrays)
    by_out = jax.jit(jax.grad(lambda *a: car.rescale(*a, p=p).sum(), (0, 1, 2)))(*arrays)
    assert not any(gradient.any() for gradient in (by_eta, *by_out))


@compiled
@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize(
    ("x_dtype", "delta_dtype", "expected"),
    [*PROMOTED, ("uint8", "int32", float)],
)
def test_dtypes_are_promoted_as_by_jax(x_dtype, delta_dtype, expected, x64, compiled):
    values, steps = np.random.default_rng(5).integers(0, 17, (2, 4, 60))
    with jax.enable_x64(x64):
        x, delta = jnp.asarray(values, x_dtype), jnp.asarray(steps, delta_dtype)
        dtype = jnp.result_type(expected)
        call = functools.partial(car.rescale, eps=9.0, bounds=(0, 255))
        found = (jax.jit(call) if compiled else call)(x, delta)
        same(found, call(values.astype(dtype), steps.astype(dtype)))


@compiled
@pytest.mark.parametrize("x64", [False, True])
def test_numbers_and_lists_adapt(x64, compiled):
    rows = [[0.25, 0.5], [0.75, 0.125]]
    with jax.enable_x64(x64):
        for dtype in ("float32", "bfloat16"):
            delta = jnp.asarray(rows, dtype)
            call = functools.partial(car.rescale, 0.5, eps=0.25, bounds=(0, [1.0, 0.75]))
            found = (jax.jit(call) if compiled else call)(delta)
            same(found, call(np.asarray(delta, np.float32)).astype(dtype))
        call = lambda delta: car.eta(rows, delta, [0.25, 0.5])
        found = (jax.jit(call) if compiled else call)(jnp.ones((2, 2)))
        expected = car.eta(np.asarray(rows, found.dtype), np.ones((2, 2), found.dtype), [0.25, 0.5])
        same(found, expected)


@compiled
@shapes
def test_shapes(x_shape, delta_shape, eps_shape, options, compiled):
    rng = np.random.default_rng(6)
    x, delta, eps = rng.random(x_shape), rng.standard_normal(delta_shape), rng.random(eps_shape)
    call = lambda *arrays: [function(*arrays, **options) for function in FUNCTIONS[:3]]
    found = (jax.jit(call) if compiled else call)(*on_jax((x, delta, eps)))
    same(found, jax.tree.map(np.asarray, call(x, delta, eps)))
    if not compiled:
        return
    gradients = jax.jit(jax.grad(lambda *a: car.rescale(*a, **options).sum(), (0, 1, 2)))
    same(
        gradients(*on_jax((x, delta, eps))),
        tuple(map(np.zeros, (x_shape, delta_shape, eps_shape))),
        atol=99,
    )


@compiled
def test_a_bad_row_spoils_no_other(compiled):
    x, delta, eps, *_ = problem()
    clean = car.rescale(x, delta, eps, infeasible="nan")
    delta[1, 2] = np.nan
    for function in FUNCTIONS[:3]:
        call = functools.partial(function, infeasible="nan")
        found = (jax.jit(call) if compiled else call)(*on_jax((x, delta, eps)))
        same(found, call(x, delta, eps))
    total = lambda x: car.rescale(x, *on_jax((delta, eps)), infeasible="nan").sum()
    gradient = jax.grad(jax.jit(total) if compiled else total)(jnp.asarray(x))
    np.testing.assert_array_equal(np.isnan(gradient).all(1), [False, True, True])
    np.testing.assert_array_equal(np.isnan(clean).all(1), [False, False, True])
    expected = car.rescale_vjp(x, delta, eps, 1.0, infeasible="nan").x
    np.testing.assert_allclose(gradient[0], expected[0], atol=1e-12)


@compiled
@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"x": 3.0}, {}, "x must lie within its bounds"),
        ({"eps": -1.0}, {}, "eps must be finite and not negative"),
        ({"eps": 99.0}, {"infeasible": "raise"}, "99"),
    ],
)
def test_bad_values(change, options, message, compiled):
    values = {"x": 0.5, "delta": 1.0, "eps": 0.1} | change
    arrays = {name: jnp.full((1, 2) if name != "eps" else (), v) for name, v in values.items()}
    call = lambda **arrays: jax.block_until_ready(car.rescale(**arrays, **options))
    # In a compiled program, every error is JAX's own.
    with pytest.raises(jax.errors.JaxRuntimeError if compiled else ValueError, match=message):
        jax.block_until_ready((jax.jit(call) if compiled else call)(**arrays))


@compiled
@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((np.ones(2), 0.1), {}, TypeError, "one library, found jax's in .* and numpy's in"),
        ((jnp.ones(2), 0.1), {"out": np.ones(2)}, TypeError, "one library|out must be None"),
        ((jnp.ones(2), 0.1), {"out": jnp.ones(2)}, TypeError, "out must be None"),
        ((jnp.ones(2, complex), 0.1), {}, TypeError, "delta must hold .* complex"),
        ((jnp.ones(3), 0.1), {}, ValueError, "do not broadcast"),
        (([[1], [1, 2]], 0.1), {}, TypeError, "delta"),
        ((jnp.ones(2), jnp.ones(3)), {"axis": ()}, ValueError, "eps of shape"),
        ((jnp.ones(2), 0.1), {"bounds": (0, jnp.ones(3))}, ValueError, "bounds of shape"),
        ((jnp.ones(2), 0.1), {"axis": 1}, ValueError, "axis 1 is out of bounds"),
        ((jnp.ones(2), 0.1), {"p": 0}, ValueError, "p must be in"),
    ],
)
def test_bad_arguments(arguments, options, error, message, compiled):
    call = lambda x: car.rescale(x, *arguments, **options)
    with pytest.raises(error, match=message):
        (jax.jit(call) if compiled else call)(jnp.full(2, 0.5))


DEVICES = """
import jax, numba_car as car
first, second = jax.devices()
x, delta = (jax.device_put(jax.numpy.full((2, 4), v), second) for v in (0.5, 1.0))
assert car.rescale(x, delta, 0.1).devices() == {second}
assert car.solve(x, [1.0] * 4, 0.1).eta.devices() == {second}
spread = jax.device_put(x, jax.NamedSharding(jax.make_mesh((2,), ("i",)), jax.P("i")))
for one, other in ((x, jax.device_put(delta, first)), (spread, spread)):
    try:
        car.rescale(one, other, 0.1)
    except TypeError as error:
        print(error)
"""


def test_devices():
    """Results stay where the arrays are; arrays in two places are refused."""
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    command = [sys.executable, "-c", DEVICES]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert (
        found.stdout.splitlines() == ["arrays must be on one device, found ['cpu:0', 'cpu:1']"] * 2
    )


def step(n, seed=0, dtype=np.float32):
    """Rows of x and delta of any length."""
    rng = np.random.default_rng(seed)
    return rng.random((3, n), dtype), rng.standard_normal((3, n), dtype)


@pytest.mark.parametrize("x_shape", [(3, 70_000), (1, 1), (1, 5), ()])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_and_small_programs(x_shape, dtype):
    rng = np.random.default_rng(7)
    x, delta = rng.random(x_shape, dtype), np.asarray(rng.random(x_shape, dtype) - 0.5)
    axis = None if x_shape else ()
    call = lambda x, delta: [function(x, delta, 0.2, axis=axis) for function in FUNCTIONS[:3]]
    same(jax.jit(call)(*on_jax((x, delta))), jax.tree.map(np.asarray, call(x, delta)))


def test_a_compiled_program_goes_on_after_an_error():
    x, delta = step(6)
    compiled = jax.jit(lambda x, delta: car.rescale(x, delta, 0.5))
    # From the second call on, JAX raises ValueError.
    errors = jax.errors.JaxRuntimeError, ValueError
    for _ in range(3):
        with pytest.raises(errors, match=r"ValueError: x must lie .*np\.clip"):
            jax.block_until_ready(compiled(*on_jax((x + 2, delta))))
        same(compiled(*on_jax((x, delta))), car.rescale(x, delta, 0.5))


def test_threads_share_a_program():
    compiled = jax.jit(lambda x, delta: car.rescale(x, delta, 0.5))
    start = threading.Barrier(4)

    def work(seed):
        x, delta = step(5_000, seed)
        given, expected = on_jax((x, delta)), car.rescale(x, delta, 0.5)
        start.wait()
        return all(np.array_equal(compiled(*given), expected) for _ in range(50))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


def test_donated_arrays():
    x, delta = step(100)
    compiled = jax.jit(lambda x, delta: car.rescale(x, delta, 0.5), donate_argnums=0)
    given = jnp.array(x)
    same(compiled(given, jnp.asarray(delta)), car.rescale(x, delta, 0.5))
    assert given.is_deleted()


def test_compiled_and_exported_ahead_of_time():
    x, delta = step(20)
    given, expected = on_jax((x, delta)), car.solve(x, delta, 0.5, p=3)
    jitted = jax.jit(lambda x, delta: tuple(car.solve(x, delta, 0.5, p=3)))
    same(jitted.lower(*given).compile()(*given), tuple(expected))
    allowed = [export.DisabledSafetyCheck.custom_call("numba_car")]
    exported = export.export(jitted, disabled_checks=allowed)(*given)
    same(exported.call(*given), tuple(expected))


def test_other_devices_call_back(monkeypatch):
    choose = lambda *arrays, cpu, default: default(*arrays)
    monkeypatch.setattr(jax.lax, "platform_dependent", choose)
    arrays = problem()
    for function in FUNCTIONS:
        call = bound(function, p=2.75)  # as no other test has compiled
        same(jax.jit(call)(*on_jax(arrays)), call(*arrays))
        for_rows = jax.jit(jax.vmap(call, in_axes=(0, 0, 0, 0, None)))
        same(for_rows(*on_jax(arrays)), call(*arrays))


def test_the_module_may_be_reloaded():
    """As notebooks do; programs that were compiled before go on."""
    x, delta = step(6)
    compiled = jax.jit(lambda x, delta: car.rescale(x, delta, 0.5))
    expected = compiled(*on_jax((x, delta)))
    importlib.reload(sys.modules["numba_car.interop.jax"])
    same(compiled(*on_jax((x, delta))), expected)
    same(jax.jit(lambda x, delta: car.rescale(x, delta, 0.5))(*on_jax((x, delta))), expected)


def test_an_interrupt_before_the_first_statement(monkeypatch):
    """What XLA is then told is an error, not chance."""
    x, delta = step(6)
    compiled = jax.jit(lambda x, delta: car.rescale(x, delta, 0.5))
    given = on_jax((x, delta))
    jax.block_until_ready(compiled(*given))
    ignored = []
    monkeypatch.setattr(sys, "unraisablehook", lambda event: ignored.append(event.exc_type))

    def interrupt(frame, *_):
        if frame.f_code.co_name == "answer":
            raise KeyboardInterrupt

    tracer = sys.gettrace()  # that of coverage, say
    sys.settrace(interrupt)
    try:
        with pytest.raises((jax.errors.JaxRuntimeError, ValueError), match="interrupted"):
            jax.block_until_ready(compiled(*given))
    finally:
        sys.settrace(tracer)
    assert ignored == [KeyboardInterrupt]
    same(compiled(*given), car.rescale(x, delta, 0.5))


def test_an_interrupt_later_on():
    def interrupted(*_):
        raise KeyboardInterrupt("here")

    assert "KeyboardInterrupt: here" in error_of("interrupted", interrupted)


def test_an_unknown_interface_is_refused(monkeypatch):
    describe = xla_ffi._describe
    monkeypatch.setattr(xla_ffi, "_describe", lambda *asked: describe(*asked) and False)
    assert "does not know the XLA interface" in error_of("unknown", lambda *_: None)


def error_of(name, function):
    xla_ffi.register(name, function)
    call = jax.ffi.ffi_call(name, jax.ShapeDtypeStruct((), np.float32))
    with pytest.raises((jax.errors.JaxRuntimeError, ValueError)) as caught:
        jax.block_until_ready(jax.jit(lambda x: call(x, task=""))(np.float32(1)))
    return str(caught.value)


CACHED = """
import sys, jax, numpy as np, numba_car as car
x, delta = np.full((1, 4), 0.5, "f"), np.array([[1, 2, 3, 4]], "f")
for p in map(float, sys.argv[1:]):
    found = jax.jit(lambda x, delta: car.eta(x, delta, 0.5, p=p))(x, delta)
    assert np.array_equal(found, car.eta(x, delta, 0.5, p=p)), (p, found)
"""


def test_programs_in_a_cache_serve_other_processes(tmp_path):
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    found = []
    for orders in (["1", "2"], ["3", "2", "1"]):
        command = [sys.executable, "-c", CACHED, *orders]
        subprocess.run(command, env=environment, check=True)
        found.append({path.name for path in tmp_path.glob("*lambda*-cache")})
    assert len(found[0]) == 2
    assert len(found[1] - found[0]) == 1  # that of p = 3: those of 2 and 1 were there
