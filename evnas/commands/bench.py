"""`evnas bench`: how fast models are here, side by side."""

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from evnas.commands.named import From, Picks
from evnas.commands.options import Device
from evnas.commands.output import AsJson, emit, talk
from evnas.errors import SpecError
from evnas.files import must_have_a_place, write_whole
from evnas.tables import RUNTIMES


def bench(
    archs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ARCH...]",
            help="Names of `evnas models`, arch files, timm:NAME, STUDY:TRIAL or STUDY:front.",
        ),
    ] = None,
    study: From = None,
    picks: Picks = None,
    base: Annotated[
        str | None,
        typer.Option("--base", help="What the others are timed in alternation with: goes first."),
    ] = None,
    targets: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            metavar="TARGET",
            help="A runtime, a device, KEY=VALUE,... or a YAML file; may come several times.",
        ),
    ] = None,
    device: Device = "auto",
    runtime: Annotated[
        str | None,
        typer.Option(
            "--runtime",
            help=f"One of {', '.join(RUNTIMES)}; unless given torch, and cuda_graph of a "
            "deployed form on a GPU.",
        ),
    ] = None,
    resolutions: Annotated[
        list[int] | None,
        typer.Option("--resolution", min=8, help="In pixels; may come several times."),
    ] = None,
    batch_sizes: Annotated[
        list[int] | None, typer.Option("--batch-size", min=1, help="May come several times.")
    ] = None,
    sweep_batch: Annotated[
        bool,
        typer.Option("--sweep-batch", help="Double the batch until throughput falls."),
    ] = False,
    precision: Annotated[
        Literal["float32", "bfloat16", "float16"], typer.Option("--precision")
    ] = "float32",
    form: Annotated[Literal["plain", "deployed"] | None, typer.Option("--form")] = None,
    mode: Annotated[
        Literal["inference", "training"],
        typer.Option("--mode", help="A call is a forward; or forward, loss and backward."),
    ] = "inference",
    uncertainty_percent: Annotated[
        float,
        typer.Option(
            "--uncertainty-percent", min=0.01, help="Ends when the interval reaches no further."
        ),
    ] = 2.0,
    budget_s: Annotated[
        float, typer.Option("--budget-s", min=0.1, help="Seconds for each, at most.")
    ] = 8.0,
    protocols: Annotated[
        list[str] | None,
        typer.Option(
            "--protocol",
            metavar="NAME",
            help="Set beside ours: paper/efficientvim, paper/vmamba or timm.",
        ),
    ] = None,
    figure: Annotated[
        Path | None, typer.Option("--figure", metavar="FILE.svg", help="Draw it.")
    ] = None,
    breakdown: Annotated[
        bool,
        typer.Option("--breakdown", help="Time by stage and kind, and what bounds it."),
    ] = False,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Keep breakdowns in the studies of models STUDY:TRIAL."),
    ] = False,
    json: AsJson = False,
) -> None:
    """Measure models' speed under the protocol of sweeps, each in alternation with the first.

    \b
    Examples:
      evnas bench efficientvim_m1 efficientvim_m2 timm:shvit_s4
      evnas bench efficientvim_m1 --target onnx --batch-size 1 --batch-size 8
      evnas bench results/mine:front --base efficientvim_m1 --figure speed.svg
    """
    from evnas.commands.bench_models import add_picked, models_of
    from evnas.commands.bench_targets import target_fields

    _must_be_svg(figure)
    _must_go_together(
        breakdown=breakdown,
        sweep_batch=sweep_batch,
        others={"--protocol": bool(protocols)},
        keep=keep,
    )
    models = models_of([*([base] if base else []), *(archs or [])])
    origins = add_picked(models, study, picks or [])
    if not models:
        raise SpecError("a model must be named: ARCH..., or --from STUDY --pick WISH")
    usual = {
        "device": device,
        "precision": precision,
        "mode": mode,
        "uncertainty_percent": uncertainty_percent,
        "budget_s": budget_s,
    } | {k: v for k, v in {"runtime": runtime, "form": form}.items() if v is not None}
    asked = [target_fields(text, usual) for text in targets or [""]]
    sizes = {"batches": batch_sizes or (), "resolutions": resolutions or ()}
    if breakdown:
        _take_apart(models, asked, sizes=sizes, figure=figure, keep=keep, json=json)
        return
    grid = _measured(
        models,
        asked,
        sizes=sizes,
        protocols=protocols or (),
        sweep_batch=sweep_batch,
    )
    data = grid.to_dict() | ({"from": origins} if origins else {})
    from evnas.commands.bench_table import text_of

    if figure is not None:
        from evnas.commands.bench_figure import svg_of

        _draw(svg_of(data), figure)
    emit(data, text_of(data), json)


def _measured(
    models: Any, asked: list[dict[str, Any]], *, sizes: Any, protocols: Any, sweep_batch: bool
) -> Any:
    from evnas.measure.timing.named_protocols import protocol_named
    from evnas.search.bench import bench_target
    from evnas.search.bench_grid import batches_of, grid_of, widened

    for name in protocols:
        protocol_named(name)
    specs = widened([bench_target(fields) for fields in asked], **sizes)
    if sweep_batch:
        return batches_of(models, specs, say=talk)
    return grid_of(models, specs, protocols=protocols, say=talk)


def _take_apart(
    models: Any,
    asked: list[dict[str, Any]],
    *,
    sizes: Any,
    figure: Path | None,
    keep: bool,
    json: bool,
) -> None:
    from evnas.commands.bench_breakdown import breakdown_text, breakdowns, keeper
    from evnas.search.bench import bench_target
    from evnas.search.bench_grid import widened

    # operators are read one by one, which a captured graph does not tell
    by_operator = [{"runtime": "torch", **fields} for fields in asked]
    specs = widened([bench_target(fields) for fields in by_operator], **sizes)
    keeping: Any = keeper(list(models)) if keep else nullcontext()
    with keeping as kept:
        found = breakdowns(models, specs, say=talk)
        for one in found if keep else ():
            kept(one)
    if figure is not None:
        from evnas.commands.breakdown_figure import svg_of_breakdowns

        _draw(svg_of_breakdowns(found), figure)
    emit(found, breakdown_text(found), json)


def _draw(svg: str, figure: Path) -> None:
    write_whole(figure, svg)
    talk(f"drawn: {figure}")


def _must_go_together(
    *, breakdown: bool, sweep_batch: bool, others: Mapping[str, bool], keep: bool
) -> None:
    """An option that would change nothing is refused, rather than taken for heeded."""
    if keep and not breakdown:
        raise SpecError("--keep is of --breakdown: it notes breakdowns in their studies")
    given = [name for name, is_given in others.items() if is_given]
    if breakdown and (given or sweep_batch):
        other = "--sweep-batch" if sweep_batch else given[0]
        raise SpecError(f"--breakdown takes one forward apart, so it does not go with {other}")
    if sweep_batch and "--protocol" in given:
        raise SpecError("--protocol stands beside given batches, so --sweep-batch cannot have it")


def _must_be_svg(figure: Path | None) -> None:
    if figure is not None and figure.suffix != ".svg":
        raise SpecError(f"--figure must name a file that ends in .svg, got {figure}")
    if figure is not None:
        must_have_a_place(figure)
