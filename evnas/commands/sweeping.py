"""`evnas sweep`, `plan` and `check`: what a sweep file says, and doing it."""

import time
from pathlib import Path
from typing import Annotated

import typer

from evnas.commands.output import AsJson, emit
from evnas.errors import SpecError

SweepFile = Annotated[Path, typer.Argument(metavar="FILE", help="A sweep's YAML.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change the sweep: proxy.epochs=4."),
]
Quick = Annotated[bool, typer.Option("--quick", help="A first look, as study NAME_quick.")]
Name = Annotated[str | None, typer.Option("--name", help="Another name for the study.")]
Results = Annotated[Path, typer.Option("--results", help="Where studies are kept.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (sweep, plan, check):
        app.command()(command)


def sweep(
    file: SweepFile,
    overrides: Overrides = None,
    quick: Quick = False,
    name: Name = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over; the old study is kept aside.")
    ] = False,
    results: Results = Path("results"),
    json: AsJson = False,
) -> None:
    """Run a sweep, or go on with it, and print its table beside the published one."""
    began = time.monotonic()
    from evnas.sweep import load_sweep

    loaded = load_sweep(file, overrides=overrides or (), quick=quick, name=name)
    from evnas.search.runner import run_sweep

    try:
        folder = run_sweep(loaded, results=results, fresh=fresh, began=began)
    except SpecError as e:
        raise loaded.located.blame(e) from None  # what shows only on this machine, or in search
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    from evnas.commands.fronts import front, front_text
    from evnas.report.page.outputs import write_outputs
    from evnas.report.table.formats import as_data, as_text
    from evnas.search.study import add_time
    from evnas.store import Store

    began = time.monotonic()
    table = write_outputs(folder).table
    with Store.append_to(folder / "study.db") as store:
        spent = add_time(store, wall_s=time.monotonic() - began)
    data = {
        "study": str(folder),
        "table": None if table is None else as_data(table),
        "front": front(folder),
        "time": spent.to_dict(),
    }
    shown = (front_text(folder) if table is None else as_text(table)) + "\n\n"
    emit(data, f"{shown}{spent}\nreport: {folder / 'report.html'}", json)


def plan(
    file: SweepFile,
    overrides: Overrides = None,
    quick: Quick = False,
    name: Name = None,
    results: Results = Path("results"),
    json: AsJson = False,
) -> None:
    """Say what a sweep would run and how long it would take, from a quick calibration."""
    from evnas.sweep import load_sweep

    loaded = load_sweep(file, overrides=overrides or (), quick=quick, name=name)
    from evnas.search.forecast import forecast

    try:
        expected = forecast(loaded, results=results)
    except SpecError as e:
        raise loaded.located.blame(e) from None
    emit(expected.to_dict(), expected.text(), json)


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
