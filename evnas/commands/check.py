"""`evnas check`: is a sweep file sound, and which architectures are its rows?"""

from evnas.commands.options import Overrides, Quick, SweepFile
from evnas.commands.output import AsJson, emit


def check(
    file: SweepFile,
    overrides: Overrides = None,
    quick: Quick = False,
    json: AsJson = False,
) -> None:
    """Validate a sweep file, and name the architecture of each row."""
    from evnas.sweep import load_sweep

    loaded = load_sweep(file, overrides=overrides or (), quick=quick)
    from evnas.search.begin import checked

    notes = checked(loaded)
    digests = {c.label: c.digest for c in loaded.candidates}
    data = {
        "name": loaded.spec.name,
        "rows": digests,
        "sweep": loaded.spec.to_dict(),
        "notes": notes,
    }
    count = f"{len(digests)} row{'s' if len(digests) != 1 else ''}"
    if loaded.spec.search is not None:
        count = f"a search by {loaded.spec.search.strategy.kind}"
    said = [f"{file}: sweep {loaded.spec.name} is valid, {count}", *notes]
    emit(data, "\n".join(said), json)
