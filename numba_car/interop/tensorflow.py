"""TensorFlow: a NumPy function, in graphs too, with closed forms for derivatives of any order.

Dtypes: numbers and lists take the dtype of the other of x and delta, and integers that of a float;
different floats become float64 if one is, else float32, and so do integers alone.

Graphs call back to Python. XLA cannot: ``jit_compile=True`` raises InvalidArgumentError, "unsupported
operations ... PyFuncStateless". `tf.vectorized_map` warns, takes one element after the other, and can be
differentiated inside, but not from outside, as `tf.map_fn` can. In a graph, axes of unknown size must not
be those of a row, and x and delta must share them; those of eps and bounds are checked as it runs.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from numba_car._extras import extras_named

with extras_named(__name__):
    import tensorflow as tf
    from tensorflow.python.eager import forwardprop_util

from numba_car import _numpy
from numba_car._options import Options, Rescaled, Solution, check_no_out, names_of
from numba_car._problem import broadcasts
from numba_car.interop import backend_cpu, formulas
from numba_car.interop.backend_cpu import OUTPUTS, Task
from numba_car.interop.closed_form import Arrays
from numba_car.interop.protocol import Arguments, prepare

_KIND = "tensors, which nothing can be stored in"  # in errors

_NUMBERS = (int, float, np.generic, list, tuple)
_LOST = (
    "tf.vectorized_map loses custom gradients: differentiate inside of it, "
    "call tf.map_fn instead, or pass the whole batch, with `axis`"
)


class _TensorFlow:
    """`Library` for tensors."""

    eps_dtype = tf.float64

    def array(self, name: str, value: Any) -> tf.Tensor:
        try:
            tensor = tf.convert_to_tensor(
                np.asarray(value) if isinstance(value, _NUMBERS) else value
            )
        except (ValueError, TypeError) as error:
            raise TypeError(f"{name} must be a tensor or convert to one: {error}") from error
        if not (tensor.dtype.is_floating or tensor.dtype.is_integer or tensor.dtype.is_bool):
            raise TypeError(f"{name} must hold integers or floats, found {tensor.dtype.name}")
        if tensor.shape.rank is None:
            raise ValueError(f"{name} must have a known number of axes")
        return tensor

    def result_type(self, x: tf.Tensor, delta: tf.Tensor) -> tuple[tf.DType, str]:
        floats = {array.dtype for array in (x, delta) if array.dtype.is_floating}
        if len(floats) != 1:
            floats = {tf.float64 if tf.float64 in floats else tf.float32}
        (dtype,) = floats
        return dtype, dtype.name

    def compute_type(self, dtype: tf.DType) -> tf.DType:
        return dtype if dtype.size > 2 else tf.float32

    def cast(self, array: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
        return tf.cast(array, dtype)

    def reshape(self, array: tf.Tensor, shape: tuple[int | None, ...]) -> tf.Tensor:
        if shape == tuple(array.shape):
            return array
        if shape.count(None) > 1:
            raise ValueError(f"at most one axis may be of unknown size, found shape {shape}")
        return tf.reshape(array, [-1 if size is None else size for size in shape])

    def arange(self, n: int, like: tf.Tensor) -> tf.Tensor:  # noqa: ARG002
        return tf.range(n)

    def where(self, condition: tf.Tensor, chosen: Any, other: Any) -> tf.Tensor:
        # A graph would take every number for a float32.
        like = chosen if isinstance(chosen, tf.Tensor) else tf.convert_to_tensor(other)
        values = (tf.convert_to_tensor(value, like.dtype) for value in (chosen, other))
        return tf.where(condition, *values)

    def sum(self, array: tf.Tensor, axes: tuple[int, ...]) -> tf.Tensor:
        return tf.reduce_sum(array, axes, keepdims=True) if axes else array

    def max(self, array: tf.Tensor, axes: tuple[int, ...]) -> tf.Tensor:
        return tf.reduce_max(array, axes, keepdims=True) if axes else array

    def min(self, array: tf.Tensor, axes: tuple[int, ...]) -> tf.Tensor:
        return tf.reduce_min(array, axes, keepdims=True) if axes else array

    def stop(self, array: tf.Tensor) -> tf.Tensor:
        return tf.stop_gradient(array)


_tensorflow = _TensorFlow()


def _on_host(name: str, task: Task, sweep: int, *arrays: np.ndarray[Any, Any]) -> list[Any]:
    """Return the outputs of `backend_cpu.compute`, floats in the dtype of x."""
    x, delta, eps, *_ = arrays
    shape = eps.shape[:sweep] + np.broadcast_shapes(x.shape, delta.shape)[sweep:]
    for argument, array in zip(Arrays._fields, arrays, strict=True):
        if not broadcasts(array.shape, shape):  # a graph may have known no sizes before
            raise ValueError(
                f"{argument} of shape {array.shape} does not broadcast to x, of shape {shape}"
            )
    found = backend_cpu.compute(name, Arrays(*arrays), task)
    with np.errstate(over="ignore"):
        return [v if v.dtype == bool else v.astype(arrays[0].dtype, copy=False) for v in found]


def _find(name: str, arguments: Arguments) -> list[tf.Tensor]:
    """Return the outputs of that name, without derivatives."""
    arrays = arguments.arrays
    dtypes = [tf.bool if output == "saturated" else arrays.x.dtype for output in OUTPUTS[name]]
    solve = functools.partial(_on_host, name, arguments.task, arguments.sweep)
    found: Any = tf.numpy_function(solve, arrays, dtypes, stateful=False)
    found = (
        found if isinstance(found, list) else [found]
    )  # run eagerly, TensorFlow unpacks a list of one
    for output, values in zip(OUTPUTS[name], found, strict=True):
        values.set_shape(arguments.setting.shape_of(output))
    return list(found)


def _differentiable(
    name: str, arguments: Arguments, found: Sequence[tf.Tensor]
) -> Sequence[tf.Tensor]:
    """Return the outputs found, floats with the derivatives of their closed forms."""
    arrays, setting = arguments.arrays, arguments.setting
    if forwardprop_util.pack_tangents(list(arrays)).tangents:
        # Inside a graph, forward mode takes the tangent of a function with a custom gradient for 0.
        return formulas.with_derivatives(_tensorflow, name, arrays, found, setting)
    floats = [values for values in found if values.dtype != tf.bool]

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def solve(*arrays: tf.Tensor) -> tuple[list[tf.Tensor], Any]:
        def gradient(*upstream: tf.Tensor) -> list[tf.Tensor]:
            with tf.GradientTape() as tape:
                tape.watch(arrays)
                outputs = formulas.outputs(_tensorflow, name, Arrays(*arrays), found, setting)
            zero = tf.UnconnectedGradients.ZERO
            pulled: list[tf.Tensor] = tape.gradient(
                outputs, arrays, upstream, unconnected_gradients=zero
            )
            return pulled

        return [tf.raw_ops.PreventGradient(input=v, message=_LOST) for v in floats], gradient

    return *solve(*arrays), *found[len(floats) :]


def _of_kind(name: str, value: Any, other: Any) -> tf.Tensor:
    """Return a tensor; numbers and lists take the dtype of the other argument."""
    tensor = _tensorflow.array(name, value)
    if not isinstance(value, _NUMBERS):
        return tensor
    if isinstance(other, _NUMBERS):
        return tf.cast(tensor, tf.float32)
    dtype = tf.convert_to_tensor(other).dtype
    return tf.cast(tensor, dtype if dtype.is_floating else tf.float32)


def _prepare(name: str, x: Any, delta: Any, eps: Any, options: Options) -> Arguments:
    """Return the checked call."""
    x, delta = _of_kind("x", x, delta), _of_kind(names_of(name)[0], delta, x)
    shapes = tuple(x.shape), tuple(delta.shape)
    if shapes[0] != shapes[1] and None in shapes[0] + shapes[1]:
        raise ValueError(
            f"x and {names_of(name)[0]} must share axes of unknown size, found shapes {shapes}"
        )
    arguments = prepare(_tensorflow, x, delta, eps, options, name)
    shape, axes, _ = arguments.setting
    if None in [shape[axis] for axis in axes]:
        raise ValueError(f"x must have rows of known size, found shape {shape} and row axes {axes}")
    return arguments


@tf.autograph.experimental.do_not_convert  # type: ignore[untyped-decorator]
def _call(name: str, x: Any, delta: Any, eps: Any, options: Options) -> Any:
    """Return the result of the function of that name."""
    arguments = _prepare(name, x, delta, eps, options)
    found = _differentiable(name, arguments, _find(name, arguments))
    return arguments.restore(_tensorflow, name, found)


def eta(x: Any, delta: Any, eps: Any, options: Options) -> tf.Tensor:
    """Return `numba_car.eta` of tensors."""
    return _call("eta", x, delta, eps, options)


def rescale(x: Any, delta: Any, eps: Any, options: Options, out: Any = None) -> tf.Tensor:
    """Return `numba_car.rescale` of tensors."""
    check_no_out(out, _KIND)
    if options.step is None:
        return _call("rescale", x, delta, eps, options)
    return tf.convert_to_tensor(_on_grid("rescale", x, delta, eps, options))


def rescale_on_grid(
    x: Any, delta: Any, eps: Any, options: Options, out: Any = None
) -> Rescaled[tf.Tensor]:
    """Return `numba_car.rescale` of tensors on a grid, with full output."""
    check_no_out(out, _KIND)
    found = _on_grid("rescale_and_solve", x, delta, eps, options)
    return Rescaled(*map(tf.convert_to_tensor, found))


def _on_grid(name: str, x: Any, delta: Any, eps: Any, options: Options) -> Any:
    """Return what that function of `_numpy` gives on the grid of `options.step`."""
    values = x, delta, eps, *options.bounds
    if not all(hasattr(value, "numpy") for value in values if isinstance(value, tf.Tensor)):
        raise TypeError("step must be None in a graph: a grid has no derivatives")
    given: list[Any] = [v.numpy() if isinstance(v, tf.Tensor) else v for v in values]
    a, b, c, lower, upper = given
    return getattr(_numpy, name)(a, b, c, options._replace(bounds=(lower, upper)))


def solve(x: Any, delta: Any, eps: Any, options: Options) -> Solution[Any]:
    """Return `numba_car.solve` of tensors."""
    solution: Solution[Any] = _call("solve", x, delta, eps, options)
    return solution


def max_norm(x: Any, delta: Any, options: Options) -> tf.Tensor:
    """Return `numba_car.max_norm` of tensors."""
    return _call("max_norm", x, delta, 0.0, options)


def norm(x: Any, delta: Any, eta: Any, options: Options) -> tf.Tensor:
    """Return `numba_car.norm` of tensors."""
    return _call("norm", x, delta, eta, options)


def project(x: Any, z: Any, eps: Any, options: Options, out: Any = None) -> tf.Tensor:
    """Return `numba_car.project` of tensors."""
    check_no_out(out, _KIND)
    return _call("project", x, z, eps, options)


def maximize(x: Any, g: Any, eps: Any, options: Options, out: Any = None) -> tf.Tensor:
    """Return `numba_car.maximize` of tensors."""
    check_no_out(out, _KIND)
    return _call("maximize", x, g, eps, options)
