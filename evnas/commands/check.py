"""`evnas check`: is a sweep file valid, and which architectures are its rows?"""

from typing import TYPE_CHECKING

from evnas.arch.changes import shortened
from evnas.arch.paths import diff
from evnas.commands.options import Overrides, Quick, SweepFile
from evnas.commands.output import AsJson, columns, emit
from evnas.commands.stages import stage_lines
from evnas.errors import SpecError

if TYPE_CHECKING:
    from evnas.sweep.candidate import Candidate
    from evnas.sweep.sweep import Sweep


def check(
    file: SweepFile,
    overrides: Overrides = None,
    quick: Quick = False,
    json: AsJson = False,
) -> None:
    """Validate a sweep file, and print the architecture of its base and of each row.

    \b
    Examples:
      evnas check mine.yaml
      evnas check search_cpu --json
    """
    from evnas.sweep.sweep import load_sweep

    loaded = load_sweep(file, overrides=overrides or (), quick=quick)
    from evnas.search.installed import must_be_installed
    from evnas.search.preflight import checked

    try:
        must_be_installed(loaded.spec.engine)
    except SpecError as e:
        raise loaded.document.blame(e) from None
    notes = checked(loaded)
    digests = {c.label: c.digest for c in loaded.candidates}
    data = {
        "name": loaded.spec.name,
        "rows": digests,
        "sweep": loaded.spec.to_dict(),
        "notes": notes,
        "base": {"digest": loaded.base.digest, "arch": loaded.base.to_dict()},
        "archs": {c.label: c.to_dict() for c in loaded.candidates if not c.absent},
    }
    said = [f"{file}: sweep {loaded.spec.name} is valid, {loaded.spec.in_words}", *notes]
    emit(data, "\n".join([*said, *_architectures(loaded)]), json)


def _architectures(sweep: "Sweep") -> list[str]:
    """The base stage by stage, then a line per row: its digest, and what it changes."""
    lines = ["", f"base ({sweep.base.digest})", *stage_lines(sweep.base.to_dict())[1:]]
    if not sweep.candidates:
        return lines
    rows = [(c.label, "" if c.absent else c.digest, _changes(c, sweep)) for c in sweep.candidates]
    return [*lines, "", columns(("row", "architecture", "differs from the base"), rows)]


def _changes(row: "Candidate", sweep: "Sweep") -> str:
    if row.absent:
        return f"absent: {row.absent}"
    if row.arch is None:
        return f"timm's {row.timm}"
    return shortened(diff(sweep.base, row.arch)) or "the base"
