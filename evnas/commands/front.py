"""`evnas front`: the members of a study's front."""

from pathlib import Path
from typing import Any

from evnas.commands.options import Study
from evnas.commands.output import AsJson, columns, emit, talk
from evnas.stats.interval import Interval
from evnas.words import counted


def front(study: Study, json: AsJson = False) -> None:
    """List the front of a study, with what --pick calls its members.

    \b
    Examples:
      evnas front results/mine
    """
    from evnas.store import Store

    Store.read(study / "study.db").close()  # a mistake does not wait for heavier packages
    from evnas.report.frame.study_reader import StudyReader

    reader = StudyReader(study)
    try:
        reader.read_all()
        found = _front_of(reader, study)
        notes = _cautions(reader, [member["trial"] for member in found["members"]])
    finally:
        reader.close()
    for note in notes:
        talk(note)
    emit(found | {"cautions": notes}, _text(found), json)


def _front_of(reader: Any, study: Path) -> dict[str, Any]:
    from evnas.report.query.pick import front_rows, judged_by, wishes_of

    frame, aims = reader.frame, judged_by(reader.sweep, reader.objectives())
    wishes = wishes_of(frame, aims)
    members = []
    for place, row in enumerate(front_rows(frame, aims), start=1):
        record = reader.records_of(row)[-1]
        values = frame.as_row(row)
        members.append(
            {
                "pick": f"front:{place}",
                "also": wishes.get(row, []),
                "trial": record.label,
                "digest": record.digest,
                "objectives": {
                    aim.key: {
                        "better": aim.better,
                        **{end: values.get(aim.key + end_key) for end, end_key in _ENDS},
                    }
                    for aim in aims
                },
                "params_m": values.get("params_m"),
                "macs_g": values.get("macs_exact_g"),
                "mixers": values["mixers"],
                "dims": values["dims"],
                "depths": values["depths"],
            }
        )
    return {"study": str(study), "trials": len(frame), "members": members}


_ENDS = (("low", ":low"), ("mid", ""), ("high", ":high"))


def _cautions(reader: Any, members: list[str]) -> list[str]:
    """What weakens a search's figures; an ablation's table says it itself."""
    if reader.sweep.get("rows"):
        return []
    from evnas.record import mixed_machines
    from evnas.report.table.cautions import about_search

    records = [record for _, record in reader.store.records()]
    return [*about_search(records, members), *mixed_machines(records)]


def _text(found: dict[str, Any]) -> str:
    members, trials = found["members"], counted(found["trials"], "trial")
    if not members:
        return f"{found['study']}: no trial has reached the front ({trials})"
    keys = list(members[0]["objectives"])
    beside = {"params_m": "params_m", "macs_g": "macs_exact_g"}
    shown = [name for name, key in beside.items() if key not in keys]
    head = ("pick", "trial", *keys, *shown, "mixers", "dims", "depths", "also")
    rows = [
        (
            member["pick"],
            member["trial"],
            *(_spelt(member["objectives"][key]) for key in keys),
            *("" if member[key] is None else f"{member[key]:.4g}" for key in shown),
            member["mixers"],
            member["dims"],
            member["depths"],
            ", ".join(member["also"]),
        )
        for member in members
    ]
    last = f"{found['study']}: {len(members)} of {trials} on the front"
    return f"{columns(head, rows)}\n\n{last}"


def _spelt(value: dict[str, Any]) -> str:
    low, mid, high = value["low"], value["mid"], value["high"]
    if low is None or high is None:
        low = high = mid
    return Interval(low, mid, high).spelt()
