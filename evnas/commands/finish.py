"""`evnas finish`: from a trial of a study to trained weights, an ONNX file and a report."""

from pathlib import Path
from typing import Annotated

import typer

from evnas.commands.named import Pick, chosen
from evnas.commands.options import Device, Resolution, Workers
from evnas.commands.output import AsJson, emit, talk
from evnas.commands.training import (
    NewClassifier,
    RecipeChanges,
    RecipeName,
    Seed,
    SkipBroken,
    TeacherWeights,
    Weights,
    recipe_with_changes,
)
from evnas.errors import SpecError


def finish(
    data: Annotated[
        str, typer.Option("--data", help="A folder with train/ and val/, or a named set.")
    ],
    study: Annotated[
        Path | None, typer.Argument(metavar="[STUDY]", help="A study's folder, with --pick.")
    ] = None,
    pick: Pick = None,
    arch: Annotated[
        str | None,
        typer.Option("--arch", help="In place of a study: a name or a YAML file, with --output."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="STUDY/finish/TRIAL if not given.")
    ] = None,
    recipe: RecipeName = None,
    changes: RecipeChanges = None,
    resolution: Resolution = None,
    weights: Weights = None,
    new_classifier: NewClassifier = False,
    teacher_weights: TeacherWeights = None,
    bench_budget_s: Annotated[
        float, typer.Option("--bench-budget-s", min=0.1, help="Seconds for each speed, at most.")
    ] = 8.0,
    skip_broken: SkipBroken = False,
    seed: Seed = 0,
    workers: Workers = None,
    device: Device = "auto",
    json: AsJson = False,
) -> None:
    """Train, evaluate, deploy, export and measure an architecture, or go on with that.

    \b
    Examples:
      evnas finish results/mine --pick knee --data photos
    """
    if (study is None) == (arch is None):
        raise SpecError("either STUDY with --pick or --arch must be given, and not both")
    if study is None and output is None:
        raise SpecError("--arch needs --output, the folder that everything goes to")
    found = chosen(arch, resolution, study=study, pick=pick)
    picked = found.picked
    if output is None:
        assert picked is not None
        output = Path(picked.study) / "finish" / picked.trial
    named = recipe_with_changes(found, recipe, changes, {"resolution": resolution})
    from evnas.train.data import open_dataset

    open_dataset(data)  # a mistake there does not wait for torch
    from evnas.commands.finishing import Finish, TrainingStopped
    from evnas.commands.finishing import finish as finished
    from evnas.measure.target import Target
    from evnas.train.config import TrainConfig
    from evnas.train.stop import EXIT_CODE

    training = TrainConfig(
        arch=found.arch,
        recipe=named.recipe,
        recipe_name=named.name,
        data=data,
        output=output / "train",
        resolution=found.resolution,
        weights=weights,
        new_classifier=new_classifier,
        teacher_weights=teacher_weights,
        seed=seed,
        device=Target(device=device).resolved().device,
        workers=workers,
        skip_broken=skip_broken,
        study=study,
        origin=picked.to_dict() if picked else {},
    )
    plan = Finish(name=found.name, training=training, output=output, bench_budget_s=bench_budget_s)
    try:
        report = finished(plan, tell=talk)
    except TrainingStopped as stopped:
        talk(str(stopped))
        raise typer.Exit(EXIT_CODE) from None
    emit(report, f"{(output / 'report.md').read_text()}\n{output / 'report.md'}", json)
