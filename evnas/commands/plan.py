"""`evnas plan`: what a sweep would run, and for how long."""

from pathlib import Path

from evnas.commands.options import Name, Overrides, Quick, Results, SweepFile
from evnas.commands.output import AsJson, emit
from evnas.errors import SpecError


def plan(
    file: SweepFile,
    overrides: Overrides = None,
    quick: Quick = False,
    name: Name = None,
    results: Results = Path("results"),
    json: AsJson = False,
) -> None:
    """Say what a sweep would run and how long it would take, from a quick calibration.

    \b
    Examples:
      evnas plan table_c
      evnas plan search_cpu --set budget.minutes=60
    """
    from evnas.sweep.sweep import load_sweep

    loaded = load_sweep(file, overrides=overrides or (), quick=quick, name=name)
    from evnas.search.installed import must_be_installed

    try:
        must_be_installed(loaded.spec.engine)
        from evnas.search.forecast import forecast  # torch: seconds that a mistake does not wait

        expected = forecast(loaded, results=results)
    except SpecError as e:
        raise loaded.document.blame(e) from None
    from evnas.search.detectable import detectable_differences
    from evnas.store import Store

    path = results / loaded.spec.name / "study.db"
    records = []
    if path.exists():
        with Store.read(path) as store:
            records = [record for _, record in store.records()]
    power = detectable_differences(loaded, records)
    data = {**expected.to_dict(), "power": power and power.to_dict()}
    emit(data, "\n".join([expected.text(), *([power.text()] if power else [])]), json)
