"""Rules for instructions that move values, access memory, branch, and wait for other threads."""

from tests.support.ptx_device.rules import bits_of, c_type, rule


@rule(r"mov\.(pred|[subf](?:16|32|64))")
def _move(t, kind):
    target, source = t.operands
    kind, half = "b" + kind[1:] if kind != "pred" else kind, bits_of(kind) // 2
    if target[0] == "{":
        parts = [part.strip() for part in target.strip("{}").split(",")]
        halves = (
            (part, f"{t.bits(source)} >> {half * i}") for i, part in enumerate(parts) if part != "_"
        )
        return " ".join(t.store(f"b{half}", value, part) for part, value in halves)
    if source[0] == "{":
        low, high = (t.read(part.strip(), f"u{half}") for part in source.strip("{}").split(","))
        return t.store(kind, f"{low} | ({c_type(kind)}){high} << {half}")
    return t.store(kind, t.bits(source))


@rule(r"cvta\.to\.global\.u64")
def _to_global(t):
    return t.store("u64", t.value(1, "u64"))


@rule(r"ld\.param\.([subf](?:8|16|32|64))")
def _load_parameter(t, kind):
    return t.store("b" + kind[1:], t.function.parameter(t.operands[1]))


@rule(r"st\.param\.([subf](?:8|16|32|64))")
def _store_parameter(t, kind):
    return f"{t.function.parameter(t.operands[0])} = {t.value(1, 'b' + kind[1:])};"


@rule(r"ld\.(global|shared)\.([subf](?:8|16|32|64))")
def _load(t, space, kind):
    kind = "b" + kind[1:] if kind[0] == "f" else kind
    found = f"{space}_memory(T, {t.target(1)}, {bits_of(kind) // 8}, READ, {t.line})"
    return t.store(kind, f"*({c_type(kind)} *){found}")


@rule(r"st\.(global|shared)\.([subf](?:8|16|32|64))")
def _store(t, space, kind):
    kind = "b" + kind[1:]
    found = f"{space}_memory(T, {t.target(0)}, {bits_of(kind) // 8}, WRITE, {t.line})"
    return f"*({c_type(kind)} *){found} = {t.value(1, kind)};"


@rule(r"atom\.global\.min\.s64")
def _atomic_min(t):
    return t.store("s64", f"atomic_min(T, {t.target(1)}, {t.value(2, 's64')}, {t.line})")


@rule(r"bar\.sync")
def _barrier(t):
    if t.operands != ["0"]:
        raise NotImplementedError("a barrier of a part of the block")
    return f"barrier(T, {t.line});"


@rule(r"shfl\.sync\.bfly\.b32")
def _butterfly(t):
    target, _, is_valid = t.operands[0].partition("|")
    given = *(t.value(i, "u32") for i in range(1, 5)), str(t.line)
    found = t.store("u32", f"butterfly(T, {', '.join(given)})", target)
    return found + (t.store("pred", "1", is_valid) if is_valid else "")


@rule(r"vote\.sync\.ballot\.b32")
def _ballot(t):
    return t.store("u32", f"ballot(T, {t.value(1, 'pred')}, {t.value(2, 'u32')}, {t.line})")


@rule(r"bra(?:\.uni)?")
def _branch(t):
    return f"goto {t.operands[0]};"


@rule(r"ret(?:\.uni)?|exit")
def _return(t):
    return t.function.leave


@rule(r"trap")
def _trap(t):
    return f'fail(T, "the kernel trapped", {t.line});'


@rule(r"call(?:\.uni)?")
def _call(t):
    result, name, given = (t.operands if t.operands[0][0] == "(" else (None, *t.operands[:2]))[:3]
    arguments = [
        "T",
        *(t.function.parameter(p) for p in given.strip("() ").split(",") if p.strip()),
    ]
    called = f"{name}({', '.join(arguments)});"
    return f"{t.function.parameter(result.strip('() '))} = {called}" if result else called
