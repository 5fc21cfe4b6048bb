"""The campaign's judge knows right from wrong, and what it once found stays mended."""

import json
import math
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest

import numba_car as car
from numba_car._cpu import long_rows, threads
from numba_car._cpu import pipeline as cpu_batch
from tests.support import campaign, campaign_report, campaign_rows
from tests.support.campaign_judge import Batch

KEPT = sorted(campaign.FAILURES.glob("*.json"))
POWERS = (0.5, 1.0, 2.0, 3.3, math.inf)
KINDS = [(np.float64, p) for p in POWERS] + [(np.float32, 2.0), (np.float16, 2.0)]  # few to compile


def batches(seed):
    rng = np.random.default_rng(seed)
    while True:
        with np.errstate(all="ignore"):
            yield campaign_rows.draw(rng)


def plain_batch(dtype, p):
    rng = np.random.default_rng(0)
    x, delta = rng.random((40, 6)).astype(dtype), rng.standard_normal((40, 6)).astype(dtype)
    eps = rng.choice([0.0, 0.1, 0.4, 2.0, 99.0], 40).astype(dtype)
    return Batch(x, delta, eps, p, np.zeros_like(x), np.ones_like(x), "plain")


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_failure_of_the_past(path):
    batch = campaign.restored(json.loads(path.read_text(encoding="utf-8")))
    assert campaign.failures(batch, [True])[2] == []


def test_a_few_batches():
    for batch in islice((batch for batch in batches(7) if batch.dtype == float), 6):
        sampled = np.arange(len(batch.x)) < 2
        assert campaign.failures(batch, sampled)[2] == []


@pytest.mark.parametrize(("dtype", "p"), KINDS)
def test_plain_rows_need_no_exact_arithmetic(dtype, p):
    _, verdict = campaign.judged(plain_batch(dtype, p))
    assert verdict.sure.all()
    assert verdict.right.all()
    assert sum(rows.sum() for rows in verdict.left_out.values()) < 0.4 * 40


def spoil(values, ulps):
    return values * (1 + ulps * np.finfo(values.dtype).eps).astype(values.dtype)


@pytest.mark.parametrize(("dtype", "p"), KINDS)
@pytest.mark.parametrize("name", ["newton", "sort", "max_norm", "rescale"])
def test_wrong_results_are_not_passed(name, dtype, p):
    batch = plain_batch(dtype, p)
    found = campaign.results(batch)
    found[name] = spoil(found[name], 1 << 10)
    with np.errstate(all="ignore"):
        verdict = campaign.Verdict(batch, found)
    assert not verdict.sure[batch.eps == dtype(0.4)].any()


@pytest.mark.parametrize("p", POWERS)
@pytest.mark.parametrize("field", ["x", "delta", "eps", "lower", "upper", None])
@pytest.mark.parametrize("name", ["eta_vjp", "rescale_vjp"])
def test_wrong_derivatives_are_not_passed(name, field, p):
    batch = plain_batch(np.float64, p)
    found = campaign.results(batch)
    if field is None:
        forward = name.replace("vjp", "jvp")
        found[forward] = spoil(found[forward], 1 << 10)
    else:
        values = {field: spoil(getattr(found[name], field), 1 << 10)}
        found[name] = found[name]._replace(**values)
    with np.errstate(all="ignore"):
        verdict = campaign.Verdict(batch, found)
    assert not verdict.right.all()


def test_plain_calls_are_judged(monkeypatch):
    batch = plain_batch(np.float64, 2.0)
    batch.lower, batch.upper, batch.eps[:] = 0.0, 1.0, 0.4
    none = np.full(40, False)
    assert campaign.failures(batch, none)[2] == []

    def wrong(x, delta, eps, **options):
        eta = car.eta(x, delta, eps, **options)
        return eta if "method" in options else spoil(eta, 8)

    functions = {name: getattr(car, name) for name in car.__all__}
    monkeypatch.setattr(campaign, "car", SimpleNamespace(**{**functions, "eta": wrong}))
    assert [row for row, _ in campaign.failures(batch, none)[2]] == [*range(40)]


@pytest.mark.parametrize(("way", "part"), [("chunks", 2), ("blocks", 7)])
def test_parts_of_larger_batches_are_judged(way, part, monkeypatch):
    batch = plain_batch(np.float64, 2.0)
    batch.way, batch.part = way, part
    monkeypatch.setenv("NUMBA_CAR_NUM_THREADS", "2")
    calls, run = [], threads.run
    count = lambda task, count, num_threads: calls.append(count) or run(task, count, num_threads)
    for module in (long_rows, cpu_batch):
        monkeypatch.setattr(module, "run", count)
    assert campaign.failures(batch, np.arange(40) < 4)[2] == []
    assert (3 if way == "chunks" else 14) in calls


def test_whatever_is_raised_is_kept(monkeypatch, tmp_path):
    def fail(*given, **options):
        raise SystemError("result without error set")

    monkeypatch.setattr(campaign, "FAILURES", tmp_path / "failures")
    monkeypatch.setattr(campaign.car, "max_norm", fail)
    at_work = tmp_path / "at work"
    assert campaign.run(0.1, 7, at_work)["counts"]["failures"] > 0
    assert not at_work.exists()
    kept = [json.loads(path.read_text()) for path in (tmp_path / "failures").iterdir()]
    assert "SystemError" in kept[0]["why"]


def test_a_row_survives_its_file():
    for batch in islice(batches(3), 20):
        text = json.dumps(campaign.stored(batch, 0, "why"))
        again, row = campaign.restored(json.loads(text)).row(0), batch.row(0)
        assert again.dtype == row.dtype
        for name in ("x", "delta", "eps", "p", "lower", "upper"):
            found, expected = getattr(again, name), getattr(row, name)
            assert (found is None) == (expected is None)
            if expected is not None:
                np.testing.assert_array_equal(
                    found, expected, strict=isinstance(expected, np.ndarray)
                )


def test_totals_add_up():
    batch, code = "float32|plain|2", "0123"
    counts = {"exactly": 1, "failures": 0, "CPU seconds": 3.0}
    one = {"rows": {batch: 5}, "counts": counts, "worst": {batch: {"newton": 0.5, "sort": 1.5}}}
    two = {"rows": {batch: 7}, "counts": counts, "worst": {batch: {"newton": 2.5, "sort": 0.25}}}
    one["code"] = two["code"] = code
    one["left out"], two["left out"] = {"a kink": 2}, {"a kink": 3, "no digits": 1}
    both = campaign_report.added(one, two)
    assert both["rows"] == {batch: 12}
    assert both["left out"] == {"a kink": 5, "no digits": 1}
    assert both["counts"]["exactly"] == 2
    assert both["worst"] == {batch: {"newton": 2.5, "sort": 1.5}}
    assert "| float32 | 12 | 2.50 | 1.50 |" in campaign_report.report(both)
