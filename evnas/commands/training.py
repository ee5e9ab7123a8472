"""Options of `evnas train`, some of them of `evnas finish` too, and the recipe of both."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evnas.commands.named import Chosen

if TYPE_CHECKING:
    from evnas.train.recipes import NamedRecipe

RecipeName = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        help="A name of `evnas recipes`, or a YAML file; the architecture's own paper's if left "
        "out.",
    ),
]
RecipeChanges = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="recipe.FIELD=VALUE", help="Change it: recipe.lr=1e-3."),
]
Weights = Annotated[
    Path | None, typer.Option("--weights", help="Begin with these, ours or a release's.")
]
NewClassifier = Annotated[
    bool, typer.Option("--new-classifier", help="Leave the classifiers of --weights out.")
]
TeacherWeights = Annotated[
    Path | None, typer.Option("--teacher-weights", help="Of the recipe's teacher.")
]
Seed = Annotated[int, typer.Option("--seed")]
Data = Annotated[
    str,
    typer.Option(
        "--data",
        help="A folder with train/ and val/; fashion-mnist, "
        "fashion-mnist-12k, cifar10, cifar100; hfds/PATH or wds/PATH.",
    ),
]
Output = Annotated[
    Path, typer.Option("--output", "-o", help="Checkpoints and curve; goes on from there.")
]
Epochs = Annotated[int | None, typer.Option("--epochs", min=1)]
WarmupEpochs = Annotated[int | None, typer.Option("--warmup-epochs", min=0)]
CooldownEpochs = Annotated[int | None, typer.Option("--cooldown-epochs", min=0)]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        min=1,
        help="Images a device takes at a time; the recipe's batch is reached by accumulation.",
    ),
]
Accumulate = Annotated[
    int | None,
    typer.Option(
        "--accumulate", min=1, help="With --batch-size: makes another batch of the recipe's."
    ),
]
Resolution = Annotated[int | None, typer.Option("--resolution", min=8)]
Freeze = Annotated[
    list[str] | None,
    typer.Option("--freeze", metavar="MODULE", help="Keep as it is: stem, stages.0."),
]
LinearProbe = Annotated[bool, typer.Option("--linear-probe", help="Train the classifiers alone.")]
Keep = Annotated[int, typer.Option("--keep", min=1, help="Newest checkpoints kept.")]
CheckpointMinutes = Annotated[
    float, typer.Option("--checkpoint-minutes", min=0.0, help="Within an epoch; 0 for none.")
]
UntilEpoch = Annotated[
    int | None, typer.Option("--until-epoch", min=1, help="Stop there, to go on later.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what it would take, after some seconds.")
]


def recipe_with_changes(
    found: Chosen, recipe: str | None, changes: Sequence[str] | None, values: Mapping[str, Any]
) -> "NamedRecipe":
    """The recipe that was asked for, else that of the architecture's paper, changed.

    Args:
        changes: `recipe.FIELD=VALUE`, which win over `values`.
        values: field -> value; None leaves a field as it is.

    Raises:
        SpecError: there is no such recipe, or a value that cannot be.
    """
    from evnas.train.recipes import recipe_for, recipe_of, with_changes

    name = found.known.name if found.known else ""
    named = recipe_of(recipe, arch_name=name) if recipe else recipe_for(found.arch, name)
    given = {field: value for field, value in values.items() if value is not None}
    return with_changes(named, changes or (), given)
