"""`evnas sweep`: run a sweep, or go on with it."""

import time
from pathlib import Path
from typing import Annotated

import typer

from evnas.commands.options import Name, Overrides, Quick, Results, SweepFile
from evnas.commands.output import AsJson, emit
from evnas.errors import SpecError


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
    from evnas.report.outcome import write_outcome
    from evnas.report.tables import as_data, as_text
    from evnas.search.study import add_time
    from evnas.store import Store

    began = time.monotonic()
    table = write_outcome(folder).table
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
