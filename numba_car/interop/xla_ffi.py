"""XLA's foreign function interface: programs that XLA compiled for the CPU call Python.

The structures are those of xla/ffi/api/c_api.h, which comes with jaxlib. What is used of them has been
the same since version 0.1 of the interface, that of jaxlib 0.8.0.
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Callable
from ctypes import POINTER, c_char, c_char_p, c_int, c_int64, c_size_t, c_void_p
from typing import Any

import jax
import numpy as np
from llvmlite import binding, ir

from numba_car._layout import Array, DType

Function = Callable[[bytes, list[Array], list[Array]], None]

# Of what XLA has, the dtypes that are computed in and returned.
_DTYPES = {1: np.dtype(np.bool_), 11: np.dtype(np.float32), 12: np.dtype(np.float64)}
_INVALID_ARGUMENT, _INTERNAL = 3, 13  # kinds of errors
_METADATA = 1  # a kind of extension


def _structure(name: str, **fields: Any) -> Any:
    """Return the type of a C structure with these fields, in order."""
    return type(name, (ctypes.Structure,), {"_fields_": list(fields.items())})


_START = {"struct_size": c_size_t, "extension": c_void_p}
_Version = _structure("_Version", **_START, major=c_int, minor=c_int)
_Metadata = _structure("_Metadata", struct_size=c_size_t, version=_Version)
_Extension = _structure(
    "_Extension", struct_size=c_size_t, kind=c_int, next=c_void_p, metadata=POINTER(_Metadata)
)
_Error = _structure("_Error", **_START, message=c_char_p, kind=c_int)
_CreateError = ctypes.PYFUNCTYPE(c_void_p, POINTER(_Error))
_Api = _structure("_Api", **_START, version=_Version, internal=c_void_p, create_error=_CreateError)
_Buffer = _structure(
    "_Buffer", **_START, dtype=c_int, data=c_void_p, rank=c_int64, dims=POINTER(c_int64)
)
_Buffers = _structure(
    "_Buffers", **_START, size=c_int64, kinds=c_void_p, items=POINTER(POINTER(_Buffer))
)
_Text = _structure("_Text", start=c_void_p, size=c_size_t)
_Texts = _structure(
    "_Texts", **_START, size=c_int64, kinds=c_void_p, names=c_void_p, items=POINTER(POINTER(_Text))
)
_Call = _structure(
    "_Call",
    **_START,
    api=POINTER(_Api),
    context=c_void_p,
    stage=c_int,
    arguments=_Buffers,
    results=_Buffers,
    attributes=_Texts,
)


def _requested_metadata(call: Any) -> Any:
    """Return the metadata for a handler to fill where XLA asks for it, or None where XLA wants results."""
    if not call.extension:
        return None
    extension = ctypes.cast(call.extension, POINTER(_Extension)).contents
    return extension.metadata.contents if extension.kind == _METADATA else None


def _describe(call: Any, metadata: Any) -> bool:
    """Return whether XLA's structures are those of this module; store the interface's version in the metadata."""
    version = metadata.version
    # With another version than its own, XLA may run no program at all; jaxlib 0.8.0 does not say its own.
    own = call.api.contents.version if call.api else _Version(major=0, minor=1)
    version.major, version.minor = own.major, own.minor
    parts = call, call.arguments, call.results, call.attributes
    return own.major == 0 and all(part.struct_size == ctypes.sizeof(part) for part in parts)


@functools.lru_cache
def _memory(dtype: int, shape: tuple[int, ...]) -> tuple[Any, DType]:
    """Return the C type of a buffer's memory, and NumPy's dtype for XLA's."""
    known = _DTYPES[dtype]
    return c_char * (math.prod(shape) * known.itemsize), known


def _array(item: Any) -> Array:
    """Return a buffer as an array, which shares its memory."""
    buffer = item.contents
    shape = tuple(buffer.dims[: buffer.rank])
    memory, dtype = _memory(buffer.dtype, shape)
    return np.ndarray(shape, dtype, memory.from_address(buffer.data or 0))


def _error(message: str, kind: int) -> Any:
    """Return the structure from which XLA makes an error of that kind."""
    text = message.encode(errors="replace")
    return _Error(struct_size=ctypes.sizeof(_Error), message=text, kind=kind)


def _guarded(python: Any) -> tuple[int, list[Any]]:
    """Return the address of a compiled handler that calls `python`, and the objects that must live as long.

    An interrupt may stop a Python function before its first `try`. ctypes would then return uninitialised
    memory, which XLA would take for success, or for the address of an error, and crash. Hence `python` stores
    its answer; where it has stored none, the handler makes an error by itself.
    """
    error = _error("numba_car was interrupted by the exception that Python printed", _INTERNAL)
    word = ir.IntType(64)
    answer = ir.Function(ir.Module(), ir.FunctionType(word, [word]), "answer")
    (call,) = answer.args
    code = ir.IRBuilder(answer.append_basic_block())

    def function(address: Any, *types: Any) -> Any:
        return code.inttoptr(address, ir.FunctionType(*types).as_pointer())

    def load(address: Any, offset: int) -> Any:
        return code.load(code.inttoptr(code.add(address, word(offset)), word.as_pointer()))

    none = word(1)  # no pointer is odd
    reply = code.alloca(word)
    code.store(none, reply)
    address = word(ctypes.cast(python, c_void_p).value)
    code.call(function(address, ir.VoidType(), [word] * 2), [call, code.ptrtoint(reply, word)])
    found = code.load(reply)
    with code.if_then(code.icmp_unsigned("==", found, none)):
        create = load(load(call, _Call.api.offset), _Api.create_error.offset)
        code.ret(code.call(function(create, word, [word]), [word(ctypes.addressof(error))]))
    code.ret(found)
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_default_triple().create_target_machine()
    engine = binding.create_mcjit_compiler(binding.parse_assembly(str(answer.module)), machine)
    engine.finalize_object()
    return engine.get_function_address(answer.name), [python, error, engine]


_kept: list[Any] = []
_functions: dict[str, Function] = {}  # by the name that compiled programs know them by


def register(name: str, function: Function) -> None:
    """Register function(attribute, arguments, results) for compiled programs; the function fills its results."""
    is_new = name not in _functions
    _functions[name] = function
    if not is_new:  # the module that registers it was reloaded, and XLA takes no name twice
        return
    is_known = False

    def answer(pointer: Any, reply: Any) -> None:
        nonlocal is_known
        call, error = pointer.contents, None
        try:
            if (metadata := _requested_metadata(call)) is not None:
                is_known = _describe(call, metadata)
            elif not is_known:
                raise NotImplementedError("numba_car does not know the XLA interface of this JAX")
            else:
                text = call.attributes.items[0].contents
                arguments, results = call.arguments, call.results
                _functions[name](
                    ctypes.string_at(text.start, text.size),
                    [_array(item) for item in arguments.items[: arguments.size]],
                    [_array(item) for item in results.items[: results.size]],
                )
        except BaseException as caught:  # noqa: BLE001
            kind = _INVALID_ARGUMENT if isinstance(caught, ValueError) else _INTERNAL
            described = _error(f"{type(caught).__name__}: {caught}", kind)
            error = call.api.contents.create_error(described)
        reply[0] = error

    python = ctypes.CFUNCTYPE(None, POINTER(_Call), POINTER(c_void_p))(answer)
    address, kept = _guarded(python)
    _kept.extend(kept)
    jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(address), platform="cpu")
