"""`evnas train`: a whole training by a paper's recipe."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evnas.commands.named import ArchNameOrFrom, From, Pick, chosen
from evnas.commands.options import Device, SkipBroken, Workers
from evnas.commands.output import AsJson, emit, talk
from evnas.commands.training import (
    Accumulate,
    BatchSize,
    CheckpointMinutes,
    CooldownEpochs,
    Data,
    DryRun,
    Epochs,
    Freeze,
    Keep,
    LinearProbe,
    NewClassifier,
    Output,
    RecipeChanges,
    RecipeName,
    Resolution,
    Seed,
    TeacherWeights,
    UntilEpoch,
    WarmupEpochs,
    Weights,
    recipe_with_changes,
)
from evnas.errors import EvnasError, SpecError
from evnas.runtime import MemoryFormat, Precision

if TYPE_CHECKING:
    from evnas.train.config import TrainConfig, TrainResult


def train(
    data: Data,
    output: Output,
    arch: ArchNameOrFrom = None,
    study: From = None,
    pick: Pick = None,
    recipe: RecipeName = None,
    changes: RecipeChanges = None,
    epochs: Epochs = None,
    warmup_epochs: WarmupEpochs = None,
    cooldown_epochs: CooldownEpochs = None,
    batch_size: BatchSize = None,
    accumulate: Accumulate = None,
    resolution: Resolution = None,
    precision: Annotated[Precision | None, typer.Option("--precision")] = None,
    teacher: TeacherWeights = None,
    weights: Weights = None,
    new_classifier: NewClassifier = False,
    freeze: Freeze = None,
    linear_probe: LinearProbe = False,
    seed: Seed = 0,
    workers: Workers = None,
    memory_format: Annotated[MemoryFormat, typer.Option("--memory-format")] = "auto",
    skip_broken: SkipBroken = False,
    keep: Keep = 3,
    checkpoint_minutes: CheckpointMinutes = 20.0,
    until_epoch: UntilEpoch = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard")] = False,
    wandb: Annotated[bool, typer.Option("--wandb", help="Offline.")] = False,
    dry_run: DryRun = False,
    device: Device = "auto",
    json: AsJson = False,
) -> None:
    """Train an architecture by a paper's recipe, or go on with a training.

    Below `torchrun --nproc-per-node N -m evnas train ...` N processes train together. SIGTERM and
    SIGUSR1 save and leave with exit code 75; the same command goes on.

    \b
    Examples:
      evnas train efficientvim_m1 --data imagenet --output runs/m1
    """
    found = chosen(arch, resolution, study=study, pick=pick)
    edits: dict[str, Any] = {
        "epochs": epochs,
        "warmup_epochs": warmup_epochs,
        "cooldown_epochs": cooldown_epochs,
        "precision": precision,
        "resolution": resolution,
        "batch_size": _recipe_batch(batch_size, accumulate),
    }
    named = recipe_with_changes(found, recipe, changes, edits)
    from evnas.train.config import TrainConfig

    config = TrainConfig(
        arch=found.arch,
        recipe=named.recipe,
        recipe_name=named.name,
        data=data,
        output=output,
        resolution=found.resolution,
        device_batch=batch_size,
        seed=seed,
        weights=weights,
        new_classifier=new_classifier,
        teacher_weights=teacher,
        frozen=_frozen(freeze, linear_probe),
        memory_format=memory_format,
        workers=workers,
        skip_broken=skip_broken,
        keep=keep,
        checkpoint_minutes=checkpoint_minutes or None,
        until_epoch=until_epoch,
        tensorboard=tensorboard,
        wandb=wandb,
        device=device,
        study=study,
        origin=found.picked.to_dict() if found.picked else {},
    )
    with _said_once():
        _run(config, dry_run=dry_run, json=json)


@contextmanager
def _said_once() -> Iterator[None]:
    """Of the processes of one training the first alone says what is wrong."""
    try:
        yield
    except EvnasError:
        if int(os.environ.get("RANK", "0")) > 0:
            raise typer.Exit(2) from None
        raise


def _recipe_batch(batch_size: int | None, accumulate: int | None) -> int | None:
    """Images of one step over all devices, where that is asked for."""
    if accumulate is None:
        return None
    if batch_size is None:
        raise SpecError("--accumulate must come with --batch-size, got it alone")
    return batch_size * accumulate * int(os.environ.get("WORLD_SIZE", "1"))


def _frozen(freeze: list[str] | None, linear_probe: bool) -> tuple[str, ...]:
    if linear_probe and freeze:
        raise SpecError(
            "--linear-probe must stand without --freeze, it freezes all but classifiers"
        )
    return ("*",) if linear_probe else tuple(freeze or ())


def _run(config: "TrainConfig", *, dry_run: bool, json: bool) -> None:
    import dataclasses

    from evnas.measure.target import Target
    from evnas.train.stop import EXIT_CODE
    from evnas.train.training import train as trained

    config = dataclasses.replace(config, device=Target(device=config.device).resolved().device)
    if dry_run:
        from evnas.train.dry_run import dry_run as run_dry

        found = run_dry(config, tell=talk)
        emit(found.to_dict(), str(found), json)
        return
    if config.weights is not None:
        out = "; its classifiers are left out, ours begin untrained"
        talk(f"beginning with {config.weights}{out if config.new_classifier else ''}")
    result = trained(config, tell=talk)
    if int(os.environ.get("RANK", "0")) == 0:
        _emit(result, config, json)
    if result.status == "stopped" and result.error:
        raise typer.Exit(EXIT_CODE)


def _emit(result: "TrainResult", config: "TrainConfig", json: bool) -> None:
    best = result.best("top1_percent")
    found: dict[str, object] = {
        "status": result.status,
        "epochs": result.epochs,
        "recipe": config.recipe_name,
        "top1_percent": best,
    }
    average = result.best("ema_top1_percent")
    if average is not None:
        found["ema_top1_percent"] = average
    if config.weights is not None:
        found |= {"weights": str(config.weights), "new_classifier": config.new_classifier}
    if config.origin:
        found["from"] = dict(config.origin)
    if result.error:
        found["error"] = result.error
    shown = "" if best is None else f", best top-1 {best:.2f} %"
    shown += "" if average is None else f", of the average {average:.2f} %"
    why = f" ({result.error})" if result.error else ""
    emit(found | {"output": str(config.output)}, f"{result.status}{why}{shown}: {config.output}",
         json)  # fmt: skip
