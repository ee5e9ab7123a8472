"""`evnas report`, `dashboard`, `audit`, `erf`, `space` and `schema`: to look at what is there."""

from pathlib import Path
from typing import Annotated

import typer

from evnas.commands.output import AsJson, as_json, columns, emit, talk

Study = Annotated[Path, typer.Argument(metavar="STUDY", help="A study's folder under results/.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (report, dashboard, audit, erf, space, schema):
        app.command()(command)


def report(
    study: Study,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write; the study's folder.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Write a study's page, tables and figures again, from its store alone."""
    from evnas.report.page.outputs import write_outputs

    written = write_outputs(study, output).files
    emit([str(path) for path in written], "\n".join(str(path) for path in written), json)


def dashboard(
    results: Annotated[Path, typer.Argument(help="A folder of studies, or one study.")] = Path(
        "results"
    ),
    host: Annotated[str, typer.Option("--host", help="Another than loopback wants a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 8765,
    token: Annotated[str | None, typer.Option("--token", envvar="EVNAS_TOKEN")] = None,
) -> None:
    """Serve the studies as live pages until interrupted."""
    from evnas.report.server.app import serve

    talk(f"http://{host}:{port}")
    serve(results, host=host, port=port, token=token)


def erf(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="Architectures; rows with --study.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The PNG.")] = Path("erf.png"),
    weights: Annotated[
        list[Path] | None,
        typer.Option("--weights", help="State dicts, in the order of the names."),
    ] = None,
    data: Annotated[
        str, typer.Option("--data", help="A named set, or a folder of images.")
    ] = "fashion-mnist-12k",
    images: Annotated[int, typer.Option("--images", min=1, help="How many to average.")] = 16,
    resolution: Annotated[int | None, typer.Option("--resolution", min=32)] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of weights that are not given.")] = 0,
    study: Annotated[
        Path | None, typer.Option("--study", help="A study whose rows they are; keeps them there.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Draw effective receptive fields side by side: what each pixel means to the centre."""
    import time

    from evnas.commands import fields
    from evnas.proxy.data import NAMED_SETS, load_data
    from evnas.report.page.erf_picture import area_fraction, draw_fields

    subjects = fields.subjects(names, weights or [], resolution, study)
    source = data if data in NAMED_SETS else {"folder": data}
    found, rows = {}, []
    for subject in subjects:
        began = time.perf_counter()
        loaded = load_data(source, resolution=subject.resolution)
        field = fields.field_of(subject, loaded, images, seed)
        if study is not None:
            fields.keep(study, subject, field, time.perf_counter() - began)
        found[subject.name] = field
        rows.append((subject.name, subject.resolution, area_fraction(field)))
    draw_fields(found, output)
    head = ("model", "resolution", "area over 5 % of the peak")
    keys = ("name", "resolution", "erf_area_fraction")
    listed = [dict(zip(keys, row, strict=True)) for row in rows]
    text = columns(head, [(*row[:2], f"{row[2]:.3f}") for row in rows])
    emit({"output": str(output), "fields": listed}, f"{text}\n{output}", json)


def audit(study: Study, json: AsJson = False) -> None:
    """Say whether a study's proxy ranks its rows as the paper does, better than FLOPs do."""
    from evnas.proxy.audit import audit as audited
    from evnas.report.table.study_table import load_predictors

    predictors, truth = load_predictors(study)
    lines = audited(predictors, truth)
    rows = []
    for line in lines:
        a = line.agreement
        tau: tuple[object, ...] = ("", "", "", "")
        if a is not None:
            tau = (f"{a.tau:+.2f}", f"{a.low:+.2f}", f"{a.high:+.2f}", a.n)
        rows.append((line.predictor, *tau, line.verdict))
    names = ("predictor", "tau", "low", "high", "n", "verdict")
    data = [
        {
            "predictor": line.predictor,
            **{k: getattr(line.agreement, k, None) for k in ("tau", "low", "high", "n")},
            "verdict": line.verdict,
        }
        for line in lines
    ]
    emit(data, columns(names, rows), json)


def space(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A search's YAML.")],
    samples: Annotated[int, typer.Option("--samples", min=0)] = 10,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    json: AsJson = False,
) -> None:
    """Print a search space: axes, size, valid share, samples, where the catalogue lies."""
    from evnas.errors import SpecError
    from evnas.space.space import SearchSpace
    from evnas.space.space_report import report_lines, space_report
    from evnas.sweep import load_sweep

    sweep = load_sweep(file)
    if sweep.spec.search is None:
        raise SpecError(f"{file}: must have a space; this is an ablation with rows")
    from evnas.search.begin import checked

    checked(sweep)
    found = space_report(
        SearchSpace.from_spec(sweep.spec.search.space, sweep.base), samples=samples, seed=seed
    )
    emit(found, "\n".join(report_lines(found)), json)


def schema() -> None:
    """Print the JSON schema of sweep files, for editors' completion."""
    from evnas.sweep import sweep_schema

    typer.echo(as_json(sweep_schema()))
