"""Rules for instructions that compute, convert and compare."""

from tests.support.ptx_device.rules import bits_of, c_type, rule, wide_type

_FLOAT = r"(f32|f64)"
_INT = r"([su](?:16|32|64))"
_BITS = r"(b(?:16|32|64))"
_COMPARED = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_UNSIGNED = {"lo": "lt", "ls": "le", "hi": "gt", "hs": "ge"}
_SIGNS = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "div": "/",
    "rem": "%",
    "and": "&",
    "or": "|",
    "xor": "^",
}
_TO_INTEGER = {"rzi": "trunc", "rni": "rint", "rmi": "floor", "rpi": "ceil"}


@rule(rf"(add|sub|mul)(?:\.rn)?\.{_FLOAT}|(div)\.rn\.{_FLOAT}")
def _float_arithmetic(t, name, kind, divide, of_divide):
    kind = kind or of_divide
    return t.store(kind, f"{t.value(1, kind)} {_SIGNS[name or divide]} {t.value(2, kind)}")


@rule(rf"fma\.rn\.{_FLOAT}")
def _fma(t, kind):
    return t.store(kind, f"fma_{kind}({', '.join(t.value(i, kind) for i in (1, 2, 3))})")


@rule(rf"(min|max)\.{_FLOAT}")
def _float_extreme(t, name, kind):
    return t.store(kind, f"{name}_{kind}({t.value(1, kind)}, {t.value(2, kind)})")


@rule(rf"(abs|neg|sqrt\.rn|rcp\.rn|rcp\.approx\.ftz)\.{_FLOAT}")
def _float_function(t, name, kind):
    return t.store(kind, f"{name.replace('.', '_')}_{kind}({t.value(1, kind)})")


@rule(rf"copysign\.{_FLOAT}")
def _copysign(t, kind):
    return t.store(kind, f"copysign_{kind}({t.value(1, kind)}, {t.value(2, kind)})")


@rule(rf"(add|sub)\.{_INT}|(mul)\.lo\.{_INT}")
def _integer_arithmetic(t, name, kind, multiply, of_multiply):
    kind = "u" + (kind or of_multiply)[1:]
    return t.store(kind, f"{t.value(1, kind)} {_SIGNS[name or multiply]} {t.value(2, kind)}")


@rule(r"(div|rem)\.(u32|u64)")
def _integer_division(t, name, kind):
    return t.store(
        kind, f"{t.value(1, kind)} {_SIGNS[name]} divisor(T, {t.value(2, kind)}, {t.line})"
    )


@rule(r"(mul|mad)\.wide\.([su](?:16|32))")
def _wide_product(t, name, kind):
    wide = kind[0] + str(2 * bits_of(kind))
    product = f"({c_type(wide)}){t.value(1, kind)} * ({c_type(wide)}){t.value(2, kind)}"
    return t.store(wide, f"{product} + {t.value(3, wide)}" if name == "mad" else product)


@rule(rf"mad\.lo\.{_INT}")
def _product_and_sum(t, kind):
    kind = "u" + kind[1:]
    return t.store(kind, f"{t.value(1, kind)} * {t.value(2, kind)} + {t.value(3, kind)}")


@rule(rf"(mul|mad)\.hi\.{_INT}")
def _high_product(t, name, kind):
    high = f"({wide_type(kind)}){t.value(1, kind)} * ({wide_type(kind)}){t.value(2, kind)} >> {bits_of(kind)}"
    return t.store(kind, f"({high}) + {t.value(3, kind)}" if name == "mad" else high)


@rule(rf"(min|max)\.{_INT}")
def _integer_extreme(t, name, kind):
    a, b = t.value(1, kind), t.value(2, kind)
    return t.store(kind, f"{a} {'<' if name == 'min' else '>'} {b} ? {a} : {b}")


@rule(rf"(abs|neg)\.{_INT}")
def _integer_sign(t, name, kind):
    a, unsigned = t.value(1, kind), t.value(1, "u" + kind[1:])
    return t.store(
        "u" + kind[1:], f"-{unsigned}" if name == "neg" else f"{a} < 0 ? -{unsigned} : {unsigned}"
    )


@rule(rf"(and|or|xor)\.(?:{_BITS}|(pred))")
def _logic(t, name, kind, predicate):
    kind = kind or predicate
    return t.store(kind, f"{t.value(1, kind)} {_SIGNS[name]} {t.value(2, kind)}")


@rule(rf"not\.(?:{_BITS}|(pred))")
def _negation(t, kind, predicate):
    return t.store(kind or predicate, f"{'!' if predicate else '~'}{t.value(1, kind or predicate)}")


@rule(r"(shl|shr)\.([bsu](?:16|32|64))")
def _shift(t, name, kind):
    a, most, amount = t.value(1, kind), bits_of(kind) - 1, t.value(2, "u32")
    beyond = f"{a} >> {most}" if kind[0] == "s" else "0"
    return t.store(
        kind, f"{amount} > {most} ? {beyond} : {a} {'<<' if name == 'shl' else '>>'} {amount}"
    )


@rule(r"(popc|clz)\.(b32|b64)")
def _count(t, name, kind):
    return t.store("u32", f"{name}_{kind}({t.value(1, kind)})")


@rule(r"bfe\.(u32|u64)")
def _extract(t, kind):
    return t.store(kind, f"extract({t.value(1, kind)}, {t.value(2, 'u32')}, {t.value(3, 'u32')})")


@rule(r"prmt\.b32")
def _permute(t):
    return t.store("b32", f"permute({', '.join(t.value(i, 'u32') for i in (1, 2, 3))})")


@rule(r"bfi\.(b32|b64)")
def _insert(t, kind):
    given = (
        t.value(1, kind),
        t.value(2, kind),
        t.value(3, "u32"),
        t.value(4, "u32"),
        str(bits_of(kind)),
    )
    return t.store(kind, f"insert({', '.join(given)})")


@rule(r"cvt\.([su](?:8|16|32|64))\.([su](?:8|16|32|64))")
def _convert_integer(t, to, of):
    return t.store(to, t.value(1, of))


@rule(r"cvt(?:\.rn)?\.(f32|f64)\.(f32|f64)")
def _convert_float(t, to, of):
    return t.store(to, t.value(1, of))


@rule(rf"cvt\.(rzi|rni|rmi|rpi)\.{_FLOAT}\.{_FLOAT}")
def _round(t, rounding, to, of):
    return t.store(to, f"{_TO_INTEGER[rounding]}({t.value(1, of)})")


@rule(rf"cvt\.sat\.{_FLOAT}\.{_FLOAT}")
def _saturate(t, to, of):
    a = t.value(1, of)
    return t.store(to, f"{a} > 0 ? {a} < 1 ? {a} : 1 : 0")


@rule(rf"cvt\.(rzi|rni|rmi|rpi)\.{_INT}\.{_FLOAT}")
def _float_to_integer(t, rounding, to, of):
    return t.store(to, f"to_{to}({_TO_INTEGER[rounding]}({t.value(1, of)}), {int(of == 'f32')})")


@rule(rf"cvt\.rn\.{_FLOAT}\.([su](?:8|16|32|64))")
def _integer_to_float(t, to, of):
    return t.store(to, t.value(1, of))


@rule(rf"cvt\.{_FLOAT}\.f16")
def _from_half(t, to):
    return t.store(to, f"from_half({t.value(1, 'b16')})")


@rule(rf"cvt\.rn\.f16\.{_FLOAT}")
def _to_half(t, of):
    return t.store("b16", f"{of}_to_half({t.value(1, of)})")


@rule(r"setp\.(\w+)\.([subf](?:16|32|64))")
def _compare(t, name, kind):
    a, b = t.value(1, kind), t.value(2, kind)
    if name in ("num", "nan"):
        return t.store("pred", f"{'!' if name == 'num' else ''}({a} != {a} || {b} != {b})")
    if name.endswith("u") and kind[0] == "f":  # true also where one is NaN
        return t.store("pred", f"{a} {_COMPARED[name[:-1]]} {b} || {a} != {a} || {b} != {b}")
    if name == "ne" and kind[0] == "f":
        return t.store("pred", f"{a} < {b} || {a} > {b}")
    return t.store("pred", f"{a} {_COMPARED[_UNSIGNED.get(name, name)]} {b}")


@rule(r"selp\.([subf](?:16|32|64))")
def _select(t, kind):
    kind = "b" + kind[1:]
    return t.store(kind, f"{t.value(3, 'pred')} ? {t.value(1, kind)} : {t.value(2, kind)}")
