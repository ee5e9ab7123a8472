"""What `evnas train` and `evnas finish` share: options of a training, and its recipe."""

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
SkipBroken = Annotated[
    bool, typer.Option("--skip-broken", help="Leave images out that cannot be read.")
]
Seed = Annotated[int, typer.Option("--seed")]


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
