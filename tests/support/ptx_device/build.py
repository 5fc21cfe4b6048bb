"""C of kernels compiled by gcc, and kept: the name of what is kept says all that it is made of."""

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
HEADERS = sorted(HERE.glob("*.h"))
# Kernels are large and run briefly: optimising them would take longer than they do. No contraction, since PTX has
# its own; no exceptions to wrapping and aliasing, since registers have no types.
FLAGS = (
    "-O0", "-march=x86-64-v3", "-ffp-contract=off", "-fwrapv", "-fno-strict-aliasing", "-fno-math-errno",
    "-shared", "-fPIC", "-w", "-Werror=frame-larger-than=200000", f"-I{HERE}",
)  # fmt: skip


def missing():
    """Return what this machine lacks to compile kernels for it, or an empty string."""
    if platform.machine() != "x86_64" or platform.system() != "Linux":
        return "needs Linux on x86-64, whose stacks it switches"
    return "" if shutil.which("gcc") else "needs gcc"


def folder():
    """Return where libraries are kept: NUMBA_CAR_PTX_CACHE, or a folder of the user's cache."""
    given = os.environ.get("NUMBA_CAR_PTX_CACHE")
    found = Path(given) if given else Path.home() / ".cache" / "numba_car" / "ptx"
    found.mkdir(parents=True, exist_ok=True)
    return found


@functools.cache
def _stamp():
    """Return what all libraries are made of."""
    compiler = subprocess.run(["gcc", "--version"], capture_output=True, check=True).stdout
    return compiler + " ".join(FLAGS).encode() + b"".join(path.read_bytes() for path in HEADERS)


def library(source, *options):
    """Return the path of the library that C is compiled to."""
    made_of = _stamp() + " ".join(options).encode() + source.encode()
    path = folder() / f"{hashlib.sha256(made_of).hexdigest()[:32]}.so"
    if not path.exists():
        partial = path.with_suffix(f".{os.getpid()}")
        command = ["gcc", *FLAGS, *options, "-x", "c", "-", "-o", partial, "-lm"]
        found = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
        if found.returncode:
            raise RuntimeError(f"gcc cannot compile what the PTX became: {found.stderr[-2000:]}")
        partial.replace(path)
    return path


def load(source):
    """Return the library of a kernel; Python's lock is held while it runs, since it has one state."""
    return ctypes.PyDLL(str(library(source)))
