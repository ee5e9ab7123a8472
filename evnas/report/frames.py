"""The trial view: one row a trial, columns of numbers and of text, filled record by record.

It holds what tables and charts need and no more (no architectures, no samples), so that 100,000
trials stay small; what one trial's card shows is read from the store again.
"""

import functools
import math
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evnas.record import Interval, Measurement, Record, Status
from evnas.report.accuracy import top1
from evnas.report.architecture import summary
from evnas.report.columns import scaled
from evnas.report.noise import POOLED, pooled_spread, unit_interval, variance
from evnas.report.texts import Texts

TEXT_COLUMNS = (
    "label",
    "digest",
    "status",
    "origin",
    "mixers",
    "blocks",
    "dims",
    "depths",
    "phases",
    "error",
)
_GRAVEST_FIRST: tuple[Status, ...] = (
    "failed",
    "diverged",
    "oom",
    "timeout",
    "lost",
    "infeasible",
    "pruned",
    "complete",
)
_ERROR_LENGTH = 160
"""Characters of an error that the table shows; the card shows the whole."""


Earlier = Callable[[Sequence[int]], Iterable[Record]]


def _nothing(identities: Sequence[int]) -> Iterable[Record]:
    return ()


class Frame:
    """Rows in the order in which their trials began; `add` takes records in the store's order."""

    def __init__(
        self, *, pooled: bool = False, reference: str = "", earlier: Earlier = _nothing
    ) -> None:
        """Empty.

        Args:
            pooled: intervals of top-1 from the spread that a search pools over its trials;
                otherwise from each trial's own seeds, as the table of an ablation has them.
            reference: an ablation's row that is timed in alternation with all others; its speed
                is that of all alternations, as in the table.
            earlier: the records of these ids; asked when a trial is timed again, since then its
                samples are taken together, and the frame keeps none.
        """
        self.reference = reference
        self._earlier = earlier
        self._beside: dict[str, tuple[list[float], list[float]]] = {}
        """Target -> the reference's latencies (ms) and images/s in all alternations."""
        self.pooled = POOLED if pooled else ()
        self.text: dict[str, Texts] = {name: Texts() for name in TEXT_COLUMNS}
        self.numbers: dict[str, array[float]] = {"number": array("d"), "seconds": array("d")}
        self.record_ids: list[list[int]] = []
        self.touched: array[int] = array("q")
        """Id of the newest record of each row."""
        self.last_id = 0
        self.targets: list[str] = []
        self._rows: dict[tuple[str, str], int] = {}
        self._by_label: dict[str, int] = {}
        self._seeds: dict[tuple[int, str], dict[int, float]] = {}
        self._variances: dict[str, array[float]] = {key: array("d") for key in self.pooled}

    def __len__(self) -> int:
        return len(self.record_ids)

    def row(self, label: str) -> int | None:
        """The newest row of that label, or None."""
        return self._by_label.get(label)

    def extend(self, records: Iterable[tuple[int, Record]]) -> None:
        """Take every (id, record)."""
        for identity, record in records:
            self.add(identity, record)

    def add(self, identity: int, record: Record) -> None:
        """Take one record into the row of its trial."""
        row = self._row_of(record)
        self.record_ids[row].append(identity)
        self.touched[row] = self.last_id = identity
        self._set_text(row, record)
        self._set(row, "seconds", self.numbers["seconds"][row] + record.seconds)
        if record.started:
            self._set(row, "ended", record.started + record.seconds)
        if record.phase in ("proxy", "score"):
            self._take_trained(row, record)
        else:
            self._take_taken(row, record)

    def column(self, key: str) -> NDArray[np.float64]:
        """A numeric column, float64 with NaN where nothing was found; of NaN when unknown."""
        name, _, end = key.partition(":")
        if end and name in self.pooled and name in self.numbers:
            n = np.maximum(1.0, self.column("seeds"))
            return self.column(name) + self.noise(name)[end == "high"] / np.sqrt(n)
        if key not in self.numbers:
            return np.full(len(self), np.nan)
        return np.array(self.numbers[key], dtype=np.float64)

    def number_keys(self) -> list[str]:
        """Every numeric column, bounds of intervals included."""
        bounds = [
            f"{name}:{end}"
            for name in self.pooled
            if name in self.numbers
            for end in ("low", "high")
        ]
        return [*self.numbers, *bounds]

    def noise(self, key: str) -> tuple[float, float]:
        """How far one seed's interval reaches below and above it, where seeds are pooled."""
        ended = self.text["status"].is_one("complete")
        variances = np.array(self._variances[key], dtype=np.float64)
        spread = pooled_spread(variances[ended]) if key in self.pooled else 0.0
        low, high = unit_interval()
        return low * spread, high * spread

    def _row_of(self, record: Record) -> int:
        name = (record.label, record.digest)
        if name in self._rows:
            return self._rows[name]
        row = self._rows[name] = self._by_label[record.label] = len(self.record_ids)
        self.record_ids.append([])
        self.touched.append(0)
        for variances in self._variances.values():
            variances.append(math.nan)
        for values in self.numbers.values():
            values.append(math.nan)
        self.numbers["number"][row] = row
        self.numbers["seconds"][row] = 0.0
        about = summary(record.arch)
        firsts = {"label": record.label, "digest": record.digest, "origin": record.origin, **about}
        for key, texts in self.text.items():
            texts.append(str(firsts.get(key, "")))
        self.text["status"][row] = "complete"
        self._set(row, "depth", float(sum(int(d) for d in about["depths"].split("-") if d)))
        return row

    def _set(self, row: int, key: str, value: float) -> None:
        if key not in self.numbers:
            self.numbers[key] = array("d", [math.nan]) * len(self)
        self.numbers[key][row] = value

    def _set_text(self, row: int, record: Record) -> None:
        phases = self.text["phases"]
        if record.phase not in phases[row].split():
            phases[row] = f"{phases[row]} {record.phase}".strip()
        old = self.text["status"][row]
        if _GRAVEST_FIRST.index(record.status) < _gravity(old):
            self.text["status"][row] = record.status
            lines = record.error.strip().splitlines()
            said = lines[-1] if lines else ""
            self.text["error"][row] = said[:_ERROR_LENGTH]

    def _take_taken(self, row: int, record: Record) -> None:
        """Counts and speeds: one value each, under the target's name if there is one."""
        place = f"@{record.target}" if record.target else ""
        if record.target and record.target not in self.targets:
            self.targets.append(record.target)
        for name, value in record.values.items():
            key, number = scaled(name, float(value))
            self._set(row, key + place, number)
        before = self._timed_before(row, record)
        for name in record.measurements:
            self._set_interval(row, name + place, _together(name, [*before, record]).interval())
        if record.measurements:
            self._set_reference(record)

    def _timed_before(self, row: int, record: Record) -> list[Record]:
        """What this trial's earlier timings on this target found."""
        known = self.numbers.get(f"latency_ms@{record.target}")
        if not record.measurements or known is None or math.isnan(known[row]):
            return []
        earlier = self._earlier(self.record_ids[row][:-1])
        return [r for r in earlier if r.measurements and r.target == record.target]

    def _set_reference(self, record: Record) -> None:
        """The reference's speed; its own record is timed alone and first."""
        rounds = self._beside.setdefault(record.target, ([], []))
        if base := record.measurements.get("base_latency_ms"):
            rounds[0].extend(base.samples)
            rounds[1].extend(1e3 * base.conditions["batch_size"] / ms for ms in base.samples)
        row = self._by_label.get(self.reference)
        known = self.numbers.get(f"latency_ms@{record.target}")
        if not rounds[0] or row is None or known is None or math.isnan(known[row]):
            return
        for name, samples in zip(("latency_ms", "throughput_img_s"), rounds, strict=True):
            interval = Measurement(name, tuple(samples)).interval()
            self._set_interval(row, f"{name}@{record.target}", interval)

    def _take_trained(self, row: int, record: Record) -> None:
        """A training's results: the mean over the seeds of the largest budget."""
        if record.phase == "proxy":
            largest = self.numbers["budget"][row] if "budget" in self.numbers else math.nan
            if record.budget < largest:
                return
            if record.budget > largest:
                self._forget_smaller(row)
            self._set(row, "budget", record.budget)
        for name, value in record.values.items():
            key, number = scaled(name, float(value))
            seeds = self._seeds.setdefault((row, key), {})
            seeds[record.seed] = number
            if key in self.pooled:
                self._set(row, key, sum(seeds.values()) / len(seeds))
                self._variances[key][row] = variance(list(seeds.values()))
            elif key == "top1_percent" and len(seeds) == 1 and "held_out_images" in record.values:
                self._set_interval(row, key, top1([record]))
            else:
                self._set_mean(row, key, seeds)
            if record.phase == "proxy":
                self._set(row, "seeds", float(len(seeds)))

    def _set_interval(self, row: int, key: str, interval: Interval | None) -> None:
        if interval is not None:
            self._set(row, key, interval.mid)
            self._set(row, f"{key}:low", interval.low)
            self._set(row, f"{key}:high", interval.high)

    def _forget_smaller(self, row: int) -> None:
        for key in list(self.numbers):
            if self._seeds.pop((row, key), None) is not None:
                for ending in ("", ":low", ":high"):
                    if key + ending in self.numbers:
                        self._set(row, key + ending, math.nan)
                if key in self.pooled:
                    self._variances[key][row] = math.nan

    def _set_mean(self, row: int, key: str, seeds: Mapping[int, float]) -> None:
        values = list(seeds.values())
        mean = sum(values) / len(values)
        self._set(row, key, mean)
        if len(values) > 1:
            half = _t_quantile(len(values)) * float(np.std(values, ddof=1)) / len(values) ** 0.5
            self._set(row, f"{key}:low", mean - half)
            self._set(row, f"{key}:high", mean + half)

    def as_row(self, row: int) -> dict[str, Any]:
        """One row as plain data, None where nothing was found."""
        found: dict[str, Any] = {name: texts[row] for name, texts in self.text.items()}
        for key in self.number_keys():
            value = float(self.column(key)[row])
            found[key] = value if math.isfinite(value) else None
        return found


def _together(name: str, records: Sequence[Record]) -> Measurement:
    samples = [r.measurements[name].samples for r in records if name in r.measurements]
    return Measurement(name, tuple(value for each in samples for value in each))


def _gravity(status: str) -> int:
    return next(i for i, known in enumerate(_GRAVEST_FIRST) if known == status)


@functools.cache
def _t_quantile(n: int) -> float:
    """Two-sided 95 % quantile of Student's t for n values."""
    return float(stats.t.ppf(0.975, n - 1))
