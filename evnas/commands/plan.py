"""`evnas plan`: what a sweep would run, and for how long."""

import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from evnas.commands.options import (
    Name,
    Overrides,
    PageFile,
    Quick,
    Results,
    Rows,
    SweepFile,
)
from evnas.commands.output import AsJson, emit, talk
from evnas.errors import SpecError
from evnas.files import must_have_a_place, write_whole


def plan(
    file: SweepFile,
    overrides: Overrides = None,
    quick: Quick = False,
    name: Name = None,
    rows: Rows = None,
    results: Results = Path("results"),
    html: PageFile = None,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Keep it where the study will be: the dashboard shows it."),
    ] = False,
    json: AsJson = False,
) -> None:
    """Say what a sweep would run and how long it would take, from a quick calibration.

    \b
    Examples:
      evnas plan table_c
      evnas plan search_cpu --set budget.minutes=60 --html plan.html
      evnas plan mine.yaml --keep
    """
    from evnas.sweep.sweep import load_sweep, must_have_rows

    if html is not None:
        must_have_a_place(html)  # known before the calibration
    loaded = load_sweep(file, overrides=overrides or (), quick=quick, name=name)
    must_have_rows(loaded, rows or ())
    from evnas.search.installed import must_be_installed

    try:
        must_be_installed(loaded.spec.engine)
        from evnas.search.forecast import forecast  # torch: seconds that a mistake does not wait

        expected = forecast(loaded, results=results, rows=rows or (), say=talk)
    except SpecError as e:
        raise loaded.document.blame(e) from None
    from evnas.store import Store
    from evnas.sweep.detectable import about_power, detectable_differences

    path = results / loaded.spec.name / "study.db"
    records = []
    if path.exists():
        with Store.read(path) as store:
            records = [record for _, record in store.records()]
    power = detectable_differences(loaded, records, training_images=expected.training_images)
    data = {**expected.to_dict(), "power": power and power.to_dict()}
    if html is not None or keep:
        command = _command(file, overrides, quick, name, rows or (), results)
        _keep(data, loaded.spec.to_dict(), command, html, path.parent if keep else None)
    said = [expected.text(), about_power(loaded, power)]
    emit(data, "\n".join(filter(None, said)), json)


def _command(
    file: Path,
    overrides: Sequence[str] | None,
    quick: bool,
    name: str | None,
    rows: Sequence[str],
    results: Path,
) -> str:
    """What starts the sweep that was planned."""
    more = [part for change in overrides or () for part in ("--set", change)]
    more += ["--quick"] if quick else []
    more += ["--name", name] if name else []
    more += [part for label in rows for part in ("--row", label)]
    more += ["--results", str(results)] if results != Path("results") else []
    return shlex.join(["evnas", "sweep", str(file), *more])


def _keep(
    plan: Mapping[str, Any],
    sweep: Mapping[str, Any],
    command: str,
    html: Path | None,
    folder: Path | None,
) -> None:
    """Write a page, and the plan into its study's folder, as far as these are asked for."""
    from evnas.report.page.kept_plan import KeptPlan
    from evnas.report.page.plan import plan_page

    kept = KeptPlan(plan=plan, command=command, sweep=sweep, made=time.time())
    if html is not None:
        write_whole(html, plan_page(kept))
        talk(str(html))
    if folder is not None:
        talk(f"{kept.write(folder)}: `evnas dashboard {folder.parent}` shows it")
