"""What is to be said above figures that are weaker than they look, of ablations and searches."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from evnas.record import Record
from evnas.report.table.speed_cells import LEAST_ROUNDS
from evnas.sweep.trainings import at_chance
from evnas.words import counted

MOST_REASONS = 4
_KEPT = "although spoiled: "
_FIGURES = re.compile(
    r"^\d+% of | from \d.*MHz$| of \d+% of the CPU| for \d+% of the round| \(.*\)| \d+%|^\d+ "
)
MOST_NAMED = 8
"""Rows or trials that a sentence names."""


def about_speeds(speeds: Sequence[Record]) -> list[str]:
    """Of noise on the machine, and of too few rounds."""
    found = []
    conditions = [r.details.get("conditions") or {} for r in speeds]
    noisy = {r.label for r in speeds if _was_noisy(r)}
    if noisy:
        found.append(
            f"not quiet: {len(noisy)} of {len(speeds)} speeds keep rounds that something else on "
            f"the machine disturbed: {', '.join(_kept_although(conditions))}"
        )
    found += dict.fromkeys(said for of in conditions for said in of.get("cpu", ()))
    few = dict.fromkeys(r.label for r in speeds if _had_few_rounds(r))
    if few:
        found.append(
            f"fewer than {LEAST_ROUNDS} rounds: {first_named(list(few))}; their ratios say "
            "little, one without an interval is of a single round; raise budget_s"
        )
    return found


def spoilers(conditions: Iterable[Mapping[str, Any]]) -> str:
    """What spoiled rounds of some measurements, and how many of each; "" where nothing did."""
    reasons: Counter[str] = Counter()
    for of in conditions:
        reasons.update(_without_figures(again["why"]) for again in of.get("retaken", ()))
    if not reasons:
        return ""
    most = ", ".join(f"{why} ({n})" for why, n in reasons.most_common(MOST_REASONS))
    return f"rounds taken again, and what spoiled them: {most}"


def _kept_although(conditions: Iterable[Mapping[str, Any]]) -> list[str]:
    """What spoiled rounds that were kept, each kind once."""
    warnings = [text for of in conditions for text in of.get("warnings", ()) if _KEPT in text]
    reasons = [why for text in warnings for why in text.partition(_KEPT)[2].split("; ")]
    return list(dict.fromkeys(map(_without_figures, reasons)))


def _without_figures(why: str) -> str:
    """A reason by its kind: `foreign load of 83% of the CPU` is foreign load."""
    return _FIGURES.sub("", why).strip()


def about_trainings(trained: Mapping[str, Sequence[Record]]) -> list[str]:
    """Of rows or trials whose top-1 is a guess; `trained` holds the trainings of each label."""
    found = []
    guessed = [label for label, records in trained.items() if at_chance(records)]
    if guessed:
        found.append(f"at chance, nothing learnt yet: {first_named(guessed)}; train longer")
    found += _shown_less(trained)
    found += _several_roundings(trained)
    parted = [
        label
        for label, records in trained.items()
        if any(r.details.get("batch_parts", 1) > 1 for r in records)
    ]
    if parted:
        found.append(
            f"trained with the batch in parts, for want of memory: {first_named(parted)}; their "
            "batch norms saw fewer images at once than others', which moves top-1 a little"
        )
    return found


def _several_roundings(trained: Mapping[str, Sequence[Record]]) -> list[str]:
    """Of trainings on several kinds of processor, or with several numbers of its threads."""
    kinds: dict[str, None] = {}
    for record in (record for records in trained.values() for record in records):
        if "top1_percent" not in record.values or "threads" not in record.details:
            continue
        machine = record.machine
        processor = (machine and machine.processor) or "a processor that was not noted"
        on_cpu = record.details.get("device", "cpu") == "cpu"
        threads = f", {counted(record.details['threads'], 'thread')}" if on_cpu else ""
        kinds.setdefault(processor + threads)
    if len(kinds) < 2:
        return []
    return [
        f"trained on {'; on '.join(kinds)}: they round differently, which moves the top-1 of a "
        "seed as much as another seed does"
    ]


def _shown_less(trained: Mapping[str, Sequence[Record]]) -> list[str]:
    """Of trainings that ended whole on fewer presentations than their budget says."""
    shown: dict[tuple[int, int], list[str]] = {}
    for label, records in trained.items():
        for record in records:
            images = int(record.curve[-1]["images"]) if record.curve else 0
            if record.status == "complete" and 0 < images < record.budget:
                labels = shown.setdefault((images, int(record.budget)), [])
                labels += [] if label in labels else [label]
    return [
        f"shown {images:,} images in place of {budget:,}, since an epoch is at most all training "
        f"images: {first_named(labels)}; ask for more and shorter epochs"
        for (images, budget), labels in shown.items()
    ]


def about_search(records: Sequence[Record], front: Sequence[str]) -> list[str]:
    """The same of a search's trials, each at its longest training; the front's come first.

    A training whose record does not say on how many images its top-1 was taken is left out: chance
    cannot be known then.
    """
    speeds = [r for r in records if r.phase == "speed"]
    trained: dict[str, list[Record]] = {label: [] for label in front}
    for record in records:
        known = record.phase == "proxy" and "held_out_images" in record.values
        if known and record.status == "complete":
            trained.setdefault(record.label, []).append(record)
    longest = {
        label: [r for r in of if r.budget == max(x.budget for x in of)]
        for label, of in trained.items()
    }
    return [*about_speeds(speeds), *about_trainings(longest)]


def first_named(labels: Sequence[str]) -> str:
    """The first of some rows, and how many more there are."""
    more = len(labels) - MOST_NAMED
    return ", ".join(labels[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _had_few_rounds(record: Record) -> bool:
    ratio = record.measurements.get("throughput_ratio")
    if ratio is None or ratio.conditions.get("beyond_a_limit"):  # no time would have changed it
        return False
    return len(ratio.samples) < LEAST_ROUNDS


def _was_noisy(record: Record) -> bool:
    conditions = record.details.get("conditions", {})
    return any("spoiled" in warning for warning in conditions.get("warnings", []))
