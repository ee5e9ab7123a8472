"""What `evnas plan` says, as a page to be looked at before a sweep is started; and what its study
says of one that was started without."""

import time
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import yaml

from evnas.errors import EvnasError
from evnas.report.frame.study_reader import StudyReader
from evnas.report.page.colours import PALETTE
from evnas.report.page.kept_plan import KeptPlan
from evnas.report.page.plain_page import listing, note, plain_page, section
from evnas.sweep.detectable import detectable_differences
from evnas.sweep.sweep import sweep_of
from evnas.words import counted

Data = Mapping[str, Any]
MOST_ROWS = 200
"""Rows that are listed one by one; a search's trials are all alike."""
BAR = 640
"""Width of the bar of phases, in pixels."""
SETTINGS = ("budget", "objectives", "constraints", "seeds")
"""Keys of a sweep that say when it ends and what it is judged by."""


def plan_page(kept: KeptPlan) -> str:
    """The page, one file."""
    plan = kept.plan
    phases = _phases(plan["steps"])
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(kept.made))
    done = sum(step["done"] for step in plan["steps"])
    said = f"Made {when}, when {done} of {len(plan['steps'])} pieces of work were done."
    parts = [
        section("What would run", *_whole(plan), note(said), _bar(phases), _phase_table(phases)),
        *_what_varies(kept.sweep),
        section("Row by row", _rows(plan["steps"])),
        *([section("What it can tell", *_power(plan["power"]))] if plan.get("power") else []),
        *_how(kept.command, kept.sweep),
    ]
    return plain_page(f"Plan of {plan['study']}", parts)


def begun_page(reader: StudyReader) -> str:
    """The same of a study that has begun, from what it holds and its driver expects."""
    sweep, progress = reader.sweep, reader.meta("progress")
    place = f"results/{reader.folder.name}/sweep.resolved.yaml"
    lines = [note(f"No plan was kept; `evnas plan {place} --keep` keeps one.")]
    if progress:
        left = spelt_time(progress["left_s"])
        lines += [note(f"About {left} left, by what each phase has taken."), _counted(progress)]
    power = _power_of(reader)
    parts = [
        section("What runs", *lines),
        *_what_varies(sweep),
        *([section("What it can tell", *_power(power))] if power else []),
        *_how(f"evnas sweep {place}", sweep),
    ]
    return plain_page(f"Plan of {reader.folder.name}", parts)


def _power_of(reader: StudyReader) -> Data | None:
    if not reader.sweep.get("rows"):
        return None
    try:
        sweep = sweep_of(reader.sweep)
    except EvnasError:  # an older or newer sweep: the rest is worth showing
        return None
    with reader.lock:
        records = [record for _, record in reader.store.records()]
    found = detectable_differences(sweep, records)
    return None if found is None else found.to_dict()


def _counted(progress: Data) -> str:
    rows = [
        (phase, str(count["total"]), str(count["done"]))
        for phase, count in progress["phases"].items()
    ]
    return listing("Work by phase", ("Phase", "Pieces of work", "Done"), rows)


def _how(command: str, sweep: Data) -> list[str]:
    text = yaml.safe_dump(dict(sweep), sort_keys=False, allow_unicode=True)
    return [
        section("To start it, or to go on", f"<pre>{escape(command)}</pre>"),
        section("The sweep", f"<pre>{escape(text)}</pre>"),
    ]


def _what_varies(sweep: Data) -> list[str]:
    """The rows of an ablation or the axes of a space, and what ends and judges it."""
    rows, axes = sweep.get("rows") or {}, (sweep.get("space") or {}).get("axes") or {}
    tables = []
    if rows:
        listed = [(str(label), ", ".join(_pairs(row))) for label, row in rows.items()]
        tables.append(listing("Rows", ("Row", "Changes"), listed[:MOST_ROWS]))
    if axes:
        values = [(str(path), _flow(domain)) for path, domain in axes.items()]
        tables.append(listing("Axes of the space", ("Axis", "Values"), values))
    given = [(key, _flow(sweep[key])) for key in SETTINGS if sweep.get(key)]
    tables += [listing("Budget and aims", ("Key", "Value"), given)] if given else []
    return [section("What varies", *tables)] if tables else []


def _pairs(row: Any) -> list[str]:
    if not isinstance(row, Mapping):
        return ["nothing"]
    return [f"{path}: {_flow(value)}" for path, value in row.items()] or ["nothing"]


def _flow(value: Any) -> str:
    """A value as a sweep's file has it, in one line, without what is not given."""
    if isinstance(value, Mapping):
        value = {key: inner for key, inner in value.items() if inner is not None}
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6)
    return text.removesuffix("...\n").strip()


def spelt_time(seconds: float) -> str:
    """`40 s`, `12 min`, `3 h 05 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def _whole(plan: Data) -> list[str]:
    trials, left = counted(plan["trials"], "trial"), spelt_time(plan["seconds"])
    said = f"{trials}, about {left} for all that is left."
    rate = plan["calibrated_train_throughput_img_s"]
    trained = f"The reference trains {rate:.4g} images a second here." if rate else ""
    return [note(text) for text in (said, trained, *plan["notes"]) if text]


def _phases(steps: Sequence[Data]) -> dict[str, tuple[int, int, float]]:
    """Phase -> pieces of work, those done, seconds ahead; in the order in which they run."""
    found: dict[str, tuple[int, int, float]] = {}
    for step in steps:
        pieces, done, seconds = found.get(step["phase"], (0, 0, 0.0))
        found[step["phase"]] = pieces + 1, done + step["done"], seconds + step["seconds"]
    return found


def _phase_table(phases: Mapping[str, tuple[int, int, float]]) -> str:
    rows = [
        (phase, str(pieces), str(done), spelt_time(seconds))
        for phase, (pieces, done, seconds) in phases.items()
    ]
    return listing("Work by phase", ("Phase", "Pieces of work", "Done", "Time ahead"), rows)


def _bar(phases: Mapping[str, tuple[int, int, float]]) -> str:
    """The time ahead, a segment a phase; the table below it carries the same."""
    whole = sum(seconds for *_, seconds in phases.values())
    if not whole:
        return ""
    drawn, x = [], 0.0
    for i, (phase, (_, _, seconds)) in enumerate(phases.items()):
        wide = BAR * seconds / whole
        said = f"{phase}, {spelt_time(seconds)}"
        word = f'<text x="{x:.1f}" y="40">{escape(phase)}</text>' if wide > 60 else ""
        drawn.append(
            f'<g><title>{escape(said)}</title><rect x="{x:.1f}" width="{max(0.0, wide - 1):.1f}" '
            f'height="24" fill="{PALETTE[i % len(PALETTE)]}"/>{word}</g>'
        )
        x += wide
    return (
        f'<svg class="phases" viewBox="0 0 {BAR} 46" width="{BAR}" role="img" '
        f'aria-label="Time ahead by phase">{"".join(drawn)}</svg>'
    )


def _rows(steps: Sequence[Data]) -> str:
    by_row: dict[str, dict[str, float]] = {}
    for step in steps:
        row = by_row.setdefault(str(step["row"]), {})
        row[step["phase"]] = row.get(step["phase"], 0.0) + step["seconds"]
    names = list(dict.fromkeys(step["phase"] for step in steps))
    lines = [
        (label, *(spelt_time(row.get(name, 0.0)) for name in names), spelt_time(sum(row.values())))
        for label, row in list(by_row.items())[:MOST_ROWS]
    ]
    more = len(by_row) - len(lines)
    table = listing("Time ahead", ("Row or trial", *names, "In all"), lines)
    return table + (note(f"And {more} more.") if more else "")


def _power(power: Data) -> list[str]:
    said = (
        f"Differences of top-1 from {power['smallest_difference_percent']:.1f} points on can be "
        f"detected (noise between seeds {power['seed_noise_percent']:.2f}, {power['noise_of']})."
    )
    rows = [
        (
            label,
            f"{row['printed_difference']:+.1f}",
            "can be detected" if row["tells"] else "cannot",
            ""
            if row["tells"] or row["seeds_needed"] is None
            else counted(row["seeds_needed"], "seed"),
        )
        for label, row in power["rows"].items()
    ]
    heads = ("Row", "Printed difference, points", "Here", "It would take")
    return [note(said), *([listing("Printed differences", heads, rows)] if rows else [])]
