"""Hard rows without end, judged: `python -m tests.support.campaign --seconds 600 --seed 1 --write FILE.md`.

A batch goes through every function. `campaign_judge` passes what is surely right; what it cannot
tell, and a sample of the rest, goes to `checks`, in exact arithmetic. Failures become files that
`test_campaign.py` tries for ever. Totals add up over runs of the same code, in JSON beside the Markdown.
Should a batch crash the process, a file in the folder for temporary ones says which: `drawn(seed, number)`.
"""

import argparse
import contextlib
import faulthandler
import itertools
import json
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path
from unittest import mock

import ml_dtypes
import numpy as np

import numba_car as car
from numba_car._cpu import long_rows, tuning
from numba_car._cpu import pipeline as cpu_batch
from tests.support import campaign_gradients, campaign_judge, campaign_report, campaign_rows, checks
from tests.support.campaign_judge import Batch
from tests.support.campaign_report import METHODS

FAILURES = Path(__file__).parents[1] / "data" / "campaign"
SAMPLE = 1 / 1000


def results(batch):
    """What each function returns for a batch, by name."""
    given, options = (batch.x, batch.delta, batch.eps), batch.options
    plainly = (
        *given[:2],
        batch.common_eps,
    )  # with one number for eps a call may be plain, which is checked in less time
    g, of_x, of_delta = campaign_gradients.upstream(batch)
    found = {method: car.eta(*given, method=method, **options) for method in METHODS}
    found["auto"] = car.eta(*plainly, **options)
    found["max_norm"] = car.max_norm(*given[:2], **options)
    found["solve"] = car.solve(*given, **options)
    found["rescale"] = car.rescale(*plainly, **options)
    # A bound's gradient is a sum over rows, which may overflow, and both ways.
    with np.errstate(over="ignore", invalid="ignore"):
        found["eta_vjp"] = car.eta_vjp(*given, 1.0, **options)
        found["rescale_vjp"] = car.rescale_vjp(*given, g, **options)
    found["eta_jvp"] = car.eta_jvp(*given, of_x, of_delta, 1.0, **options)
    found["rescale_jvp"] = car.rescale_jvp(*given, of_x, of_delta, 1.0, **options)
    return found


class Verdict:
    """By row: `sure` of all but gradients, their own, errors by name; why some were left out."""

    def __init__(self, batch, found):
        self.errors, self.sure = {}, np.full(len(batch.x), True)
        normal = campaign_judge.is_normal(batch, found["newton"])
        for method in METHODS:
            sure, self.errors[method] = campaign_judge.judge_eta(batch, found[method])
            self.sure &= sure
        sure, self.errors["max_norm"] = campaign_judge.judge_max_norm(batch, found["max_norm"])
        solution = found["solve"]
        self.sure &= sure & (solution.max_norm == found["max_norm"])
        self.sure &= solution.eta == found["newton"]
        sure, self.errors["norm"] = campaign_judge.judge_solution(batch, solution, normal)
        self.sure &= sure & campaign_judge.judge_rescaled(batch, found["rescale"], normal)
        self.right, errors, self.left_out = campaign_gradients.judge_gradients(
            batch, found["newton"], found, normal | (batch.target == 0)
        )
        self.errors |= errors


def at_once(module, size):
    """Have a module let a thread do no more than so many elements alone."""
    return mock.patch.object(
        module, "plan_of", lambda *given: tuning.plan_of(*given)._replace(at_once=size)
    )


@contextlib.contextmanager
def solved_its_way(batch):
    """Have a batch cut into parts that are otherwise so large that their rows take long to judge."""
    with contextlib.ExitStack() as patches:
        # What is cached knows nothing of the patches below.
        patches.enter_context(mock.patch.object(cpu_batch, "_setup_of_small", cpu_batch._setup))
        if batch.way == "chunks":
            chunks = mock.patch.multiple(long_rows, LONG=1, _CHUNK=batch.part)
            patches.enter_context(chunks)
            patches.enter_context(mock.patch.multiple(cpu_batch, _ROWS_AHEAD=campaign_rows.ROWS))
        if batch.way == "blocks":
            patches.enter_context(at_once(cpu_batch, batch.part * batch.x.shape[1]))
        yield


def check_exactly(batch, index, found):
    """Check one row in exact arithmetic, and that alone it has the same answer; return its errors."""
    row = batch.row(index)
    for method in METHODS:
        alone = checks.eta_of(row, method)
        assert alone == float(found[method][index]), (method, alone)
        checks.check_saturated_eta(row, method)
        checks.check_rescale(row, method)
    norm = max(checks.check_solve(row, method) for method in METHODS)
    eta = checks.check_eta(row)
    return {"newton": eta, "sort": eta, "norm": norm, "max_norm": checks.check_max_norm(row)}


def hexadecimal(values):
    """Floats of any dtype as text that keeps every bit, whatever the nesting."""
    if values is None or isinstance(values, str):
        return values
    if np.ndim(values):
        return [hexadecimal(value) for value in values]
    return float(values).hex()


def stored(batch, index, reason):
    """One row as plain data, and why it was kept."""
    row = batch.row(index)
    fields = {name: hexadecimal(getattr(row, name)) for name in ("x", "delta", "lower", "upper")}
    numbers = {"eps": row.eps.hex(), "p": row.p.hex()}
    call = {name: getattr(batch, name) for name in ("family", "axis", "way", "part")}
    return {"dtype": row.dtype.name, **numbers, **fields, **call, "why": reason}


def restored(data):
    """The batch of one row that `stored` has put away."""
    dtype = ml_dtypes.finfo(data["dtype"]).dtype

    def array(name):
        value = data[name]
        if isinstance(value, list):
            return np.array([[float.fromhex(v) for v in value]]).astype(dtype)
        return value if value is None else float.fromhex(value)

    eps = np.array([float.fromhex(data["eps"])]).astype(dtype)
    rest = float.fromhex(data["p"]), array("lower"), array("upper"), data["family"]
    call = {name: data[name] for name in ("axis", "way", "part") if name in data}
    return Batch(array("x"), array("delta"), eps, *rest, **call)


def keep(batch, index, reason):
    """Store a failure under a name of its own."""
    FAILURES.mkdir(parents=True, exist_ok=True)
    name = f"{batch.dtype}-{batch.family}-{time.time_ns():x}.json"
    text = json.dumps(stored(batch, index, reason), indent=1)
    (FAILURES / name).write_text(text + "\n", encoding="utf-8")


def judged(batch):
    """What each function returned, and the verdict."""
    found = results(batch)
    with np.errstate(all="ignore"):
        return found, Verdict(batch, found)


def failures(batch, sampled):
    """Return the verdict on a batch, how many rows were judged exactly, and what failed: (row, why).

    `sampled` says by row whether to judge it exactly even where that seems needless.
    """
    with solved_its_way(batch):
        return _failures(batch, sampled)


def _failures(batch, sampled):
    found, verdict = judged(batch)
    failed = [
        (row, str({name: float(error[row]) for name, error in verdict.errors.items()}))
        for row in np.flatnonzero(~verdict.right)
    ]
    differs = np.flatnonzero(found["auto"] != found["newton"])
    failed += [(row, f"called plainly, eta is {found['auto'][row]}") for row in differs]
    exactly = np.flatnonzero(~verdict.sure | sampled)
    for row in exactly:
        quick = {name: verdict.errors[name][row] for name in METHODS}
        try:
            exact = check_exactly(batch, row, found)
            assert not verdict.sure[row] or max(quick.values()) <= exact["newton"] + 0.1, quick
        except AssertionError as error:
            surely = "the quick judge is wrong: " if verdict.sure[row] else ""
            failed.append((row, surely + (str(error) or repr(error))))
            continue  # what the quick judge found stays
        for name, value in exact.items():
            verdict.errors[name][row] = value
    return verdict, len(exactly), failed


def culprit(batch):
    """The first row that raises, or warns, alone; else the first of all."""
    for row in range(len(batch.x)):
        try:
            with solved_its_way(batch):
                results(restored(stored(batch, row, "")))
        except Exception:  # noqa: BLE001 - nothing at all may be raised
            return row
    return 0


def drawn(seed, number):
    """One batch of a campaign, and which of its rows to judge exactly in any case."""
    rng = np.random.default_rng([seed, number])
    with np.errstate(all="ignore"):
        batch = campaign_rows.draw(rng)
    is_long = batch.x.shape[1] > campaign_judge.LONG  # minutes a row
    return batch, (rng.random(len(batch.x)) < SAMPLE) & (not is_long)


def run(seconds, seed, at_work):
    """Judge batches for so long; return totals. The file `at_work` names the batch, should it crash us."""
    started, cpu, totals = time.monotonic(), time.process_time(), campaign_report.nothing()
    for number in itertools.count():
        if time.monotonic() - started >= seconds:
            break
        at_work.write_text(f"drawn({seed}, {number})\n", encoding="utf-8")
        batch, sampled = drawn(seed, number)
        try:
            verdict, exactly, failed = failures(batch, sampled)
        except Exception as error:  # noqa: BLE001 - a TypeError or SystemError is a failure, too
            keep(batch, culprit(batch), repr(error))
            totals["counts"]["failures"] += 1
            continue
        for row, reason in failed[:3]:
            sys.stdout.write(f"{batch.dtype} {batch.family} p = {batch.p}: {reason}\n")
            keep(batch, row, reason)
        counts = {"exactly": exactly, "failures": len(failed)}
        campaign_report.note(totals, batch, verdict, counts)
    at_work.unlink(missing_ok=True)
    totals["counts"]["CPU seconds"] = time.process_time() - cpu
    return totals


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=Path, help="Markdown; the totals so far lie beside it")
    options = parser.parse_args(arguments)
    warnings.simplefilter("error")
    faulthandler.enable()
    at_work = Path(tempfile.gettempdir()) / f"numba_car-campaign-{os.getpid()}.txt"
    totals = run(options.seconds, options.seed, at_work)
    if options.write:
        sums = options.write.with_suffix(".json")
        if sums.exists():
            before = json.loads(sums.read_text(encoding="utf-8"))
            if before.get("code") == totals["code"]:  # other code's errors say nothing of this
                totals = campaign_report.added(before, totals)
        sums.write_text(json.dumps(totals, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        options.write.write_text(campaign_report.report(totals), encoding="utf-8")
    sys.stdout.write(campaign_report.report(totals))
    return totals["counts"]["failures"] > 0


if __name__ == "__main__":
    sys.exit(main())
