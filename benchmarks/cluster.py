"""From one worker to a cluster: what 400 million photographs would take, written to docs/offline.md.

Measured are, for an image, CPU seconds of a worker and of the process that schedules, and bytes in Zarr.
CPU seconds, since other work on the machine hardly counts in them. What a cluster has is assumed: see
`CLUSTER`.
"""

import os
import time
from dataclasses import dataclass

import numpy as np

from numba_car import offline

from .machine import ROOT, cpu
from .report import insert

IMAGES, SIDE = 400_000_000, 224
# Bytes a second; the storage is one for all machines.
CLUSTER = {"cores of a machine": 32, "network of a machine": 25e9 / 8, "storage": 20e9}
JOBS = {
    "uint8, noise drawn, to uint8": ("uint8", {"noise": "gaussian", "round": True}),
    "uint8, noise drawn, to float32": ("uint8", {"noise": "gaussian"}),
    "float32 and directions, to float32": ("float32", {"delta": "delta.zarr"}),
}


@dataclass
class Measured:
    """What one image takes: CPU seconds of a worker and of the scheduler, bytes to read and to write."""

    worker: float
    scheduler: float
    read: float
    written: float

    def hours(self, machines):
        """Hours that each part of a cluster of so many machines is busy for."""
        cores, network, storage = CLUSTER.values()
        moved = self.read + self.written
        seconds = {
            "CPUs": self.worker / (machines * cores),
            "network": moved / (machines * network),
            "storage": moved / storage,
            "scheduler": self.scheduler,
        }
        return {name: IMAGES * value / 3600 for name, value in seconds.items()}


def write_inputs(folder, rows):
    """Photographs as uint8 and as float32, and random directions, in shards of 16 MiB."""
    import zarr

    from numba_car.cli.demo.photographs import crops

    rng = np.random.default_rng(0)
    some = crops(min(rows, 64), SIDE, rng)
    inputs = {
        "uint8": np.rint(255 * some).astype(np.uint8),
        "float32": some,
        "delta": rng.standard_normal(some.shape, dtype=np.float32),
    }
    for name, values in inputs.items():
        chunk = 2**20 // values[0].nbytes
        shard = chunk * (2**24 // (chunk * values[0].nbytes))
        shape, chunks, shards = ((count, *some.shape[1:]) for count in (rows, chunk, shard))
        array = zarr.create_array(
            folder / f"{name}.zarr", shape=shape, chunks=chunks, shards=shards, dtype=values.dtype
        )
        array[:] = np.resize(values, shape)


def size(*folders):
    return sum(f.stat().st_size for folder in folders for f in folder.rglob("*") if f.is_file())


def seconds_per_task(tasks=1000, in_hand=4):
    """CPU seconds of the process that schedules and collects, for a task that returns 2 kB."""
    from distributed import Client, LocalCluster, as_completed

    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as local,
        Client(local) as client,
    ):
        client.submit(bytes, 0).result()
        before, left = time.process_time(), tasks - in_hand
        running = as_completed(client.submit(bytes, 2000, pure=False) for _ in range(in_hand))
        for future in running:
            future.result()
            if left > 0:
                running.add(client.submit(bytes, 2000, pure=False))
                left -= 1
        return (time.process_time() - before) / tasks


def measure(folder, task, x, options):
    """Do what a worker does, on one thread; the second run, when all is compiled, is counted."""
    from numba_car.offline.cluster import SHARDS

    out, inputs = folder / "v.zarr", [folder / f"{x}.zarr"]
    if "delta" in options:
        inputs.append(folder / options["delta"])
        options = options | {"delta": inputs[-1]}
    for _ in range(2):
        seen = []
        offline.rescale(
            inputs[0], out=out, eps=30.0, force=True, num_threads=1, **options,
            progress=lambda done, *_: seen.append((done, time.process_time())),  # noqa: B023
        )  # fmt: skip
    (_, before), (shard, _), *_, (rows, after) = seen
    return Measured(
        (after - before) / rows, task / (SHARDS * shard), size(*inputs) / rows, size(out) / rows
    )


def table(found):
    """Hours by job and by number of machines, and what is busy longest."""
    lines = [
        "| from, to | machines | hours | TB read | TB written | CPUs | network | storage | scheduler | saturates first |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    for job, measured in found.items():
        for machines in (1, 10, 100):
            hours = measured.hours(machines)
            busy = max(hours, key=hours.get)
            share = " | ".join(f"{value / hours[busy]:.0%}" for value in hours.values())
            moved = " | ".join(
                f"{IMAGES * b / 1e12:.0f}" for b in (measured.read, measured.written)
            )
            lines.append(f"| {job} | {machines} | {hours[busy]:.3g} | {moved} | {share} | {busy} |")
    return "\n".join(lines)


def text(found):
    cores, network, storage = CLUSTER.values()
    first, one = next(iter(found.items()))
    return f"""Measured on {cpu()}, load average {os.getloadavg()[0]:.1f}: an image of {SIDE} x {SIDE} x 3 ({first}) takes
{1e3 * one.worker:.1f} ms of a core, {one.read / 1e3:.0f} kB to read and {one.written / 1e3:.0f} kB to write, and
{1e6 * one.scheduler:.0f} µs of the process that schedules. That makes, for {IMAGES:,} images on machines of
{cores} cores and {network * 8 / 1e9:.0f} Gbit/s each, and a storage of {storage / 1e9:.0f} GB/s for all of them:

{table(found)}

The shares say for how much of those hours each part is busy. The hours are a lower bound, where nothing waits
but for what saturates first. Sizes are those of photographs and results in Zarr, compressed.
"""


def cluster(folder, bytes_of_x):
    rows = bytes_of_x // (SIDE * SIDE * 3)
    write_inputs(folder, rows)
    task = seconds_per_task()
    found = {job: measure(folder, task, *setting) for job, setting in JOBS.items()}
    insert(ROOT / "docs" / "offline.md", text(found), "cluster")
