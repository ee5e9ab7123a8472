"""`evnas finish`: from a trial of a study to trained weights, an ONNX file and a report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evnas.commands.named import Chosen, Pick, chosen
from evnas.commands.options import Device, Resolution, SkipBroken, Workers
from evnas.commands.output import AsJson, emit, talk
from evnas.commands.training import (
    NewClassifier,
    RecipeChanges,
    RecipeName,
    Seed,
    TeacherWeights,
    Weights,
    recipe_with_changes,
)
from evnas.errors import SpecError

if TYPE_CHECKING:
    from evnas.train.config import TrainConfig

Data = Annotated[
    str, typer.Option("--data", help="A folder with train/ and val/, or a named set.")
]
Study = Annotated[
    Path | None, typer.Argument(metavar="[STUDY]", help="A study's folder, with --pick.")
]
Arch = Annotated[
    str | None,
    typer.Option("--arch", help="In place of a study: a name or a YAML file, with --output."),
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="STUDY/finish/TRIAL if not given.")
]
BenchBudgetS = Annotated[
    float, typer.Option("--bench-budget-s", min=0.1, help="Seconds for each speed, at most.")
]


def finish(
    data: Data,
    study: Study = None,
    pick: Pick = None,
    arch: Arch = None,
    output: Output = None,
    recipe: RecipeName = None,
    changes: RecipeChanges = None,
    resolution: Resolution = None,
    weights: Weights = None,
    new_classifier: NewClassifier = False,
    teacher_weights: TeacherWeights = None,
    bench_budget_s: BenchBudgetS = 8.0,
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
    folder = output or _folder_of(found)
    named = recipe_with_changes(found, recipe, changes, {"resolution": resolution})
    from evnas.train.data import open_dataset

    open_dataset(data)  # a mistake there does not wait for torch
    from evnas.measure.target import Target
    from evnas.train.config import TrainConfig

    training = TrainConfig(
        arch=found.arch,
        recipe=named.recipe,
        recipe_name=named.name,
        data=data,
        output=folder / "train",
        resolution=found.resolution,
        weights=weights,
        new_classifier=new_classifier,
        teacher_weights=teacher_weights,
        seed=seed,
        device=Target(device=device).resolved().device,
        workers=workers,
        skip_broken=skip_broken,
        study=study,
        origin=found.picked.to_dict() if found.picked else {},
    )
    _run(found.name, training, folder, bench_budget_s=bench_budget_s, json=json)


def _folder_of(found: Chosen) -> Path:
    """Of a study's trial, in the study."""
    assert found.picked is not None
    return Path(found.picked.study) / "finish" / found.picked.trial


def _run(
    name: str, training: "TrainConfig", output: Path, *, bench_budget_s: float, json: bool
) -> None:
    from evnas.commands.finishing import Finish, TrainingStopped
    from evnas.commands.finishing import finish as finished
    from evnas.train.stop import EXIT_CODE

    plan = Finish(name=name, training=training, output=output, bench_budget_s=bench_budget_s)
    try:
        report = finished(plan, tell=talk)
    except TrainingStopped as stopped:
        talk(str(stopped))
        raise typer.Exit(EXIT_CODE) from None
    emit(report, f"{(output / 'report.md').read_text()}\n{output / 'report.md'}", json)
