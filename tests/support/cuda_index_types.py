"""Compile the kernels and print, a JSON object a line, the types that each function indexes arrays with.

numba adds and multiplies integers in 64 bits, unless all that goes in has fewer: an index of 64 bits was
computed in 64 bits. In a process of its own, as cuda_compile.py, which has the kernels.
"""

import json
import sys

from numba import cuda, types
from numba.cuda import compiler, dispatcher

from tests.support.cuda_compile import cases, is_quick

CAPABILITY = 9, 0
compile_cuda = compiler.compile_cuda


def indices_of(statement):
    """Yield the variables of an array and an index, where a statement has such."""
    value = getattr(statement, "value", None)
    if type(statement).__name__ == "SetItem":
        yield statement.target, statement.index
    elif getattr(value, "op", None) == "getitem":
        yield value.value, value.index


def spy(function, *arguments, **options):
    found = compile_cuda(function, *arguments, **options)
    typed = found.type_annotation
    for block in typed.blocks.values():
        for array, index in (pair for line in block.body for pair in indices_of(line)):
            kinds = typed.typemap[array.name], typed.typemap[index.name]
            if isinstance(kinds[0], types.Array) and isinstance(kinds[1], types.Integer):
                line = {"function": function.__name__, "bits": kinds[1].bitwidth}
                sys.stdout.write(json.dumps(line) + "\n")
    return found


def main():
    compiler.compile_cuda = dispatcher.compile_cuda = spy
    dispatcher.get_current_device = lambda: type("Device", (), {"compute_capability": CAPABILITY})
    for case in cases():
        if is_quick(case) and case.dtype == "float32" and "backward" not in case.kernel:
            signature = types.void(*case.arguments)
            cuda.compile(case.function.py_func, signature, device=False, abi="numba", cc=CAPABILITY)


if __name__ == "__main__":
    main()
