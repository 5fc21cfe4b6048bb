"""All that wants a GPU, in one go: ``python -m benchmarks.gpu`` runs tests, sanitizers and benchmarks.

It writes ``gpu.json`` and ``gpu.md``, with the device's name, into ``benchmarks/results`` or `--out`.
Under numba's simulator, or with ``--tiny``, shapes are tiny: that is how it is tested without a GPU.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from numba import cuda

import numba_car as car

from .data import batch, eps_of
from .gpu_peers import PEERS

IS_SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM", "0") != "0"
SHAPES = ((65536, 784), (16384, 3072), (1024, 150528), (4, 50_000_000))
TINY = ((3, 8), (1, 40))
SHARES = (0.05, 0.3, 0.5)
# Arrays read and written, each once, if all goes well.
TRAFFIC = {"eta": 2, "rescale": 3, "rescale_vjp": 5}
SECONDS = 20.0  # that all runs of one call may take


def seconds_of(call, runs=10):
    """Median time of a call, and of waiting for it."""
    call()
    cuda.synchronize()
    runs = 1 if IS_SIMULATED else runs
    times, end = [], time.perf_counter() + SECONDS
    while len(times) < runs and (not times or time.perf_counter() < end):
        start = time.perf_counter()
        call()
        cuda.synchronize()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def calls_of(x, delta, eps):
    """Our functions on arrays in device memory."""
    out = cuda.device_array_like(x)
    return {
        "eta": lambda: car.eta(x, delta, eps),
        "rescale": lambda: car.rescale(x, delta, eps, out=out),
        "rescale_vjp": lambda: car.rescale_vjp(x, delta, eps, delta),
    }


def copy_bandwidth(size):
    """Bytes per second of a copy, reads and writes both counted."""
    source = cuda.to_device(np.zeros(size, np.float32))
    target = cuda.device_array_like(source)
    return 2 * 4 * size / seconds_of(lambda: target.copy_to_device(source))


def measure(shape, dtype, with_peers):
    """Yield times and bandwidths on one batch."""
    made = batch(shape, dtype)
    x, delta = cuda.to_device(made.x), cuda.to_device(made.delta)
    for share in SHARES[1:2] if IS_SIMULATED else SHARES:
        eps = float(eps_of(shape[1], share=share))
        case = {"shape": list(shape), "dtype": dtype, "share": share}
        for name, call in calls_of(x, delta, eps).items():
            seconds = seconds_of(call)
            moved = TRAFFIC[name] * made.x.nbytes
            yield {**case, "what": name, "seconds": seconds, "bandwidth": moved / seconds}
        for name, peer in PEERS.items() if with_peers and share == 0.3 else ():
            yield {**case, "what": name, **peer_time(peer, x, delta, eps)}


def peer_time(peer, x, delta, eps):
    """Time of a peer, or why there is none."""
    try:
        return {"seconds": seconds_of(peer(x, delta, eps), runs=3)}
    except Exception as error:  # noqa: BLE001  a peer must not cost us our own results
        return {"error": f"{type(error).__name__}: {error}"[:200]}


def run(*command):
    """Run another program; return its exit status and the end of what it says."""
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return {"status": found.returncode, "tail": (found.stdout + found.stderr)[-1500:]}


def checks():
    """Run the tests that need a GPU, and all kernels under the sanitizers."""
    python = sys.executable
    yield "tests", run(python, "-m", "pytest", "-q", "-m", "gpu", "tests/test_cuda_gpu.py")
    sanitizer = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    for tool in ("memcheck", "racecheck"):
        if not Path(sanitizer).exists():
            yield tool, {"status": None, "tail": "compute-sanitizer was not found"}
        else:
            options = "--tool", tool, "--error-exitcode", "9"
            small = python, "-m", "benchmarks.gpu", "--small"
            yield tool, run(sanitizer, *options, *small)


def run_all_kernels():
    """Call everything once, on small batches."""
    for shape in ((9, 100), (3, 2000), (2, 20_000), (300, 7000)) if not IS_SIMULATED else TINY:
        for dtype in ("float32", "float64"):
            made = batch(shape, dtype)
            x, delta = cuda.to_device(made.x), cuda.to_device(made.delta)
            for p in (1, 2, 3.3, np.inf):
                eps = float(eps_of(shape[1], p))
                car.eta(x, delta, eps, p=p)
                car.eta(x, delta, eps, p=p, method="sort")
                car.solve(x, delta, 10 * eps, p=p, bounds=(None, cuda.to_device(made.x + 1)))
                car.rescale(x, delta, eps, p=p, infeasible="nan")
                car.rescale_vjp(x, delta, eps, delta, p=p)
    cuda.synchronize()


def overhead():
    """Seconds of a call on next to nothing."""
    x, delta = (cuda.to_device(array) for array in batch((1, 8))[:2])
    return seconds_of(lambda: car.eta(x, delta, 0.1), runs=200)


def device_name():
    """Name the device."""
    return "simulator" if IS_SIMULATED else cuda.get_current_device().name.decode()


def markdown(found):
    """Write results as tables."""
    copied = found["copy"]
    lines = [
        f"# numba_car on {found['device']}",
        "",
        f"Copying: {copied / 1e9:.0f} GB/s. One call on 8 elements: {found['overhead'] * 1e6:.0f} us.",
        "Bandwidth counts each input and output byte once.",
        "",
        "| rows x n | dtype | eps / sqrt(n) | what | ms | GB/s | of a copy's |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in found["results"]:
        shape = " x ".join(map(str, r["shape"]))
        ms = f"{r['seconds'] * 1e3:.3f}" if "seconds" in r else r["error"]
        speed = r.get("bandwidth")
        more = f"{speed / 1e9:.0f} | {speed / copied:.0%}" if speed else "|"
        lines.append(f"| {shape} | {r['dtype']} | {r['share']} | {r['what']} | {ms} | {more} |")
    for name, check in found["checks"].items():
        lines += ["", f"{name}: status {check['status']}", "", "```", check["tail"].strip(), "```"]
    return "\n".join(lines) + "\n"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--tiny", action="store_true", help="tiny shapes, and ours alone")
    parser.add_argument("--small", action="store_true", help="call every kernel once, no more")
    return parser.parse_args()


def main():
    options = arguments()
    if options.small:
        return run_all_kernels()
    tiny = options.tiny or IS_SIMULATED
    found = {"device": device_name(), "overhead": overhead(), "results": [], "checks": {}}
    found["copy"] = copy_bandwidth(1 << 10 if tiny else 1 << 28)
    for shape in TINY if tiny else SHAPES:
        for dtype in ("float32", "float64") if shape[1] <= 150528 else ("float32",):
            for result in measure(shape, dtype, not tiny and dtype == "float32"):
                print(result, flush=True)
                found["results"].append(result)
    found["checks"] = {} if tiny else dict(checks())
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "gpu.json").write_text(json.dumps(found, indent=1) + "\n")
    (options.out / "gpu.md").write_text(markdown(found))
    return None


if __name__ == "__main__":
    main()
