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
import scipy
from numpy.typing import NDArray

from evnas.record import Measurement, Record, Status, TargetFields, ends_trial
from evnas.report.frame.architecture import summarize
from evnas.report.frame.columns import scale_count, spelt_intervals
from evnas.report.frame.limits import Limits
from evnas.report.frame.seed_noise import POOLED, pooled_spread, seed_variance, unit_interval
from evnas.report.frame.slim_records import SlimRecord, Timing
from evnas.report.frame.text_column import TextColumn
from evnas.stats.interval import Interval
from evnas.sweep.trainings import wilson_interval
from evnas.tables import PHASES

TEXT_COLUMNS = (
    "label",
    "digest",
    "status",
    "origin",
    "mixers",
    "blocks",
    "dims",
    "depths",
    "changed",
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
OF_A_BATCH = ("latency_ms", "peak_mib")
"""What does not compare between two batches: it is left out where a batch was halved."""
TRAINED = ("top1_percent", "inherited_top1_percent")
"""What a training that ended whole has."""
UNKNOWN_BATCH = -1.0
_ERROR_LENGTH = 160
"""Characters of an error that the table shows; the card shows the whole."""


_GRAVITY: dict[str, int] = {status: place for place, status in enumerate(_GRAVEST_FIRST)}

Earlier = Callable[[Sequence[int]], Iterable[Record]]


def _batch(timing: Timing) -> float:
    """The images at once that samples were taken with."""
    found = timing.conditions.batch_size
    return UNKNOWN_BATCH if math.isnan(found) else found


def _nothing(identities: Sequence[int]) -> Iterable[Record]:
    return ()


class TrialFrame:
    """Rows in the order in which their trials began; `add` takes records in the store's order.

    Flat arrays, not an object a trial or record: a study of 100,000 trials has 450,000 records.
    """

    def __init__(
        self,
        *,
        pooled: bool = False,
        reference: str = "",
        changed: Mapping[str, str] | None = None,
        earlier: Earlier = _nothing,
        constraints: Sequence[str] = (),
    ) -> None:
        """Empty.

        Args:
            pooled: intervals of top-1 from the spread that a search pools over its trials;
                otherwise from each trial's own seeds, as the table of an ablation has them.
            reference: an ablation's row that is timed in alternation with all others; its speed
                is that of all alternations, as in the table, and its ratio is 1.
            changed: of an ablation's rows by label, what each changes in the base.
            earlier: the records of these ids; asked when a trial is timed again, since then its
                samples are taken together, and the frame keeps none.
            constraints: of a search, as its file has them.
        """
        self.reference = reference
        self._changed = changed or {}
        self._earlier = earlier
        self._beside: dict[tuple[str, float], tuple[list[float], list[float]]] = {}
        """(target, batch) -> the reference's latencies (ms) and images/s in all alternations."""
        self._reference_batches: dict[str, float] = {}
        """Target -> the batch of the reference's own record, a half of it where memory ended."""
        self.pooled = POOLED if pooled else ()
        self.text: dict[str, TextColumn] = {name: TextColumn() for name in TEXT_COLUMNS}
        self.numbers: dict[str, array[float]] = {"number": array("d"), "seconds": array("d")}
        self.touched: array[int] = array("q")
        """Id of the newest record of each row."""
        self.last_id = 0
        self.targets: dict[str, TargetFields | None] = {}
        """By id; None of what is no speed's."""
        self.judged_now: dict[int, str] = {}
        """Ids of records that are stored as complete, and the constraint that their trial breaks
        by them."""
        self._limits = Limits(constraints)
        self._record_ids = array("q")
        self._record_rows = array("q")
        """Id and row of every record taken."""
        self._rows: dict[tuple[str, str], int] = {}
        self._by_label: dict[str, int] = {}
        self._seeds: dict[tuple[int, str], dict[int, float]] = {}
        self._variances: dict[str, array[float]] = {key: array("d") for key in self.pooled}

    def __len__(self) -> int:
        return len(self.touched)

    def row(self, label: str) -> int | None:
        """The newest row of that label, or None."""
        return self._by_label.get(label)

    def record_ids(self, row: int) -> list[int]:
        """Ids of a trial's records, as they were appended."""
        mine = np.array(self._record_rows, dtype=np.int64) == row
        return [int(i) for i in np.array(self._record_ids, dtype=np.int64)[mine]]

    def seeds_of(self, row: int, key: str) -> Mapping[int, float]:
        """What each seed of a trial found; of trainings those of its largest budget."""
        return self._seeds.get((row, key), {})

    def extend(self, lines: Iterable[SlimRecord]) -> None:
        """Take every record."""
        for line in lines:
            self.add(line)

    def add(self, line: SlimRecord) -> None:
        """Take one record into the row of its trial."""
        row = self._row_of(line)
        first = not self.touched[row]
        self._record_ids.append(line.id)
        self._record_rows.append(row)
        self.touched[row] = self.last_id = line.id
        self._set_text(row, line)
        self.numbers["seconds"][row] += line.seconds
        if line.started:
            self._set(row, "ended", line.started + line.seconds)
        phase = PHASES.usable().get(line.phase)
        if phase is not None and phase.per_seed:
            fresh = self._take_seed(row, line, trains=phase.trains)
        else:
            fresh = self._take_taken(row, line)
        for quantity in spelt_intervals(PHASES.names()):
            interval = quantity.interval(line.values)
            if interval is not None:
                self._set(row, f"{quantity.name}:low", interval.low)
                self._set(row, f"{quantity.name}:high", interval.high)
        if line.status == self.text["status"][row] == "complete" and line.label.isdigit():
            self._judge(row, line, fresh, first)

    def _judge(self, row: int, line: SlimRecord, fresh: Mapping[str, float], first: bool) -> None:
        """End a search's trial by a constraint that it breaks although its record is complete."""

        def value(key: str) -> float:
            return self.numbers[key][row] if key in self.numbers else math.nan

        broken = self._limits.broken(fresh, value, lambda: line.arch, first=first)
        if broken:
            self.judged_now[line.id] = broken
            self.text["status"][row], self.text["error"][row] = "infeasible", _shortened(broken)

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

    def _row_of(self, line: SlimRecord) -> int:
        name = (line.label, line.digest)
        known = self._rows.get(name)
        if known is not None:
            return known
        row = self._rows[name] = self._by_label[line.label] = len(self)
        self.touched.append(0)
        for numbers in (*self._variances.values(), *self.numbers.values()):
            numbers.append(math.nan)
        self.numbers["number"][row] = row
        self.numbers["seconds"][row] = 0.0
        about = summarize(line.arch)
        firsts = {"label": line.label, "digest": line.digest, "origin": line.origin, **about}
        firsts |= {"status": "complete", "changed": self._changed.get(line.label, "")}
        for key, texts in self.text.items():
            texts.append(firsts.get(key, ""))
        self._set(row, "depth", float(sum(int(d) for d in about["depths"].split("-") if d)))
        return row

    def _set(self, row: int, key: str, value: float) -> None:
        if key not in self.numbers:
            self.numbers[key] = array("d", [math.nan]) * len(self)
        self.numbers[key][row] = value

    def _set_text(self, row: int, line: SlimRecord) -> None:
        phases = self.text["phases"]
        if line.phase not in phases[row]:  # no phase's name is part of another's
            phases[row] = f"{phases[row]} {line.phase}".strip()
        if line.status == "complete":  # nothing is less grave
            return
        if self.pooled and not ends_trial(line.status, line.seed):
            return
        if _GRAVITY[line.status] < _GRAVITY[self.text["status"][row]]:
            self.text["status"][row] = line.status
            self.text["error"][row] = _shortened(line.error)

    def _take_taken(self, row: int, line: SlimRecord) -> dict[str, float]:
        """Counts and speeds: one value each, under the target's name if there is one. Returns what
        was found, that of a halved batch too, which no column holds."""
        place = f"@{line.target}" if line.target else ""
        if line.target and line.target not in self.targets:
            self.targets[line.target] = line.on
            self._limits.settle(on for on in self.targets.values() if on is not None)
        halved = self._is_halved(line)
        found: dict[str, float] = {}
        for name, value in line.values.items():
            key, number = scale_count(name, value)
            found[key + place] = number
            if not (halved and name in OF_A_BATCH):
                self._set(row, key + place, number)
        if not line.timings:
            return found
        before = self._timed_before(row, line.target)
        for name, interval in line.intervals.items():
            if before:
                interval = _together(name, before, line.timings[name].samples)
            found[name + place] = interval.mid
            if not (halved and name in OF_A_BATCH):
                self._set_interval(row, name + place, interval)
        self._set_reference(line)
        self._set_ratio_of_reference(line.target)
        return found

    def _set_ratio_of_reference(self, target: str) -> None:
        """To itself the reference's ratio is 1, once it and any other row have a speed."""
        row, ratio = self._by_label.get(self.reference), f"throughput_ratio@{target}"
        rates = self.numbers.get(f"throughput_img_s@{target}")
        if row is None or rates is None or ratio not in self.numbers:
            return
        if math.isfinite(rates[row]):
            self._set(row, ratio, 1.0)

    def _is_halved(self, line: SlimRecord) -> bool:
        """Whether a speed was taken at fewer images than its target asks for."""
        timing = line.timings.get("latency_ms")
        return timing is not None and self._is_less(line.target, _batch(timing))

    def _is_less(self, target: str, batch: float) -> bool:
        on = self.targets.get(target)
        return on is not None and on.batch_size not in ("auto", batch) and batch != UNKNOWN_BATCH

    def _timed_before(self, row: int, target: str) -> list[Record]:
        """What this trial's earlier timings on this target found."""
        known = self.numbers.get(f"latency_ms@{target}")
        if known is None or math.isnan(known[row]):
            return []
        earlier = self._earlier(self.record_ids(row)[:-1])
        return [r for r in earlier if r.measurements and r.target == target]

    def _set_reference(self, line: SlimRecord) -> None:
        """The reference's speed; its own record is timed alone and first."""
        if line.label == self.reference and (own := line.timings.get("latency_ms")):
            self._reference_batches[line.target] = _batch(own)
        if base := line.timings.get("base_latency_ms"):
            at = line.target, _batch(base)
            rounds = self._beside.setdefault(at, ([], []))
            rounds[0].extend(base.samples)
            rounds[1].extend(1e3 * base.conditions.batch_size / ms for ms in base.samples)
        row, batch = self._by_label.get(self.reference), self._reference_batches.get(line.target)
        if row is None or batch is None or (line.target, batch) not in self._beside:
            return
        rounds = self._beside[line.target, batch]
        halved = self._is_less(line.target, batch)
        for name, samples in zip(("latency_ms", "throughput_img_s"), rounds, strict=True):
            if halved and name in OF_A_BATCH:
                continue
            interval = Measurement(name, tuple(samples)).interval()
            self._set_interval(row, f"{name}@{line.target}", interval)

    def _take_seed(self, row: int, line: SlimRecord, *, trains: bool) -> dict[str, float]:
        """What a seed gives: the mean over seeds, of trainings those of the largest budget.
        Returns the means."""
        means: dict[str, float] = {}
        if trains:
            largest = self.numbers["budget"][row] if "budget" in self.numbers else math.nan
            if line.budget < largest:
                return means
            if line.budget > largest:
                self._forget_smaller(row)
            self._set(row, "budget", line.budget)
        for name, value in line.values.items():
            key, number = scale_count(name, value)
            seeds = self._seeds.setdefault((row, key), {})
            seeds[line.seed] = number
            means[key] = sum(seeds.values()) / len(seeds)
            if key in self.pooled:
                self._set(row, key, means[key])
                self._variances[key][row] = seed_variance(list(seeds.values()))
            elif key == "top1_percent" and len(seeds) == 1 and "held_out_images" in line.values:
                self._set_interval(
                    row, key, wilson_interval(number, line.values["held_out_images"])
                )
            else:
                self._set_mean(row, key, seeds)
        if trains and line.values:
            self._set(row, "seeds", float(self._trained_seeds(row, line)))
        return means

    def _trained_seeds(self, row: int, line: SlimRecord) -> int:
        """How many seeds stand behind a row's top-1; where none has any, how many were trained."""
        names = TRAINED if any((row, name) in self._seeds for name in TRAINED) else line.values
        return max(len(self._seeds.get((row, scale_count(name, 0.0)[0]), ())) for name in names)

    def _set_interval(self, row: int, key: str, interval: Interval) -> None:
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


def _shortened(error: str) -> str:
    said = error.strip().splitlines() or [""]
    return said[-1][:_ERROR_LENGTH]


def _together(name: str, before: Sequence[Record], samples: Sequence[float]) -> Interval:
    earlier = [r.measurements[name].samples for r in before if name in r.measurements]
    return Measurement(name, tuple(v for each in (*earlier, samples) for v in each)).interval()


@functools.cache
def _t_quantile(n: int) -> float:
    """Two-sided 95 % quantile of Student's t for n values."""
    return float(scipy.stats.t.ppf(0.975, n - 1))
