"""PTX text as functions, declarations and instructions: what is read of it, and nothing of what it means."""

import re
from typing import NamedTuple

_COMMENT = re.compile(r"//[^\n]*|\0")
_FUNCTION = re.compile(
    r"\.(?P<kind>entry|func)\s*(?:\(\s*\.param\s+\.\w+\s+(?P<result>[\w$]+)\s*\))?"
    r"\s*(?P<name>[\w$]+)\s*\((?P<parameters>[^)]*)\)(?P<after>[^{;]*)(?P<end>[{;])"
)
_PARAMETER = re.compile(r"\.param\s+(?:\.align\s+\d+\s+)?\.(\w+)\s+([\w$]+)")
_SHARED = re.compile(
    r"(?P<extern>\.extern\s+)?\.shared\s+\.align\s+(?P<align>\d+)\s+\.b8\s+(?P<name>[\w$]+)\[(?P<size>\d*)\]"
)
_UNKNOWN_DATA = re.compile(r"\.(?:global|const|local)\s+\.align[^;]*")
_ITEM = re.compile(r"\s*(?:(?P<brace>[{}])|(?P<label>[\w$]+):(?!:)|(?P<statement>[^;]+);)")
_GUARD = re.compile(r"@(!?)\s*(%\w+)\s+")
_REGISTERS = re.compile(r"\.reg\s+\.(\w+)\s+(.+)")
_RANGE = re.compile(r"(%[\w$]+)<(\d+)>")
_LOCAL = re.compile(r"\.param\s+(?:\.align\s+\d+\s+)?\.\w+\s+([\w$]+)")


class Brace(NamedTuple):
    """The beginning or the end of a scope."""

    text: str


class Label(NamedTuple):
    """A place to branch to."""

    name: str


class Registers(NamedTuple):
    """Registers of one type."""

    kind: str
    names: list[str]


class Parameter(NamedTuple):
    """A value that is passed to a function or returned by it, which the caller declares."""

    name: str


class Instruction(NamedTuple):
    """An instruction: `guard` is the register that must be true, after "!" false, or empty."""

    line: int
    guard: str
    opcode: str
    operands: list[str]


class Function(NamedTuple):
    """A kernel, or a function that kernels call."""

    name: str
    is_entry: bool
    result: str | None
    parameters: list[tuple[str, str]]  # type and name
    body: list[Brace | Label | Registers | Parameter | Instruction]


class Module(NamedTuple):
    """Functions, the places of shared arrays, their bytes together, and names for dynamic shared memory."""

    functions: list[Function]
    shared: dict[str, int]
    shared_bytes: int
    dynamic: set[str]


def _split(text):
    """Return operands: what commas divide outside of brackets."""
    return [part.strip() for part in re.split(r",(?![^{\[(]*[}\])])", text) if part.strip()]


def _names(text):
    """Yield the registers of a declaration."""
    for name in _split(text):
        if found := _RANGE.fullmatch(name):
            yield from (f"{found[1]}{i}" for i in range(int(found[2])))
        else:
            yield name


def _statement(text, line):
    """Return what a statement declares or does, or None for what only debuggers read."""
    if found := _REGISTERS.fullmatch(text):
        return Registers(found[1], list(_names(found[2])))
    if found := _LOCAL.fullmatch(text):
        return Parameter(found[1])
    if text.startswith((".shared", ".loc", ".pragma")):
        return None
    guard = ""
    if found := _GUARD.match(text):
        guard, text = found[1] + found[2], text[found.end() :]
    opcode, _, operands = text.partition(" ")
    return Instruction(line, guard, opcode, _split(operands))


def _body(text, start):
    """Return the items of a function's body, and where it ends."""
    items, depth, place, counted, line = [], 1, start, 0, 1
    while depth:
        found = _ITEM.match(text, place)
        begin, place = found.start(found.lastgroup), found.end()
        line, counted = line + text.count("\n", counted, begin), begin
        if found["brace"]:
            depth += 1 if found["brace"] == "{" else -1
            items.append(Brace(found["brace"]))
        elif found["label"]:
            items.append(Label(found["label"]))
        elif item := _statement(" ".join(found["statement"].split()), line):
            items.append(item)
    return items[:-1], place


def parse(text):
    """Return the module that a PTX text is."""
    text = _COMMENT.sub("", text)
    if found := _UNKNOWN_DATA.search(text):
        raise NotImplementedError(f"PTX declares data: {found[0]}")
    functions, place = [], 0
    while found := _FUNCTION.search(text, place):
        place = found.end()
        if found["end"] == "{":
            body, place = _body(text, place)
            parameters = _PARAMETER.findall(found["parameters"])
            is_entry = found["kind"] == "entry"
            functions.append(Function(found["name"], is_entry, found["result"], parameters, body))
    shared, dynamic, size = {}, set(), 0
    for found in _SHARED.finditer(text):
        if found["extern"]:
            dynamic.add(found["name"])
        elif found["name"] not in shared:
            align = int(found["align"])
            shared[found["name"]] = -(-size // align) * align
            size = shared[found["name"]] + int(found["size"])
    return Module(functions, shared, -(-size // 16) * 16, dynamic)
