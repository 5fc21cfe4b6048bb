"""PTX translated to C: a function for each of PTX's, with the variables that its registers become."""

import re
from typing import NamedTuple

from tests.support.ptx_device import arithmetic, control, rules, syntax  # noqa: F401 - two register rules


class Source(NamedTuple):
    """C of a kernel, the types of its parameters, and the bytes of its static shared memory."""

    text: str
    parameters: list[str]
    shared_bytes: int


class _Function:
    """The names of a function's registers and parameters in C."""

    def __init__(self, function, module):
        self._module = module
        self._places = {name: i for i, (_, name) in enumerate(function.parameters)}
        self._function = function
        self.leave = "return;" if function.is_entry else f"return {function.result or 0};"

    @staticmethod
    def register(name):
        """Return the variable that a register is."""
        if not re.fullmatch(r"%[\w$]+", name):
            raise NotImplementedError(f"{name} is no register that PTX declares")
        return "r_" + name[1:]

    def address(self, name):
        """Return where an array in shared memory lies."""
        if name in self._module.dynamic:
            return "(uint64_t)SHARED_BYTES"
        return f"{self._module.shared[name]}ull"

    def parameter(self, text):
        """Return the bits of a parameter, the function's own or that of a call."""
        name, _, offset = text.strip("[] ").partition("+")
        if int(offset or 0):
            raise NotImplementedError(f"a part of a parameter: {text}")
        if self._function.is_entry and name in self._places:
            return f"T->block->launch->parameters[{self._places[name]}]"
        return name

    def head(self):
        """Return the first line of the definition."""
        if self._function.is_entry:
            return "static void kernel(Thread *T)"
        given = "".join(f", uint64_t {name}" for _, name in self._function.parameters)
        return f"static uint64_t {self._function.name}(Thread *T{given})"

    def item(self, item):
        """Return the C of a part of the body."""
        match item:
            case syntax.Brace(text):
                return text
            case syntax.Label(name):
                return f"{name}:;"
            case syntax.Registers(kind, names):
                kind = "pred" if kind == "pred" else "b" + kind[1:]
                names = (
                    f"{self.register(name if name[0] == '%' else '%' + name)} = 0" for name in names
                )
                return f"{rules.c_type(kind)} {', '.join(names)};"
            case syntax.Parameter(name):
                return f"uint64_t {name} = 0;"
        return rules.translate(item, self)

    def body(self):
        """Return the lines of the definition."""
        result = self._function.result
        yield self.head() + " {"
        if result:
            yield f"uint64_t {result} = 0;"
        yield from map(self.item, self._function.body)
        yield "}"


def readable(name):
    """Return the name of a function in Python, given that of its kernel: its module's and its own."""
    parts, rest = [], name.removeprefix("_ZN")
    while found := re.match(r"\d+", rest):
        rest = rest[found.end() :]
        parts.append(rest[: int(found[0])])
        rest = rest[int(found[0]) :]
    return ".".join(parts) or name


def translate(text):
    """Return a PTX module with one kernel as C; an error names the kernel."""
    module = syntax.parse(text)
    (entry,) = (function for function in module.functions if function.is_entry)
    lines = [f"#define SHARED_BYTES {module.shared_bytes}", '#include "threads.h"']
    try:
        functions = [_Function(function, module) for function in module.functions]
        lines += [f"{function.head()};" for function in functions]
        lines += [line for function in functions for line in function.body()]
    except NotImplementedError as error:
        raise NotImplementedError(f"{error}, in {readable(entry.name)}") from None
    lines.append("void launch(Launch *l) { run(l, kernel); }\n")
    return Source("\n".join(lines), [kind for kind, _ in entry.parameters], module.shared_bytes)
