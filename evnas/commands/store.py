"""`evnas store`: what keeps studies: checked, copied, written out, merged and mended."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from evnas.commands.options import Study
from evnas.commands.output import AsJson, emit, talk
from evnas.errors import EvnasError, StoreError
from evnas.words import counted

SHOWN = 20
"""Findings that are printed; `--json` has all."""


def check(study: Study, json: AsJson = False) -> None:
    """Read all of a study and compare it with its checksums; exit 1 when anything is wrong.

    \b
    Examples:
      evnas store check results/mine
    """
    from evnas.store.salvage import salvage

    path = _database(study)
    found = salvage(path)
    findings = found.findings()
    data = {
        "study": str(path),
        "records": len(found.lines),
        "set_aside": len(found.aside),
        "checksums": found.verified,
        "findings": findings,
        "lost_records": found.lost_records,
    }
    emit(data, "\n".join(_check_lines(data)), json)
    if findings:
        raise typer.Exit(1)


def backup(
    study: Study,
    output: Annotated[
        Path, typer.Argument(metavar="OUT", help="A new file, or a folder for a study.db.")
    ],
) -> None:
    """Copy a study as it is at this moment, also while a sweep writes it.

    \b
    Examples:
      evnas store backup results/mine copies/mine.db
    """
    from evnas.store.backup import backup as copied

    file = output if output.suffix == ".db" else output / "study.db"
    talk(f"{file}: {counted(copied(_database(study), file), 'record')}, read back")


def export(
    study: Study,
    output: Annotated[Path, typer.Argument(metavar="OUT", help="FILE.jsonl or FILE.parquet.")],
) -> None:
    """Write all records for other programs, as JSON lines or Parquet.

    \b
    Examples:
      evnas store export results/mine records.jsonl
    """
    from evnas.store.export import export as written
    from evnas.store.store import Store

    try:
        with Store.read(_database(study)) as store:
            talk(f"{output}: {counted(written(store, output), 'record')}")
    except OSError as e:
        raise StoreError(f"{output}: must be a file that can be written ({e.strerror})") from e


def merge(
    study: Study,
    other: Annotated[
        Path, typer.Argument(metavar="OTHER", help="Another study's folder, which stays.")
    ],
) -> None:
    """Add to a study what another machine's study of the same sweep has more.

    \b
    Examples:
      evnas store merge results/mine other/results/mine
    """
    from evnas.store.merge import merge as merged

    done = merged(_database(study), _database(other))
    said = f"{counted(done.added, 'record')} added, {done.doubles} there already"
    if done.not_comparable:
        speeds = counted(done.not_comparable, "speed")
        said += (
            f"; of these {speeds} of an unlike machine, counting as lost: "
            "`evnas sweep --retry lost` takes them here"
        )
    talk(f"{study}: {said}")


def repair(study: Study, json: AsJson = False) -> None:
    """Keep every record that verifies, in a new file; the damaged one stays beside it.

    \b
    Examples:
      evnas store repair results/mine
    """
    from evnas.store.repair import repair as repaired

    path = _database(study)
    done = repaired(path, spare=lambda notes: _spare_notes(path.parent, notes))
    data = {
        "study": str(path),
        "kept": done.kept,
        "lost_records": done.lost_records,
        "lost_notes": done.lost_notes,
        "damaged": str(done.damaged or ""),
    }
    emit(data, "\n".join(_repair_lines(data)), json)


def resume(study: Study) -> None:
    """Let a paused study go on; where no sweep runs it, the next `evnas sweep` does.

    \b
    Examples:
      evnas store resume results/mine
    """
    import time

    from evnas.store.asked import Request, leave, settle_free
    from evnas.store.store import Store

    Store.read(_database(study)).close()
    folder = _database(study).parent
    leave(folder, Request(action="resume", at=time.time()))
    talk(f"{folder}: {'; '.join(settle_free(folder)) or 'its driver is told to go on'}")


HELP = "Check, copy, write out, merge and mend what keeps studies; let paused ones go on."
ACTIONS = (check, backup, export, merge, repair, resume)
"""Of `evnas store`, in the order of its help."""


def _database(study: Path) -> Path:
    return study if study.suffix == ".db" else study / "study.db"


def _check_lines(data: Mapping[str, Any]) -> list[str]:
    aside = f", {data['set_aside']} set aside" if data["set_aside"] else ""
    first = f"{data['study']}: {counted(data['records'], 'record')}{aside}"
    if not data["checksums"]:
        first += "; written before there were checksums, which it gains when a sweep goes on"
    findings = data["findings"]
    if not findings:
        return [first, "all of it is what was written" if data["checksums"] else "it can be read"]
    more = [f"and {len(findings) - SHOWN} more"] if len(findings) > SHOWN else []
    mend = f"`evnas store repair {Path(data['study']).parent}` keeps what verifies"
    return [first, *findings[:SHOWN], *more, mend]


def _repair_lines(data: Mapping[str, Any]) -> list[str]:
    if not data["damaged"]:
        return [f"{data['study']}: nothing to mend, {counted(data['kept'], 'record')}"]
    lost = data["lost_records"]
    lines = [
        f"{data['study']}: {counted(data['kept'], 'record')} kept, {len(lost)} lost",
        f"as it was: {data['damaged']}",
    ]
    if lost:
        shown = ", ".join(map(str, lost[:SHOWN])) + (", ..." if len(lost) > SHOWN else "")
        lines.append(f"lost: {shown}; the sweep's own command does that work again")
    if data["lost_notes"]:
        lines.append(f"lost notes: {', '.join(data['lost_notes'])}")
    return lines


def _spare_notes(folder: Path, notes: Mapping[str, Any]) -> dict[str, Any]:
    """What a study is of, from `sweep.resolved.yaml` where its own notes are gone."""
    from evnas.sweep.sweep import load_sweep, sweep_of

    resolved = folder / "sweep.resolved.yaml"
    found: dict[str, Any] = {}
    try:
        sweep = sweep_of(notes["sweep"]) if notes.get("sweep") else load_sweep(resolved)
        found = {"sweep": sweep.spec.to_dict(), "identity": sweep.identity()}
    except EvnasError:  # neither is there: whoever asked says so
        return found
    return found
