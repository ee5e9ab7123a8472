"""The front of a search, as its files under front/ have it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evnas.arch.changes import read_changes, shortened
from evnas.commands.output import columns
from evnas.record import mixed_machines
from evnas.report.frame.columns import describe_column
from evnas.report.table.cautions import about_search
from evnas.stats.interval import Interval
from evnas.store import Store


def front(folder: Path) -> list[dict[str, Any]] | None:
    """The members of a study's front; None of an ablation, which has none."""
    path = folder / "front" / "front.json"
    if not path.exists():
        return None
    members: list[dict[str, Any]] = json.loads(path.read_text())["members"]
    return members


def cautions(folder: Path) -> list[str]:
    """What weakens a search's figures; nothing of an ablation, whose table says it."""
    members = front(folder)
    if members is None:
        return []
    with Store.read(folder / "study.db") as store:
        records = [record for _, record in store.records()]
    return [*about_search(records, [m["trial"] for m in members]), *mixed_machines(records)]


def front_text(folder: Path) -> str:
    """What weakens the figures, then a line per member: objectives with their intervals, ties,
    differences from the base."""
    members = front(folder) or []
    if not members:
        return "no candidate reached the front"
    notes = "".join(f"{line}\n" for line in cautions(folder))
    return f"{notes}{members_table(members)}\n\neach with its files in {folder / 'front'}"


def members_table(members: Sequence[Mapping[str, Any]]) -> str:
    """A line per member of a front that has one; `front/front.json` holds all of what is shortened
    here."""
    metrics = list(members[0]["objectives"])
    rows = [
        (
            member["trial"],
            *(_interval(member["objectives"][metric]) for metric in metrics),
            ", ".join(member["tied_with"]),
            member["nearest_published"],
            shortened(read_changes(member["diff_to_base"])) or "the base",
        )
        for member in members
    ]
    head = (
        "trial",
        *map(_heading, metrics),
        "tied with",
        "nearest published",
        "differs from the base",
    )
    return columns(head, rows)


def _heading(metric: str) -> str:
    """The objective in words, with its target and unit."""
    column = describe_column(metric)
    target = f" @ {column.target}" if column.target else ""
    return f"{column.label}{target}{f', {column.unit}' if column.unit else ''}"


def _interval(value: Mapping[str, Any]) -> str:
    return Interval(value["low"], value["mid"], value["high"]).spelt()
