"""What a PTX instruction becomes in C: the rule for its opcode, with its operands.

Registers hold bits; an instruction reads them as its own type. There is a rule for each opcode that is known in full,
modifiers included: one that computes with less than IEEE precision, or exchanges values in another way, has none,
and is an error.
"""

import functools
import re

SPECIAL = {
    **{f"%tid.{axis}": f"T->{axis}" for axis in "xyz"},
    **{f"%ntid.{axis}": f"T->block->launch->block[{i}]" for i, axis in enumerate("xyz")},
    **{f"%ctaid.{axis}": f"T->block->place[{i}]" for i, axis in enumerate("xyz")},
    **{f"%nctaid.{axis}": f"T->block->launch->grid[{i}]" for i, axis in enumerate("xyz")},
    "%laneid": "(T->id % 32)",
    "%dynamic_smem_size": "T->block->launch->dynamic_bytes",
    "WARP_SZ": "32",
}
RULES = []


def rule(pattern):
    """Register what an opcode does; groups of the pattern become arguments."""

    def register(function):
        RULES.append((re.compile(pattern), function))
        return function

    return register


def bits_of(kind):
    """Return how many bits a type has."""
    return 8 if kind == "pred" else int(kind[1:])


def c_type(kind):
    """Return the C type that an instruction of a PTX type computes with."""
    if kind in ("f32", "f64"):
        return {"f32": "float", "f64": "double"}[kind]
    return f"{'int' if kind[0] == 's' else 'uint'}{bits_of(kind)}_t"


def wide_type(kind):
    """Return the C type of twice the bits."""
    if bits_of(kind) < 64:
        return c_type(kind[0] + str(2 * bits_of(kind)))
    return "__int128" if kind[0] == "s" else "unsigned __int128"


class Translation:
    """One instruction within its function: operands as C, and the statement that stores a result."""

    def __init__(self, instruction, function):
        self.operands, self.line, self.function = instruction.operands, instruction.line, function

    def bits(self, text):
        """Return an operand as C that has its bits."""
        if text in SPECIAL:
            return SPECIAL[text]
        if text.startswith("%"):
            return self.function.register(text)
        if found := re.fullmatch(r"0[dDfF]([0-9A-Fa-f]+)", text):
            return f"0x{found[1]}ull"
        if re.fullmatch(r"-?(0x[0-9A-Fa-f]+|\d+)U?", text):
            return (
                f"(uint64_t)({text.rstrip('U')}ull)"
                if text[0] != "-"
                else f"(-(uint64_t){text[1:]}ull)"
            )
        return self.function.address(text)

    def read(self, text, kind):
        """Return an operand as C of a type."""
        if kind in ("f32", "f64"):
            return f"as_{kind}({self.bits(text)})"
        return f"(({c_type(kind)}){self.bits(text)})"

    def value(self, place, kind):
        """Return the operand at a place as C of a type."""
        return self.read(self.operands[place], kind)

    def store(self, kind, value, name=None):
        """Return the statement that stores a value of a type in the first operand, or in a register of that name."""
        target = self.function.register(name or self.operands[0])
        if kind == "pred":
            return f"{target} = ({value}) != 0;"
        value = f"bits_{kind}({value})" if kind in ("f32", "f64") else f"({c_type(kind)})({value})"
        return f"{target} = {value};"

    def target(self, place):
        """Return the address that an operand in brackets names."""
        base, _, offset = self.operands[place].strip("[] ").partition("+")
        return f"{self.bits(base.strip())} + ({offset or 0}ll)"


@functools.cache
def _rule_of(opcode):
    """Return what an opcode does, and the parts of it that decide; NotImplementedError where there is no rule."""
    for pattern, write in RULES:
        if found := pattern.fullmatch(opcode):
            return write, found.groups()
    raise NotImplementedError(f"no rule for the PTX instruction {opcode}")


def translate(instruction, function):
    """Return the C statement of an instruction."""
    write, parts = _rule_of(instruction.opcode)
    statement = write(Translation(instruction, function), *parts)
    if not instruction.guard:
        return statement
    sign, name = re.fullmatch(r"(!?)(.+)", instruction.guard).groups()
    return f"if ({sign}{function.register(name)}) {{ {statement} }}"
