"""JAX: a foreign function under jit and vmap, with closed forms for derivatives of any order.

Arrays that no transformation traces are solved at once, as NumPy arrays of the same memory. Where jit traces
arrays, an error in values is JAX's runtime error with numba_car's message in it, and subnormal numbers are 0,
as in all programs that XLA compiles. Programs for other devices than the CPU call back to Python.
"""

from __future__ import annotations

import functools
import json
from typing import Any

import numpy as np

from numba_car._extras import extras_named

with extras_named(__name__):
    import jax
    import jax.numpy as jnp
    from jax import Array
    from jax.core import Tracer
    from jax.dtypes import float0

from numba_car import _numpy
from numba_car._options import Options, Rescaled, Solution, check_no_out
from numba_car.interop import backend_cpu, formulas, xla_ffi
from numba_car.interop.backend_cpu import OUTPUTS, Task
from numba_car.interop.closed_form import Arrays
from numba_car.interop.protocol import one_device, prepare

_KIND = "JAX arrays, which nothing can be stored in"  # in errors


@functools.cache
def _is_real(dtype: Any) -> bool:
    """Return whether a dtype is one of booleans, integers or floats."""
    return any(jnp.issubdtype(dtype, kind) for kind in (jnp.bool_, jnp.integer, jnp.floating))


class _Jax:
    """`Library` for JAX arrays and tracers."""

    eps_dtype = np.dtype(np.float64)

    def array(self, name: str, value: Any) -> Array:
        try:
            array = value if isinstance(value, Array) else jnp.asarray(value)
        except (ValueError, TypeError, OverflowError) as error:
            raise TypeError(f"{name} must be an array or convert to one: {error}") from error
        if not _is_real(array.dtype):
            raise TypeError(f"{name} must hold integers or floats, found dtype {array.dtype}")
        return array

    def result_type(self, x: Array, delta: Array) -> tuple[Any, str]:
        dtype = jnp.result_type(x, delta)
        dtype = dtype if jnp.issubdtype(dtype, jnp.floating) else jnp.result_type(float)
        return dtype, dtype.name

    def compute_type(self, dtype: Any) -> Any:
        return dtype if dtype.itemsize > 2 else np.dtype(np.float32)

    def cast(self, array: Array, dtype: Any) -> Array:
        return array.astype(jax.dtypes.canonicalize_dtype(dtype))  # float32 without x64

    def reshape(self, array: Array, shape: tuple[int, ...]) -> Array:
        return array.reshape(shape)

    def arange(self, n: int, like: Array) -> Array:  # noqa: ARG002
        return jnp.arange(n)

    def where(self, condition: Array, chosen: Any, other: Any) -> Array:
        return jnp.where(condition, chosen, other)

    def sum(self, array: Array, axes: tuple[int, ...]) -> Array:
        return array.sum(axes, keepdims=True)

    def max(self, array: Array, axes: tuple[int, ...]) -> Array:
        return array.max(axes, keepdims=True, initial=0)  # nothing that is compared is negative

    def min(self, array: Array, axes: tuple[int, ...]) -> Array:
        return array.min(axes, keepdims=True, initial=jnp.iinfo(array.dtype).max)  # of indices

    def stop(self, array: Array) -> Array:
        return jax.lax.stop_gradient(array)


_jax = _Jax()


def _encode(name: str, task: Task) -> str:
    """Return name and task as JSON: JAX's cache may take a program to another process."""
    return json.dumps([name, task._asdict()])


@functools.lru_cache
def _decode(text: bytes) -> tuple[str, Task]:
    """Return the name and the task that were encoded."""
    name, task = json.loads(text)
    return name, Task(**task | {"axes": tuple(task["axes"])})


def _find(text: bytes, arrays: list[Any], out: Any = None) -> tuple[Any, ...]:
    """Return the outputs of a compiled program's call; no function of JAX may be called here."""
    name, task = _decode(text)
    x, delta, *others = arrays
    if len(others) == 1:
        others = [others[0][..., index] for index in range(3)]
    return backend_cpu.compute(name, Arrays(x, delta, *others), task, out)


def _fill(text: bytes, arrays: list[Any], results: list[Any]) -> None:
    """Store the last outputs, as many as there are results."""
    found = _find(text, arrays, results[-1])
    for result, values in zip(results, found[-len(results) :], strict=True):
        if values is not result:
            with np.errstate(over="ignore"):
                result[...] = values


xla_ffi.register("numba_car", _fill)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _compute(name: str, task: Task, outputs: tuple[str, ...], arrays: Arrays) -> tuple[Array, ...]:
    """Return the last outputs of those of that name, from a foreign call in the program."""
    setting, dtype = task.setting(np.broadcast_shapes(*(a.shape for a in arrays))), arrays.x.dtype
    results = tuple(
        jax.ShapeDtypeStruct(setting.shape_of(output), bool if output == "saturated" else dtype)
        for output in outputs
    )
    x, delta, *others = arrays
    if all(array.size == 1 for array in others):  # passing one array costs less than passing three
        others = [jnp.stack([array.astype(arrays.eps.dtype) for array in others], axis=-1)]
    text = _encode(name, task)

    def on_the_cpu(*arrays: Array) -> tuple[Array, ...]:
        call = jax.ffi.ffi_call("numba_car", results, vmap_method="expand_dims")
        return tuple(call(*arrays, task=text))

    def elsewhere(*arrays: Array) -> tuple[Array, ...]:
        return tuple(jax.pure_callback(copied, results, *arrays, vmap_method="expand_dims"))

    def copied(*arrays: Any) -> tuple[Any, ...]:
        found = _find(text.encode(), [np.asarray(array) for array in arrays])
        with np.errstate(over="ignore"):
            return tuple(
                values.astype(result.dtype, copy=False)
                for values, result in zip(found[-len(results) :], results, strict=True)
            )

    # Leading axes leave those of a row where they are, counted from the last.
    found: tuple[Array, ...] = jax.lax.platform_dependent(
        x, delta, *others, cpu=on_the_cpu, default=elsewhere
    )
    return found


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def _solve(name: str, task: Task, outputs: tuple[str, ...], arrays: Arrays) -> tuple[Array, ...]:
    """Return the last outputs of those of that name, with derivatives by their closed forms."""
    found: tuple[Array, ...] = _compute(name, task, outputs, arrays)
    return found


@functools.partial(jax.jit, static_argnums=(0, 1))
def _push(
    name: str, task: Task, arrays: Arrays, found: tuple[Array, ...], tangents: Arrays
) -> tuple[Array, ...]:
    """Return the tangents of all outputs that are floats, those of their closed forms."""
    setting = task.setting(np.broadcast_shapes(*(array.shape for array in arrays)))

    def outputs(arrays: Arrays) -> tuple[Array, ...]:
        return formulas.outputs(_jax, name, arrays, found, setting)

    pushed: tuple[Array, ...] = jax.jvp(outputs, (arrays,), (tangents,))[1]
    return pushed


@_solve.defjvp  # type: ignore[untyped-decorator]
def _differentiate(
    name: str, task: Task, outputs: tuple[str, ...], primals: tuple[Arrays], tangents: tuple[Arrays]
) -> tuple[tuple[Array, ...], tuple[Any, ...]]:
    """Return what `_solve` returns, and its tangents."""
    found = _solve(name, task, OUTPUTS[name], *primals)
    pushed = _push(name, task, *primals, found, *tangents)
    flags = (np.zeros(flag.shape, float0) for flag in found[len(pushed) :])
    wanted = slice(-len(outputs), None)
    return found[wanted], (*pushed, *flags)[wanted]


def _device(arrays: list[Array]) -> Any:
    """Return the CPU that arrays are committed to, or None where JAX is free to choose."""
    bound = [array for array in arrays if array.committed] or arrays
    devices = {device for array in bound for device in array.devices()}
    device = one_device("arrays", devices)
    if device.platform != "cpu":
        raise NotImplementedError(
            f"arrays must be on the CPU for now, found {device}: jax.device_put brings them there"
        )
    return device if bound[0].committed else None


def _solve_now(name: str, arguments: tuple[Any, ...], options: Options) -> Any:
    """Return the result for arrays whose values are known, as `_numpy` finds it."""
    values = *arguments, *options.bounds
    device = _device([value for value in values if isinstance(value, Array)])
    x, delta, *eps = arguments
    x, delta = _jax.array("x", x), _jax.array("delta", delta)
    dtype, _ = _jax.result_type(x, delta)
    x, delta = np.asarray(x), np.asarray(delta)
    is_no_wider = x.dtype.kind == dtype.kind == "f" and x.dtype.itemsize <= dtype.itemsize
    if not (delta.dtype == dtype and is_no_wider):
        # Else x keeps its own rounding, which tells how far it may be out of its bounds.
        x, delta = x.astype(dtype), delta.astype(dtype)

    def as_numpy(name: str, value: Any) -> Any:
        """Return a number as it is, and all else as an array."""
        is_known = value is None or isinstance(value, (int, float))
        return value if is_known else np.asarray(_jax.array(name, value))

    eps = [as_numpy("eps", value) for value in eps]
    lower, upper = options.bounds
    bounds = as_numpy("the lower of bounds", lower), as_numpy("the upper of bounds", upper)
    found = getattr(_numpy, name)(x, delta, *eps, options._replace(bounds=bounds))
    put = jnp.asarray if device is None else functools.partial(jax.device_put, device=device)
    return jax.tree.map(put, found)


def _call(name: str, arguments: tuple[Any, ...], options: Options) -> Any:
    """Return the result of the function of that name; its arguments are x, delta and perhaps eps."""
    if not any(isinstance(value, Tracer) for value in (*arguments, *options.bounds)):
        return _solve_now(name, arguments, options)
    x, delta, *eps = arguments
    prepared = prepare(_jax, x, delta, eps[0] if eps else 0.0, options, name)
    outputs = OUTPUTS[name] if name == "solve" else OUTPUTS[name][-1:]
    return prepared.restore(_jax, name, _solve(name, prepared.task, outputs, prepared.arrays))


def eta(x: Any, delta: Any, eps: Any, options: Options) -> Array:
    """Return `numba_car.eta` of JAX arrays."""
    return _call("eta", (x, delta, eps), options)


def rescale(x: Any, delta: Any, eps: Any, options: Options, out: Any = None) -> Array:
    """Return `numba_car.rescale` of JAX arrays."""
    check_no_out(out, _KIND)
    if options.step is None:
        return _call("rescale", (x, delta, eps), options)
    return jnp.asarray(_on_grid("rescale", x, delta, eps, options))


def rescale_on_grid(
    x: Any, delta: Any, eps: Any, options: Options, out: Any = None
) -> Rescaled[Array]:
    """Return `numba_car.rescale` of JAX arrays on a grid, with full output."""
    check_no_out(out, _KIND)
    return Rescaled(*map(jnp.asarray, _on_grid("rescale_and_solve", x, delta, eps, options)))


def _on_grid(name: str, x: Any, delta: Any, eps: Any, options: Options) -> Any:
    """Return what that function of `_numpy` gives on the grid of `options.step`."""
    values = x, delta, eps, *options.bounds
    if any(isinstance(value, Tracer) for value in values):
        raise TypeError("step must be None where JAX traces a call: a grid has no derivatives")
    given: list[Any] = [np.asarray(v) if isinstance(v, Array) else v for v in values]
    a, b, c, lower, upper = given
    return getattr(_numpy, name)(a, b, c, options._replace(bounds=(lower, upper)))


def solve(x: Any, delta: Any, eps: Any, options: Options) -> Solution[Any]:
    """Return `numba_car.solve` of JAX arrays."""
    solution: Solution[Any] = _call("solve", (x, delta, eps), options)
    return solution


def max_norm(x: Any, delta: Any, options: Options) -> Array:
    """Return `numba_car.max_norm` of JAX arrays."""
    return _call("max_norm", (x, delta), options)


def norm(x: Any, delta: Any, eta: Any, options: Options) -> Array:
    """Return `numba_car.norm` of JAX arrays."""
    return _call("norm", (x, delta, eta), options)


def project(x: Any, z: Any, eps: Any, options: Options, out: Any = None) -> Array:
    """Return `numba_car.project` of JAX arrays."""
    check_no_out(out, _KIND)
    return _call("project", (x, z, eps), options)


def maximize(x: Any, g: Any, eps: Any, options: Options, out: Any = None) -> Array:
    """Return `numba_car.maximize` of JAX arrays."""
    check_no_out(out, _KIND)
    return _call("maximize", (x, g, eps), options)
