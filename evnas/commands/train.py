"""`evnas train`: a whole training by EfficientViM's recipe."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from evnas.commands.named import ArchName, arch_and_side
from evnas.commands.options import Device
from evnas.commands.output import AsJson, emit, talk


def train(
    arch: ArchName,
    data: Annotated[Path, typer.Option("--data", help="A folder with train/ and val/.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Checkpoints and curve.")],
    epochs: Annotated[int, typer.Option("--epochs", min=1)] = 300,
    warmup_epochs: Annotated[int, typer.Option("--warmup-epochs", min=0)] = 20,
    cooldown_epochs: Annotated[int, typer.Option("--cooldown-epochs", min=0)] = 10,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1)] = 256,
    accumulate: Annotated[int, typer.Option("--accumulate", min=1)] = 8,
    resolution: Annotated[int | None, typer.Option("--resolution", min=8)] = None,
    precision: Annotated[Literal["float32", "bfloat16"], typer.Option("--precision")] = "float32",
    teacher: Annotated[
        Path | None, typer.Option("--teacher-weights", help="RegNetY-160's; for _dist models.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Begin with these, ours or a release's.")
    ] = None,
    new_classifier: Annotated[
        bool, typer.Option("--new-classifier", help="Leave the classifiers of --weights out.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    workers: Annotated[int, typer.Option("--workers", min=0, help="Image loaders.")] = 8,
    device: Device = "auto",
    json: AsJson = False,
) -> None:
    """Train an architecture by EfficientViM's recipe, or go on with a training.

    \b
    Examples:
      evnas train efficientvim_m1 --data imagenet --output runs/m1
    """
    spec, side = arch_and_side(arch, resolution)
    from evnas.measure.target import Target
    from evnas.train.recipe import Recipe, Teacher, TrainConfig
    from evnas.train.training import train as trained

    if weights is not None:
        kept = "; its classifiers are left out, ours begin untrained" if new_classifier else ""
        talk(f"beginning with {weights}{kept}")
    result = trained(
        TrainConfig(
            arch=spec,
            data=data,
            output=output,
            resolution=side,
            recipe=Recipe(
                epochs=epochs,
                warmup_epochs=warmup_epochs,
                cooldown_epochs=cooldown_epochs,
                batch_size=batch_size,
                accumulate=accumulate,
                precision=precision,
            ),
            teacher=None if teacher is None else Teacher(weights=teacher),
            weights=weights,
            new_classifier=new_classifier,
            seed=seed,
            device=Target(device=device).resolved().device,
            workers=workers,
        ),
        tell=talk,
    )
    best = result.best("top1_percent")
    found: dict[str, object] = {
        "status": result.status,
        "epochs": result.epochs,
        "top1_percent": best,
    }
    if weights is not None:
        found |= {"weights": str(weights), "new_classifier": new_classifier}
    emit(found | {"output": str(output)}, f"{result.status}{_best(best)}: {output}", json)


def _best(best: float | None) -> str:
    return "" if best is None else f", best top-1 {best:.2f} %"
