"""Peak memory that a call of eta adds to its input, for the report."""

import os
import subprocess
import sys
from pathlib import Path

from .suites.common.calls import call_of
from .suites.common.data import SHAPES, batch


def extra_share(method, shape):
    """Measure the peak that eta adds, as a share of its input, in a process of its own; on Linux."""
    found = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", method, shape],
        # All large arrays go back to the system at once: none is reused unseen.
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(found.stdout)


def _resident(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def _measure(method, shape):
    rows, n = SHAPES[shape]
    call_of("eta", batch((min(rows, 2), n)), method=method)()
    made = batch((rows, n))
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = _resident("VmRSS")
    call_of("eta", made, method=method)()
    return (_resident("VmHWM") - before) / (made.x.nbytes + made.delta.nbytes)


if __name__ == "__main__":
    print(_measure(*sys.argv[1:]))
