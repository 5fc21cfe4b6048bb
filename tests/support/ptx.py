"""What PTX says of a kernel: its innermost loops, and the instructions in them."""

import re

_LABEL = re.compile(r"^(\$\w+):")
_BRANCH = re.compile(r"^(@!?%p\d+\s+)?bra(?:\.uni)?\s+(\$\w+);")
_ENDS = re.compile(r"^(@!?%p\d+ )?(ret|trap|exit)\b")


def long_divisions(ptx):
    """Return the divisions of 64-bit integers, each of which takes a hundred instructions."""
    return re.findall(r"\b(?:div|rem)\.[su]64\b", ptx)


def arithmetic(lines, kind):
    """Instructions that compute with a type, or convert from or to it; not loads and stores."""
    return [
        line
        for line in lines
        if re.search(rf"\.{kind}\b", line) and not re.match(r"(@!?%p\d+\s+)?(ld|st|mov)\b", line)
    ]


def instructions_of(ptx):
    """Instructions and labels, by function."""
    functions = re.findall(r"^\{$(.*?)^\}$", ptx, re.MULTILINE | re.DOTALL)
    return [
        [line.split("//")[0].strip() for line in body.splitlines() if line.strip()]
        for body in functions
    ]


def blocks_of(lines):
    """Basic blocks of a function, by label, and the labels that each may go on to."""
    blocks, following, label = {}, {}, "entry"
    blocks[label], following[label] = [], set()
    is_open = True
    for k, line in enumerate(lines):
        if found := _LABEL.match(line):
            if is_open:
                following[label].add(found[1])
            label, is_open = found[1], True
            blocks[label], following[label] = [], set()
        elif found := _BRANCH.match(line):
            following[label].add(found[2])
            is_open = found[1] is not None
            if is_open:  # falls through, to a block of its own
                after = f"after {k}"
                following[label].add(after)
                label = after
                blocks[label], following[label] = [], set()
        elif is_open and not line.startswith("."):
            blocks[label].append(line)
            is_open = not _ENDS.match(line) or line.startswith("@")
    return blocks, following


def reached_from(start, labels, following):
    """Labels that are reached from one in a step or more."""
    found, ahead = set(), {start}
    while ahead:
        ahead = set().union(*(following[label] for label in ahead)) & labels - found
        found |= ahead
    return found


def cycles(labels, following):
    """Largest sets of blocks that are reached from each other."""
    reached = {label: reached_from(label, labels, following) for label in labels}
    rest = {label for label in labels if label in reached[label]}
    while rest:
        first = next(iter(rest))
        cycle = {label for label in reached[first] if first in reached[label]}
        rest -= cycle
        yield cycle


def innermost_loops(ptx):
    """Instructions of each loop that has no loop inside."""
    for lines in instructions_of(ptx):
        blocks, following = blocks_of(lines)
        outer = list(cycles(set(blocks), following))
        while outer:
            loop = outer.pop()
            heads = {
                label
                for label in loop
                if any(label in following[other] for other in set(blocks) - loop)
            }
            inner = list(cycles(loop - heads, following))
            outer += inner
            if not inner:
                yield [line for label in loop for line in blocks[label]]
