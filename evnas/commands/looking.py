"""`evnas report`, `dashboard`, `audit`, `space` and `schema`: what was found, and what can be."""

from pathlib import Path
from typing import Annotated

import typer

from evnas.commands.output import AsJson, as_json, columns, emit, talk

Study = Annotated[Path, typer.Argument(metavar="STUDY", help="A study's folder under results/.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (report, dashboard, audit, space, schema):
        app.command()(command)


def report(
    study: Study,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write; the study's folder.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Write a study's page, tables and figures again, from its store alone."""
    from evnas.report.outcome import write_outcome

    written = write_outcome(study, output).files
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
    from evnas.report.server import serve

    talk(f"http://{host}:{port}")
    serve(results, host=host, port=port, token=token)


def audit(study: Study, json: AsJson = False) -> None:
    """Say whether a study's proxy ranks its rows as the paper does, better than FLOPs do."""
    from evnas.proxy.audit import audit as audited
    from evnas.report.outcome import predictors_of

    predictors, truth = predictors_of(study)
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
    found = space_report(
        SearchSpace.from_spec(sweep.spec.search.space, sweep.base), samples=samples, seed=seed
    )
    emit(found, "\n".join(report_lines(found)), json)


def schema() -> None:
    """Print the JSON schema of sweep files, for editors' completion."""
    from evnas.sweep import sweep_schema

    typer.echo(as_json(sweep_schema()))
