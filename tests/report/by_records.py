"""What tables ought to say of a study, worked out from its records alone."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy import stats

from evnas.record import Measurement, Record, ends_trial
from evnas.report.frame.accuracy import mean_top1
from evnas.report.frame.seed_noise import unit_interval
from evnas.store import Store

COUNTS = {
    "params": ("params_m", 1e6),
    "macs": ("macs_paper_g", 1e9),
    "macs_exact": ("macs_exact_g", 1e9),
}

ENDS = ("low_", "", "high_")
"""Of a prediction's interval, and the prediction between them."""
GRAVEST_FIRST = [
    *("failed", "diverged", "oom", "timeout", "lost", "infeasible", "pruned", "complete"),
]

Value = tuple[float, float, float]
"""A figure between the bounds of its interval; the three are equal where it has none."""
Trial = list[Record]


def trials_of(path: Path) -> list[Trial]:
    """The records of each trial, trials as they began."""
    found: dict[str, Trial] = {}
    with Store.read(path) as store:
        for _, record in store.records():
            found.setdefault(record.label, []).append(record)
    return list(found.values())


def expected_texts(trial: Trial, *, searched: bool = False) -> dict[str, str]:
    """Text columns by the records alone; a search goes by those that end a trial."""
    ending = [r for r in trial if not searched or ends_trial(r.status, r.seed)] or trial[:1]
    worst = min(ending, key=lambda r: GRAVEST_FIRST.index(r.status))
    stages = trial[0].arch["stages"]
    mixers, blocks = ({str(s) for s in each} for each in zip(*map(kinds, stages), strict=True))
    assert len(mixers) == len(blocks) == 1  # the studies here mix none
    return {
        "label": trial[0].label,
        "digest": trial[0].digest,
        "status": worst.status,
        "origin": trial[0].origin,
        "mixers": mixers.pop(),
        "blocks": blocks.pop(),
        "dims": "-".join(str(s["dim"]) for s in stages),
        "depths": "-".join(str(s["depth"]) for s in stages),
        "changed": "",  # of no search
        "phases": " ".join(dict.fromkeys(r.phase for r in trial)),
        "error": (worst.error.splitlines() or [""])[-1],
    }


def kinds(stage: Mapping[str, Any]) -> tuple[str, str]:
    return stage["mixer"]["kind"], stage["block"]


def alone(value: float) -> Value:
    return (value, value, value)


def expected_numbers(number: int, trial: Trial) -> dict[str, Value]:
    """Numeric columns by the records alone, but for the reference's speed and top-1's bounds."""
    found = {
        "number": alone(number),
        "seconds": alone(sum(r.seconds for r in trial)),
        "depth": alone(sum(s["depth"] for s in trial[0].arch["stages"])),
        "ended": alone(max(r.started + r.seconds for r in trial)),
    }
    for record in trial:
        at = f"@{record.target}" if record.target else ""
        if record.phase != "proxy":
            for name, value in record.values.items():
                key, unit = COUNTS.get(name, (name, 1.0))
                found[key + at] = alone(value / unit)
        if record.phase == "predict":
            low, mid, high = (record.values[f"predicted_top1_{end}percent"] for end in ENDS)
            wider = 1.959964 / 1.644854  # from 90 % to 95 %, as all intervals of a page
            bounds = (mid - wider * (mid - low), mid, mid + wider * (high - mid))
            found["predicted_top1_percent"] = bounds
        for name, measured in record.measurements.items():
            found[name + at] = interval_of(measured)
    proxies = [r for r in trial if r.phase == "proxy"]
    for name in {name for r in proxies for name in r.values}:
        taken = [r.values[name] for r in proxies if name in r.values]
        found[name] = alone(statistics.fmean(taken))
    if any(r.values for r in proxies):
        whole = [r for r in proxies if "top1_percent" in r.values]
        found["seeds"] = alone(len(whole or [r for r in proxies if r.values]))
    if proxies:
        found["budget"] = alone(max(r.budget for r in proxies))
    return found


def interval_of(measured: Measurement) -> Value:
    """The middle of the samples; tests/test_record.py holds the bounds to their definition."""
    interval = measured.interval()
    return interval.low, statistics.median(measured.samples), interval.high


def with_reference(trials: Sequence[Trial], found: list[dict[str, Value]], label: str) -> None:
    """An ablation: its reference's speed is that of all alternations, its ratio 1, and what
    trainings give has Student's interval over a row's own seeds."""
    for trial, numbers in zip(trials, found, strict=True):
        proxies = [r.values for r in trial if r.phase == "proxy"]
        for name in {name for values in proxies for name in values}:
            taken = [values[name] for values in proxies if name in values]
            if len(taken) > 1:
                half = float(stats.sem(taken) * stats.t.ppf(0.975, len(taken) - 1))
                mean = statistics.fmean(taken)
                numbers[name] = (mean - half, mean, mean + half)
        bounds = mean_top1(trial)
        assert bounds is not None
        numbers["top1_percent"] = (bounds.low, bounds.mid, bounds.high)
    at = next(i for i, trial in enumerate(trials) if trial[0].label == label)
    speeds = [r for trial in trials for r in trial if "base_latency_ms" in r.measurements]
    bases = [r.measurements["base_latency_ms"] for r in speeds]
    rounds = [ms for base in bases for ms in base.samples]
    rates = [1e3 * b.conditions["batch_size"] / ms for b in bases for ms in b.samples]
    for name, samples in (("latency_ms", rounds), ("throughput_img_s", rates)):
        key = f"{name}@{speeds[0].target}"
        found[at][key] = interval_of(Measurement(name, tuple(samples)))
    found[at][f"throughput_ratio@{speeds[0].target}"] = alone(1.0)


def with_pooled(trials: Sequence[Trial], found: list[dict[str, Value]]) -> None:
    """A search: top-1's bounds are of the spread between seeds, pooled over complete trials."""
    taken = [[r.values["top1_percent"] for r in t if "top1_percent" in r.values] for t in trials]
    ended = [all(r.status == "complete" for r in trial) for trial in trials]
    variances = [statistics.variance(v) for v, e in zip(taken, ended, strict=True) if e and v[1:]]
    low, high = (statistics.fmean(variances) ** 0.5 * end for end in unit_interval())
    for numbers, values in zip(found, taken, strict=True):
        if values:
            mean, n = numbers["top1_percent"][1], len(values) ** 0.5
            numbers["top1_percent"] = (mean + low / n, mean, mean + high / n)
