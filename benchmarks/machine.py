"""What was measured, and on what."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from .suites.common.floors import threads

ROOT = Path(__file__).parents[1]
PACKAGES = ("numba_car", "numba", "llvmlite", "numpy", "foolbox", "torch", "jax", "scikit-image")


def cpu():
    """Return the name of the CPU."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def commit():
    """Return the commit that is measured, and whether files differ from it."""

    def git(*words):
        command = ["git", "-C", str(ROOT), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    changed = " with changes" if git("status", "--porcelain", "--", "numba_car") else ""
    return f"commit {git('rev-parse', '--short', 'HEAD') or 'unknown'}{changed}"


def machine(packages=PACKAGES):
    """Say what this is measured on."""
    installed = []
    for name in packages:
        try:
            installed.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            installed.append(f"{name} absent")
    load = f"load average {os.getloadavg()[0]:.1f} before, " if hasattr(os, "getloadavg") else ""
    return (
        f"Measured at {commit()} on {cpu()}, {threads()} of {os.cpu_count()} cores, {load}{platform.system()}, "
        f"Python {platform.python_version()}; {', '.join(installed)}."
    )
