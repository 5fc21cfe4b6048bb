"""Files: rows a second against a bare loop, resident memory against its bound, workers, and kills.

    python -m benchmarks.offline speed|memory|workers|kills|cluster|readme [--folder F] [--size BYTES]

`cluster` writes the table of docs/offline.md, `readme` runs the README's command and writes what it prints.
The others print a line of JSON for each figure. `kills` runs until 200 SIGKILLs have been sent, each followed
by --resume, and compares the files.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import numba_car as car
from numba_car import offline

from .cluster import cluster
from .machine import ROOT

ROW = (3, 224, 224)
SHAPES = {"3x32x32": (3, 32, 32), "3x224x224": ROW}


def write_random(path, shape, dtype=np.float32):
    """Rows that are random, but not each of them anew: drawing them would take longest."""
    rng = np.random.default_rng(0)
    some = rng.random((64, *shape[1:]), dtype=np.float32)
    if path.stem.startswith("delta"):
        some = rng.standard_normal(some.shape, dtype=np.float32)
    out = np.lib.format.open_memmap(path, "w+", dtype, shape)
    for start in range(0, len(out), len(some)):
        out[start : start + len(some)] = some[: len(out) - start]
    del out


def rows_of(size, row):
    return max(64, size // (4 * int(np.prod(row))))


def bare_loop(x, delta, out, eps, sync):
    """What the pipeline is held against: map, rescale a block of 16 MiB, write."""
    x, delta = np.load(x, mmap_mode="r"), np.load(delta, mmap_mode="r")
    result = np.lib.format.open_memmap(out, "w+", np.float32, x.shape)
    size = max(1, 2**24 // x[0].nbytes)
    for start in range(0, len(x), size):
        part = slice(start, start + size)
        result[part] = car.rescale(x[part], delta[part], eps)
    if sync:
        result.flush()


def speed(folder, size, runs=5):
    for name, row in SHAPES.items():
        rows, eps = rows_of(size, row), 0.1 * np.prod(row) ** 0.5
        for file in ("x.npy", "delta.npy"):
            write_random(folder / file, (rows, *row))
        x, delta, out = (folder / file for file in ("x.npy", "delta.npy", "v.npy"))
        seconds = {"bare": [], "bare, flushed": [], "offline": []}
        for _ in range(runs + 1):
            for kind, times in seconds.items():
                out.unlink(missing_ok=True)
                os.sync()
                start = time.perf_counter()
                if kind == "offline":
                    offline.rescale(x, delta, out=out, eps=eps)
                else:
                    bare_loop(x, delta, out, eps, sync=kind != "bare")
                times.append(time.perf_counter() - start)
        rate = {kind: rows / float(np.median(times[1:])) for kind, times in seconds.items()}
        found = {kind: round(value, 1) for kind, value in rate.items()}
        ratio = {f"of {kind}": round(rate["offline"] / rate[kind], 2) for kind in list(rate)[:2]}
        report("speed", shape=name, rows=rows, rows_per_second=found, ratio=ratio)


def memory(folder, size):
    """Peak resident memory of a process whose input is ten times what it may take."""
    for limit in ("600MiB", "1GiB"):
        most = int(float(limit[:-3]) * 2 ** (20 if limit.endswith("MiB") else 30))
        rows = rows_of(5 * most, ROW)  # x and delta together ten times as much
        for file in ("x.npy", "delta.npy"):
            write_random(folder / file, (rows, *ROW))
        code = (
            "from numba_car import offline;"
            "offline.rescale('x.npy', 'delta.npy', out='v.npy', eps=30.0, force=True,"
            f"memory={limit!r}, eta_out='eta.npy');"
            # Not getrusage, which starts from what the process that started this one had.
            "status = open('/proc/self/status').read();"
            "print(1024 * int(status.partition('VmHWM:')[2].split()[0]))"
        )
        found = subprocess.run(
            [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
        )
        input_bytes = 2 * rows * 4 * int(np.prod(ROW))
        report(
            "memory", limit=most, input_bytes=input_bytes, peak=int(found.stdout),
            share=round(int(found.stdout) / most, 2),
        )  # fmt: skip
        for file in folder.iterdir():
            file.unlink()


def workers(folder, size):
    """Rows a second of one worker and of two, and with one of two killed; the same bytes."""
    import zarr

    write_random(folder / "x.npy", (rows_of(size, ROW), *ROW))
    x = np.load(folder / "x.npy", mmap_mode="r")
    zarr.create_array(str(folder / "x.zarr"), data=x, chunks=(16, *ROW))
    first, *others = (
        on_workers(folder, *setting) for setting in ((1, False), (2, False), (2, True))
    )
    report("workers", identical=all(first == other for other in others))


def on_workers(folder, count, kill):
    """Run with so many workers, say how fast, and return all files of the result."""
    out = folder / f"v{count}{kill}.zarr"
    times, killed = [], []

    def progress(done, total, row):
        if done:
            times.append((time.perf_counter(), done))
        if kill and not killed and done > total / 3:
            killed.append(kill_a_worker())

    start = time.perf_counter()
    offline.rescale(
        folder / "x.zarr", out=out, noise="gaussian", eps=30.0, scheduler="local",
        workers=count, progress=progress,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    (first, done_first), (last, done_last) = times[0], times[-1]
    report(
        "workers", workers=count, killed=len(killed), seconds=round(seconds, 1),
        rows_per_second=round((done_last - done_first) / (last - first), 1),
    )  # fmt: skip
    return {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def kill_a_worker():
    """Kill one of the processes that a LocalCluster of this process started."""
    import psutil

    me = psutil.Process()
    busiest = max(me.children(recursive=True), key=lambda child: child.memory_info().rss)
    busiest.send_signal(signal.SIGKILL)
    return busiest.pid


def kills(folder, size, wanted=200):
    rows = rows_of(size, ROW)
    write_random(folder / "x.npy", (rows, *ROW))
    command = [sys.executable, "-m", "numba_car.cli", "rescale", "x.npy", "--noise", "gaussian"]
    command += ["--eps", "30", "--resume"]
    start = time.perf_counter()
    subprocess.run([*command, "-o", "whole.npy"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    whole = time.perf_counter() - start
    rng = random.Random(0)
    sent = runs = same = 0
    while sent < wanted:
        (folder / "v.npy").unlink(missing_ok=True)
        while True:
            process = subprocess.Popen(
                [*command, "-o", "v.npy"], cwd=folder, stdout=subprocess.DEVNULL
            )
            try:
                code = process.wait(rng.uniform(0, 1.05 * whole) if sent < wanted else None)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                sent += 1
                continue
            break
        if code and not (folder / "v.npy").exists():
            raise RuntimeError(f"the run that was to resume ended with {code}")
        runs += 1
        equal = subprocess.run(["cmp", "whole.npy", "v.npy"], cwd=folder, check=False)
        same += equal.returncode == 0
        left = sorted(path.name for path in folder.iterdir())
        report("kills", sent=sent, runs=runs, identical=same, left=left)


def report(name, **found):
    print(json.dumps({"benchmark": name, **found}), flush=True)


def readme(folder, size):
    """Run the README's command on photographs, and put what it prints below it."""
    path, title = ROOT / "README.md", "## Files larger than memory"
    before, rest = path.read_text().split(title)
    prose, command, between, _, after = rest.split("```", 4)
    path_of_commands = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    found = subprocess.run(
        ["bash", "-ec", command.removeprefix("sh")], cwd=folder, check=True,
        env=os.environ | {"PATH": path_of_commands}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    lines = [line.rstrip() for line in found.stdout.splitlines() if line.strip()]
    shown = "\n".join(["", *lines, ""])
    path.write_text(f"{before}{title}{prose}```{command}```{between}```{shown}```{after}")


WHAT = {job.__name__: job for job in (speed, memory, workers, kills, cluster, readme)}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=list(WHAT))
    parser.add_argument("--folder", type=Path, help="where to make a folder for the files")
    parser.add_argument("--size", type=int, default=2**29, help="bytes of x")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as made:
        WHAT[given.what](Path(made), given.size)
