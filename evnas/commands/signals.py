"""`evnas signals`: what untrained models show, of named ones or of all printed ones."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evnas.commands.output import AsJson, columns, emit, talk
from evnas.errors import SpecError
from evnas.files import write_whole
from evnas.sweep.named import arch_of, entry_of

if TYPE_CHECKING:
    from evnas.phases.work import Work
    from evnas.record import Record
    from evnas.sweep.candidate import Candidate


def signals(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME...", help="Of the catalogue, YAML files, timm:NAME."),
    ] = None,
    published: Annotated[
        bool, typer.Option("--published", help="Every architecture whose top-1 is printed.")
    ] = False,
    signal: Annotated[
        list[str] | None, typer.Option("--signal", help="One of them; all if not given.")
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Initialisations of each.")] = 1,
    images: Annotated[int, typer.Option("--images", min=4, help="How many they are of.")] = 16,
    resolution: Annotated[
        int, typer.Option("--resolution", min=32, help="Side of those in pixels.")
    ] = 96,
    results: Annotated[
        Path, typer.Option("--results", help="Where they are kept; what is there is not redone.")
    ] = Path("results/signals"),
    table: Annotated[
        Path | None, typer.Option("--csv", help="Write them to this file as well.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Take training-free signals of untrained models: a line per architecture and seed.

    \b
    Examples:
      evnas signals efficientvim_m1 timm:shvit_s4 --signal reach
    """
    if bool(names) == published:
        raise SpecError("name architectures or pass --published, one of the two")
    wanted = _printed() if published else [_named(name) for name in names or ()]
    from evnas.search.signals import known_signals, signal_works, signals_csv
    from evnas.tables import SCORES

    for error in () if signal else SCORES.broken().values():
        talk(f"{error}; it is left out")
    asked = known_signals(signal or ())
    works = list(signal_works(wanted, asked, range(seeds), side=resolution, images=images))
    rows = _taken(works, results / "signals.db")
    if table is not None:
        write_whole(table, signals_csv(rows))
    head = list(dict.fromkeys(key for row in rows for key in row if "seconds" not in key))
    text = columns(head, [[_short(row.get(key, "")) for key in head] for row in rows])
    emit(rows, text, json)


def _taken(works: "Sequence[Work]", kept: Path) -> list[dict[str, object]]:
    """A row per architecture and seed; what `kept` does not hold yet is taken first."""
    from evnas.search.signals import signal_rows, take_signals
    from evnas.store import Store

    def say(record: "Record") -> None:
        which = f"{record.label} {record.phase} {record.target} seed {record.seed}"
        talk(f"{which}: {record.seconds:.1f} s {record.error}")

    take_signals(works, kept, say, talk)
    keys = {work.key for work in works}
    with Store.read(kept) as store:
        return signal_rows(r for _, r in store.records() if r.key in keys)


def _printed() -> "list[tuple[Candidate, int]]":
    from evnas.predict.printed import printed_architectures

    return [(p.candidate, p.resolution) for p in printed_architectures()]


def _named(name: str) -> "tuple[Candidate, int]":
    from evnas.sweep.candidate import Candidate

    if name.startswith("timm:"):
        from evnas.measure.models import must_be_a_peer

        must_be_a_peer(name[5:], name)
        return Candidate(label=name, arch=None, timm=name[5:], published=name), 224
    known = entry_of(name)
    side = known.resolution if known else 224
    return Candidate(label=name, arch=arch_of(name), published=name), side


def _short(value: object) -> object:
    return f"{value:.4g}" if isinstance(value, float) else value
