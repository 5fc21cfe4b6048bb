"""JAX: a foreign function under jit and vmap, with closed forms for derivatives of any order.

Arrays that no transformation traces are solved at once, as the NumPy arrays that they are on the CPU.
Where jit traces them, an error in values is JAX's own runtime error, with the message of ours in it, and
subnormal numbers are 0, as in all that XLA compiles. Programs for other devices than the CPU call back.
"""

from __future__ import annotations

import functools
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.dtypes import float0

from numba_car import _api
from numba_car._options import Options, Solution, pair
from numba_car._problem import batch_of
from numba_car.interop import backend_cpu, closed_form, xla_ffi
from numba_car.interop.backend_cpu import OUTPUTS, Task
from numba_car.interop.closed_form import Arrays, Setting
from numba_car.interop.protocol import one_device, prepare


class _Jax:
    """`Library` for JAX arrays and tracers."""

    eps_dtype = np.dtype(np.float64)

    def array(self, name: str, value: Any) -> Array:
        try:
            array = value if isinstance(value, Array) else jnp.asarray(value)
        except (ValueError, TypeError, OverflowError) as error:
            raise TypeError(f"{name} must be an array or convert to one: {error}") from error
        kinds = jnp.bool_, jnp.integer, jnp.floating
        if not any(jnp.issubdtype(array.dtype, kind) for kind in kinds):
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
        return array.max(axes, keepdims=True, initial=0)  # of sizes, none of which is less

    def min(self, array: Array, axes: tuple[int, ...]) -> Array:
        return array.min(axes, keepdims=True, initial=jnp.iinfo(array.dtype).max)  # of places

    def stop(self, array: Array) -> Array:
        return jax.lax.stop_gradient(array)


_jax = _Jax()


def _spelled(name: str, task: Task) -> str:
    """Say what to do in words, for a program may come to another process through JAX's cache."""
    return json.dumps([name, task._asdict()])


@functools.lru_cache
def _read(text: bytes) -> tuple[str, Task]:
    name, task = json.loads(text)
    return name, Task(**task | {"axes": tuple(task["axes"])})


def _find(text: bytes, arrays: list[Any], out: Any = None) -> tuple[Any, ...]:
    """Solve on the host for a compiled program; no function of JAX may be called here."""
    name, task = _read(text)
    x, delta, *others = arrays
    if len(others) == 1:
        others = list(np.moveaxis(others[0], -1, 0))
    return backend_cpu.compute(name, Arrays(x, delta, *others), task, out)


def _fill(text: bytes, arrays: list[Any], results: list[Any]) -> None:
    """Find the last outputs, as many as there are results."""
    found = _find(text, arrays, results[-1])
    for result, values in zip(results, found[-len(results) :], strict=True):
        if values is not result:
            with np.errstate(over="ignore"):
                result[...] = values


xla_ffi.register("numba_car", _fill)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _compute(name: str, task: Task, outputs: tuple[str, ...], arrays: Arrays) -> tuple[Array, ...]:
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    kept = batch_of(shape, tuple(len(shape) + axis for axis in task.axes), keepdims=True)
    dtype = arrays.x.dtype
    results = tuple(
        jax.ShapeDtypeStruct(
            shape if output == "out" else kept, bool if output == "saturated" else dtype
        )
        for output in outputs
    )
    x, delta, *others = arrays
    if all(array.size == 1 for array in others):  # each array takes its time
        others = [jnp.stack([array.astype(arrays.eps.dtype) for array in others], axis=-1)]
    text = _spelled(name, task)

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
    """Find the last outputs of those that there are."""
    found: tuple[Array, ...] = _compute(name, task, outputs, arrays)
    return found


@functools.partial(jax.jit, static_argnums=(0, 1))
def _push(
    name: str, task: Task, arrays: Arrays, found: tuple[Array, ...], tangents: Arrays
) -> tuple[Array, ...]:
    """Push tangents through the closed forms."""
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    setting = Setting(shape, tuple(len(shape) + axis for axis in task.axes), task.p)

    def formulas(arrays: Arrays) -> tuple[Array, ...]:
        rounded = arrays._replace(eps=arrays.eps.astype(arrays.x.dtype))
        return closed_form.outputs(_jax, name, rounded, jax.lax.stop_gradient(found), setting)

    pushed: tuple[Array, ...] = jax.jvp(formulas, (arrays,), (tangents,))[1]
    return pushed


@_solve.defjvp  # type: ignore[untyped-decorator]
def _differentiate(
    name: str,
    task: Task,
    outputs: tuple[str, ...],
    primals: tuple[Arrays],
    tangents: tuple[Arrays],
) -> tuple[tuple[Array, ...], tuple[Any, ...]]:
    found = _solve(name, task, OUTPUTS[name], *primals)
    pushed = _push(name, task, *primals, found, *tangents)
    flags = (np.zeros(flag.shape, float0) for flag in found[len(pushed) :])
    wanted = slice(-len(outputs), None)
    return found[wanted], (*pushed, *flags)[wanted]


def _device(arrays: list[Array]) -> Any:
    """Return the CPU that arrays are bound to, or None where JAX is free to choose."""
    bound = [array for array in arrays if array.committed] or arrays
    devices = {device for array in bound for device in array.devices()}
    device = one_device("arrays", devices)
    if device.platform != "cpu":
        raise NotImplementedError(
            f"arrays must be on the CPU for now, found {device}: jax.device_put brings them there"
        )
    return device if bound[0].committed else None


def _now(name: str, values: tuple[Any, ...], call: Options) -> Any:
    """Solve arrays whose values are known, as NumPy arrays."""
    device = _device([value for value in values if isinstance(value, Array)])
    eps_name = ("eps",)[: len(values) - 4]  # max_norm has none
    names = ("x", "delta", *eps_name, "the lower of bounds", "the upper of bounds")

    def is_number(name: str, value: Any) -> bool:  # which needs no trip through JAX
        return name not in ("x", "delta") and isinstance(value, (int, float))

    arrays: list[Any] = [
        value if value is None or is_number(name, value) else np.asarray(_jax.array(name, value))
        for name, value in zip(names, values, strict=True)
    ]
    x, delta, *eps, lower, upper = arrays
    dtype, _ = _jax.result_type(_jax.array("x", values[0]), _jax.array("delta", values[1]))
    is_shorter = x.dtype.kind == dtype.kind == "f" and x.dtype.itemsize <= dtype.itemsize
    if not (delta.dtype == dtype and is_shorter):
        # Else x keeps its own rounding, which tells how far it may be out of its bounds.
        x, delta = x.astype(dtype), delta.astype(dtype)
    given = [x, delta, *eps]
    options = call._replace(bounds=(lower, upper))._asdict()
    if name == "max_norm":
        del options["infeasible"], options["method"]
    found = getattr(_api, name)(*given, **options)
    put = jnp.asarray if device is None else functools.partial(jax.device_put, device=device)
    return jax.tree.map(put, found)


def _call(name: str, values: tuple[Any, ...], call: Options) -> Any:
    if not any(isinstance(value, Tracer) for value in values):
        return _now(name, values, call)
    x, delta, *eps, _, _ = values
    arguments = prepare(_jax, x, delta, eps[0] if eps else 0.0, call)
    outputs = OUTPUTS[name] if name == "solve" else OUTPUTS[name][-1:]
    solved = _solve(name, arguments.task, outputs, arguments.arrays)
    found = tuple(
        arguments.restore(_jax, output, values)
        for output, values in zip(outputs, solved, strict=True)
    )
    return Solution(*found) if name == "solve" else found[-1]


def eta(x: Any, delta: Any, eps: Any, call: Options) -> Array:
    """`numba_car.eta` for JAX arrays."""
    return _call("eta", (x, delta, eps, *pair(call.bounds)), call)


def rescale(x: Any, delta: Any, eps: Any, call: Options, out: Any = None) -> Array:
    """`numba_car.rescale` for JAX arrays."""
    if out is not None:
        raise TypeError("out must be None for JAX arrays, which nothing can be stored in")
    return _call("rescale", (x, delta, eps, *pair(call.bounds)), call)


def solve(x: Any, delta: Any, eps: Any, call: Options) -> Solution:
    """`numba_car.solve` for JAX arrays."""
    solution: Solution = _call("solve", (x, delta, eps, *pair(call.bounds)), call)
    return solution


def max_norm(x: Any, delta: Any, call: Options) -> Array:
    """`numba_car.max_norm` for JAX arrays."""
    return _call("max_norm", (x, delta, *pair(call.bounds)), call)
