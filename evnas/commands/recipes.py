"""`evnas recipes`: how the papers trained, value by value with its source, and what differs."""

from typing import Annotated, Any

import typer

from evnas.commands.output import AsJson, columns, emit


def recipes(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RECIPE]...",
            help="A name (vssd:base) or a YAML file; one to show it, several to compare them.",
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """List the papers' training recipes, show one with its sources, or compare some.

    \b
    Examples:
      evnas recipes
      evnas recipes vssd:base
    """
    from evnas.train import recipes as known

    if not names:
        every = [known.recipe_of(name) for name in known.names()]
        emit({one.name: _plain(one) for one in every}, _list(every), json)
    elif len(names) == 1:
        one = known.recipe_of(names[0])
        emit(_plain(one), _sheet(one), json)
    else:
        several = [known.recipe_of(name) for name in names]
        differing = _differing(several)
        data = {
            field: dict(zip(names, values, strict=True)) for field, values in differing.items()
        }
        emit(data, _comparison(names, differing), json)


def _plain(named: Any) -> dict[str, Any]:
    return {
        "name": named.name,
        "paper": named.paper,
        "about": named.about,
        "fields": named.recipe.model_dump(mode="json"),
        "sources": dict(named.sources),
    }


def _list(every: list[Any]) -> str:
    head = ("recipe", "epochs", "batch", "lr", "drop path", "of")
    rows = []
    for one in every:
        r = one.recipe
        rows.append(
            [one.name, _shown(r.epochs), _shown(r.batch_size), _shown(r.lr), _shown(r.drop_path),
             one.about or one.paper]
        )  # fmt: skip
    return columns(head, rows)


def _sheet(named: Any) -> str:
    head = f"{named.name}{f', {named.paper}' if named.paper else ''}"
    if named.about:
        head += f": {named.about}"
    rows = [
        [field, _shown(value), named.sources.get(field, "")]
        for field, value in named.recipe.model_dump(mode="json").items()
    ]
    return f"{head}\n\n{columns(('field', 'value', 'source'), rows)}"


def _differing(several: list[Any]) -> dict[str, list[Any]]:
    """Field -> its value in each recipe, where they are not all the same."""
    dumped = [one.recipe.model_dump(mode="json") for one in several]
    found = {field: [one[field] for one in dumped] for field in dumped[0]}
    return {
        field: values for field, values in found.items() if values.count(values[0]) < len(values)
    }


def _comparison(names: list[str], differing: dict[str, list[Any]]) -> str:
    if not differing:
        return f"{' and '.join(names)} are the same"
    rows = [[field, *map(_shown, values)] for field, values in differing.items()]
    return columns(("field", *names), rows)


def _shown(value: Any) -> str:
    if value is None:
        return "the architecture's"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return str(value) or "none"
