"""All that wants a GPU, in one go: ``python -m benchmarks.gpu`` runs benchmarks, tests and sanitizers.

It writes ``gpu.json`` and ``gpu.md``, with the device's name, into ``benchmarks/results`` or `--out`, anew
every second: what is stopped has lost nothing. Each stage is other programs, which end with its time at
the latest; the stages that matter most come first. Under numba's simulator, or with ``--tiny``, shapes are
tiny: that is how it is tested without a GPU.
"""

import argparse
import importlib.util
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from numba_car._cuda.jit import IS_SIMULATED

MINUTES = 8.0
WORKERS = 8  # that run the tests: what takes longest is to compile kernels
SANITIZER = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
POWERS, DTYPES = ("1", "2", "3.3", "inf"), ("float32", "float64")
TINY_POWERS, TINY_DTYPES = ("2",), ("float32",)
PATIENCE = 10  # times as long may a stage take that is tiny: its machine computes like no GPU


class Stage(NamedTuple):
    """Programs that run at once, by name, and the most seconds that they may take."""

    seconds: float
    programs: dict[str, list[str]]


def times(what, *, is_tiny):
    module = sys.executable, "-m", "benchmarks.gpu_times", what
    return {f"times, {what}": [*module, *(["--tiny"] if is_tiny else [])]}


def tests(*, is_tiny):
    """Tests, the large ones by themselves: they take most of the device's memory."""
    # A warning of the driver's that nobody has seen yet is shown, but hides no result.
    program = [sys.executable, "-m", "pytest", "-q", "-W", "default", "-m", "gpu"]
    program += ["tests/test_cuda_gpu.py", "tests/test_cuda_gpu_spread.py"]
    if is_tiny:
        return {"tests": [*program, "-k", "test_nothing_to_do"]}
    has_workers = importlib.util.find_spec("xdist") is not None
    several = ["-n", str(WORKERS)] if has_workers else []
    return {
        "tests": [*program, "-k", "not 32_bits", *several],
        "tests of large arrays": [*program, "-k", "32_bits"],
    }


def sanitizers(program, *, is_tiny):
    """All kernels under each tool, one norm and dtype a process."""
    kernels = sys.executable, "-m", "benchmarks.gpu_kernels", *(["--tiny"] if is_tiny else [])
    powers, dtypes = (TINY_POWERS, TINY_DTYPES) if is_tiny else (POWERS, DTYPES)
    tools = itertools.product(("memcheck", "racecheck"), powers, dtypes)
    return {
        f"{tool}, p = {p}, {dtype}": [
            *(program, "--tool", tool, "--error-exitcode", "9"),
            *(*kernels, "--p", p, "--dtype", dtype),
        ]
        for tool, p, dtype in tools
    }


def stages(options):
    tiny = {"is_tiny": options.tiny or IS_SIMULATED}
    longer = PATIENCE if tiny["is_tiny"] else 1
    return [
        Stage(110 * longer, times("float32", **tiny)),
        Stage(140 * longer, tests(**tiny)),
        Stage(110 * longer, sanitizers(options.sanitizer, **tiny)),
        Stage(60 * longer, times("float64", **tiny)),
        Stage(60 * longer, times("peers", **tiny)),
    ]


class Running:
    """A program under way, whose words go to a file: no pipe fills up while nobody reads."""

    def __init__(self, command):
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed with the program
        self.begin = time.monotonic()
        streams = {"stdout": self._said, "stderr": subprocess.STDOUT}
        try:
            # A process group of its own: its workers are stopped with it.
            self._process = subprocess.Popen(command, **streams, start_new_session=True)
        except OSError as error:
            self._process = None
            self._said.write(f"{error}\n")

    def is_over(self):
        return self._process is None or self._process.poll() is not None

    def stop(self):
        if not self.is_over():
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def found(self):
        """Return its exit status, None while it runs, and what it has said until now."""
        self._said.flush()
        self._said.seek(0)
        status = "not started" if self._process is None else self._process.poll()
        return status, self._said.read()


def results_of(text):
    """Return the JSON objects among lines; the last may not be whole yet."""
    for line in text.splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue


def gather(found, name, program, status=None):
    """Add what a program has said to what is found."""
    ended, text = program.found()
    objects = [line for line in results_of(text) if isinstance(line, dict)]
    found["results"][name] = [line for line in objects if "what" in line]
    for line in objects:
        found |= line if "what" not in line else {}
    found["checks"][name] = {
        "status": status or ("running" if ended is None else ended),
        "seconds": round(time.monotonic() - program.begin, 1),
        "tail": "" if objects and ended == 0 else text[-1500:],
    }


def run(stage, end, found, write):
    """Run the programs of a stage until they are over, or time is."""
    programs = {name: Running(command) for name, command in stage.programs.items()}
    begin, going = time.monotonic(), dict(programs)
    try:
        while going and time.monotonic() < min(begin + stage.seconds, end):
            time.sleep(0.2 if IS_SIMULATED else 1)
            for name, program in list(going.items()):
                is_over = program.is_over()
                gather(found, name, program)
                if is_over:
                    del going[name]
            write(found)
    finally:
        for name, program in going.items():
            program.stop()
            gather(found, name, program, "stopped, out of time")
        write(found)


def markdown(found):
    """Write results as tables."""
    copied, called = found.get("copy"), found.get("overhead")
    lines = [f"# numba_car on {found.get('device', 'an unknown device')}", ""]
    if copied and called:
        lines += [
            f"Copying: {copied / 1e9:.0f} GB/s. One call on 8 elements: {called * 1e6:.0f} us.",
            "Bandwidth counts each input and output byte once.",
            "",
        ]
    lines += [
        "| rows x n | dtype | eps / sqrt(n) | what | ms | GB/s | of a copy's |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in itertools.chain.from_iterable(found["results"].values()):
        shape = " x ".join(map(str, r["shape"]))
        ms = f"{r['seconds'] * 1e3:.3f}" if "seconds" in r else r["error"]
        speed = r.get("bandwidth")
        share = f"{speed / copied:.0%}" if speed and copied else ""
        more = f"{speed / 1e9:.0f} | {share}" if speed else "|"
        lines.append(f"| {shape} | {r['dtype']} | {r['share']} | {r['what']} | {ms} | {more} |")
    for name, check in found["checks"].items():
        lines += ["", f"{name}: status {check['status']} after {check['seconds']} s"]
        tail = check["tail"].strip()
        lines += ["", "```", tail, "```"] if tail else []
    return "\n".join(lines) + "\n"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--tiny", action="store_true", help="tiny shapes")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="that all of it may take")
    parser.add_argument("--sanitizer", default=SANITIZER, help="where compute-sanitizer is")
    return parser.parse_args()


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what it has begun is stopped with it
    end = time.monotonic() + 60 * options.minutes
    found = {"results": {}, "checks": {}}
    options.out.mkdir(parents=True, exist_ok=True)

    def write(found):
        for name, text in (
            ("gpu.json", json.dumps(found, indent=1) + "\n"),
            ("gpu.md", markdown(found)),
        ):
            whole = options.out / f".{name}"
            whole.write_text(text)
            whole.replace(options.out / name)  # at once: a kill leaves the last one

    for stage in stages(options):
        if time.monotonic() < end:
            run(stage, end, found, write)
    for name, check in found["checks"].items():
        sys.stdout.write(f"{name}: {check['status']} after {check['seconds']} s\n")


if __name__ == "__main__":
    main()
