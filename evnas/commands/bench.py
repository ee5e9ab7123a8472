"""`evnas bench`: how fast models are here, side by side."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evnas.commands.bench_options import (
    Archs,
    Base,
    BatchSizes,
    Breakdown,
    BudgetS,
    Figure,
    Keep,
    Mode,
    Protocols,
    Resolutions,
    RuntimeName,
    SweepBatch,
    Targets,
    Uncertainty,
)
from evnas.commands.named import From, Picks
from evnas.commands.options import Device, Form, OutFile, Precision
from evnas.commands.output import AsJson, talk
from evnas.commands.results import Results
from evnas.errors import SpecError
from evnas.files import must_have_a_place, write_whole

if TYPE_CHECKING:
    from evnas.search.bench_grid import BenchGrid
    from evnas.sweep.parts import TargetSpec


def bench(
    archs: Archs = None,
    study: From = None,
    picks: Picks = None,
    base: Base = None,
    targets: Targets = None,
    device: Device = "auto",
    runtime: RuntimeName = None,
    resolutions: Resolutions = None,
    batch_sizes: BatchSizes = None,
    sweep_batch: SweepBatch = False,
    precision: Precision = "float32",
    form: Form = None,
    mode: Mode = "inference",
    uncertainty_percent: Uncertainty = 2.0,
    budget_s: BudgetS = 8.0,
    protocols: Protocols = None,
    figure: Figure = None,
    breakdown: Breakdown = False,
    keep: Keep = False,
    out: OutFile = None,
    json: AsJson = False,
) -> None:
    """Measure models' speed under the protocol of sweeps, each in alternation with the first.

    \b
    Examples:
      evnas bench efficientvim_m1 efficientvim_m2 timm:shvit_s4
      evnas bench efficientvim_m1 --target onnx --batch-size 1 --batch-size 8
      evnas bench results/mine:front --base efficientvim_m1 --figure speed.svg
    """
    from evnas.commands.bench_targets import target_fields

    _must_be_svg(figure)
    _must_go_together(
        breakdown=breakdown,
        sweep_batch=sweep_batch,
        others={"--protocol": bool(protocols)},
        keep=keep,
    )
    results = Results(out, json)
    models, origins = _named(archs, base, study, picks)
    usual = {
        "device": device,
        "precision": precision,
        "mode": mode,
        "uncertainty_percent": uncertainty_percent,
        "budget_s": budget_s,
    } | {k: v for k, v in {"runtime": runtime, "form": form}.items() if v is not None}
    asked = _Asked(
        models,
        [target_fields(text, usual) for text in targets or [""]],
        batches=batch_sizes or (),
        resolutions=resolutions or (),
    )
    if breakdown:
        svg = _take_apart(asked, results, keep=keep)
    else:
        svg = _measure(asked, results, origins, protocols=protocols or (), sweep_batch=sweep_batch)
    if figure is not None:
        write_whole(figure, svg())
        talk(f"drawn: {figure}")


@dataclass(frozen=True, slots=True)
class _Asked:
    """Which models, on what."""

    models: Mapping[str, Mapping[str, Any]]
    targets: Sequence[Mapping[str, Any]]
    """Fields of each."""
    batches: Sequence[int]
    resolutions: Sequence[int]
    """Those that every target is measured at; its own where there are none."""

    def specs(self, **usual: str) -> "list[TargetSpec]":
        """A target for each batch and resolution; `usual` where it says nothing."""
        from evnas.search.bench import bench_target
        from evnas.search.bench_grid import widened

        specs = [bench_target({**usual, **fields}) for fields in self.targets]
        return widened(specs, batches=self.batches, resolutions=self.resolutions)


def _named(
    archs: Sequence[str] | None, base: str | None, study: Path | None, picks: Sequence[str] | None
) -> tuple[Mapping[str, Mapping[str, Any]], Mapping[str, Any]]:
    """The models, and where those of a study come from."""
    from evnas.commands.bench_models import add_picked, models_of

    models = models_of([*([base] if base else []), *(archs or [])])
    origins = add_picked(models, study, picks or [])
    if not models:
        raise SpecError("a model must be named: ARCH..., or --from STUDY --pick WISH")
    return models, origins


def _measure(
    asked: _Asked,
    results: Results,
    origins: Mapping[str, Any],
    *,
    protocols: Sequence[str],
    sweep_batch: bool,
) -> Callable[[], str]:
    """Measure all; what draws it."""
    from evnas.commands.bench_figure import svg_of
    from evnas.commands.bench_table import text_of
    from evnas.measure.timing.named_protocols import protocol_named
    from evnas.search.bench_grid import batches_of, grid_of

    for name in protocols:
        protocol_named(name)
    specs = asked.specs()

    def heard(grid: "BenchGrid") -> None:
        data = grid.to_dict() | ({"from": origins} if origins else {})
        results.take(data, text_of(data), count=len(grid.rows))

    with results.coming():
        if sweep_batch:
            batches_of(asked.models, specs, say=talk, heard=heard)
        else:
            grid_of(asked.models, specs, protocols=protocols, say=talk, heard=heard)
    return lambda: svg_of(results.data)


def _take_apart(asked: _Asked, results: Results, *, keep: bool) -> Callable[[], str]:
    """Take all apart; what draws them."""
    from evnas.commands.bench_breakdown import breakdown_text, breakdowns, keeper
    from evnas.commands.breakdown_figure import svg_of_breakdowns

    # operators are read one by one, which a captured graph does not tell
    specs = asked.specs(runtime="torch")
    keeping: Any = keeper(list(asked.models)) if keep else nullcontext()
    found: list[dict[str, Any]] = []
    results.take(found, "", count=0)
    with keeping as kept, results.coming():
        for one in breakdowns(asked.models, specs, say=talk):
            found.append(one)
            if keep:
                kept(one)
            results.take(found, breakdown_text(found), count=len(found))
    return lambda: svg_of_breakdowns(found)


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
