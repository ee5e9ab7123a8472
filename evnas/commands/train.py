"""`evnas train`: a whole training by a paper's recipe."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from evnas.commands.named import ArchNameOrFrom, Chosen, From, Pick, chosen
from evnas.commands.options import Device, Workers
from evnas.commands.output import AsJson, emit, talk
from evnas.errors import EvnasError, SpecError


def train(
    data: Annotated[
        str,
        typer.Option(
            "--data",
            help="A folder with train/ and val/; fashion-mnist, "
            "fashion-mnist-12k, cifar10, cifar100; hfds/PATH or wds/PATH.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Checkpoints and curve; goes on from there.")
    ],
    arch: ArchNameOrFrom = None,
    study: From = None,
    pick: Pick = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            help="A name of `evnas recipes`, or a YAML file; the "
            "architecture's own paper's if left out.",
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="recipe.FIELD=VALUE", help="Change it: recipe.lr=1e-3."),
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1)] = None,
    warmup_epochs: Annotated[int | None, typer.Option("--warmup-epochs", min=0)] = None,
    cooldown_epochs: Annotated[int | None, typer.Option("--cooldown-epochs", min=0)] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            min=1,
            help="Images a device takes at a time; the recipe's batch is reached by accumulation.",
        ),
    ] = None,
    accumulate: Annotated[
        int | None,
        typer.Option(
            "--accumulate", min=1, help="With --batch-size: makes another batch of the recipe's."
        ),
    ] = None,
    resolution: Annotated[int | None, typer.Option("--resolution", min=8)] = None,
    precision: Annotated[
        Literal["float32", "bfloat16", "float16"] | None, typer.Option("--precision")
    ] = None,
    teacher: Annotated[
        Path | None, typer.Option("--teacher-weights", help="Of the recipe's teacher.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="Begin with these, ours or a release's.")
    ] = None,
    new_classifier: Annotated[
        bool, typer.Option("--new-classifier", help="Leave the classifiers of --weights out.")
    ] = False,
    freeze: Annotated[
        list[str] | None,
        typer.Option("--freeze", metavar="MODULE", help="Keep as it is: stem, stages.0."),
    ] = None,
    linear_probe: Annotated[
        bool, typer.Option("--linear-probe", help="Train the classifiers alone.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    workers: Workers = None,
    memory_format: Annotated[
        Literal["auto", "contiguous", "channels_last"], typer.Option("--memory-format")
    ] = "auto",
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Leave images out that cannot be read.")
    ] = False,
    keep: Annotated[int, typer.Option("--keep", min=1, help="Newest checkpoints kept.")] = 3,
    checkpoint_minutes: Annotated[
        float, typer.Option("--checkpoint-minutes", min=0.0, help="Within an epoch; 0 for none.")
    ] = 20.0,
    until_epoch: Annotated[
        int | None, typer.Option("--until-epoch", min=1, help="Stop there, to go on later.")
    ] = None,
    tensorboard: Annotated[bool, typer.Option("--tensorboard")] = False,
    wandb: Annotated[bool, typer.Option("--wandb", help="Offline.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would take, after some seconds.")
    ] = False,
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
    devices = int(os.environ.get("WORLD_SIZE", "1"))
    edits: dict[str, Any] = {
        "epochs": epochs,
        "warmup_epochs": warmup_epochs,
        "cooldown_epochs": cooldown_epochs,
        "precision": precision,
        "resolution": resolution,
    }
    if accumulate is not None:
        if batch_size is None:
            raise SpecError("--accumulate must come with --batch-size, got it alone")
        edits["batch_size"] = batch_size * accumulate * devices
    named = _recipe(found, recipe, changes or [], edits)
    from evnas.train.config import TrainConfig

    if linear_probe and freeze:
        raise SpecError(
            "--linear-probe must stand without --freeze, it freezes all but classifiers"
        )
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
        frozen=("*",) if linear_probe else tuple(freeze or ()),
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
    try:
        _run(config, dry_run=dry_run, json=json)
    except EvnasError:
        if int(os.environ.get("RANK", "0")) > 0:
            raise typer.Exit(2) from None  # the first process says it
        raise


def _recipe(found: Chosen, recipe: str | None, changes: list[str], edits: dict[str, Any]) -> Any:
    from evnas.train.recipes import recipe_for, recipe_of, with_changes

    name = found.known.name if found.known else ""
    named = recipe_of(recipe, arch_name=name) if recipe else recipe_for(found.arch, name)
    given = {key: value for key, value in edits.items() if value is not None}
    named = with_changes(named, changes, given)
    return named


def _run(config: Any, *, dry_run: bool, json: bool) -> None:
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


def _emit(result: Any, config: Any, json: bool) -> None:
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
