"""Recipes by name, each value with its source, and recipe files of one's own.

A recipe's file spells fields of `Recipe`; beside them `base` names the recipe that it changes,
`paper` and `sources` where its values stand, and `variants` what other sizes and settings change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from evnas.arch.catalog import catalog
from evnas.arch.spec import ArchSpec
from evnas.errors import SpecError, nearest
from evnas.files import expanded
from evnas.sweep.messages import sweep_message, unknown_key
from evnas.sweep.yaml_lines import YamlDocument, read_yaml
from evnas.tables import RECIPES
from evnas.train.recipe import Recipe

PREFIX = "recipe."
_SUFFIXES = (".yaml", ".yml")
_SHIPPED = Path(__file__).with_name("recipes")

EFFICIENTVIM = _SHIPPED / "efficientvim.yaml"
VSSD = _SHIPPED / "vssd.yaml"
VMAMBA = _SHIPPED / "vmamba.yaml"
EFFICIENTVMAMBA = _SHIPPED / "efficientvmamba.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedRecipe:
    """A recipe, and where it comes from."""

    name: str
    """`vssd:base`, or a file's path."""
    recipe: Recipe
    paper: str = ""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Field -> where its value stands; a field that is not here is a default that leaves a thing
    out, or was changed."""
    about: str = ""
    """When this variant is meant."""

    def edited(self, changes: Mapping[str, Any]) -> "NamedRecipe":
        """With some fields changed, which have no source any more."""
        left = {key: text for key, text in self.sources.items() if key not in changes}
        return NamedRecipe(
            name=self.name,
            recipe=self.recipe.edited(changes),
            paper=self.paper,
            sources=left,
            about=self.about,
        )


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Variant(_Part):
    about: str = ""
    archs: tuple[str, ...] = ()
    """Names of the catalogue that take it when no variant is named."""
    fields: dict[str, Any] = {}
    sources: dict[str, str] = {}


class _Head(_Part):
    """What a recipe's file says beside the fields."""

    base: str = ""
    paper: str = ""
    sources: dict[str, str] = {}
    variants: dict[str, _Variant] = {}


def recipe_of(name: str, *, arch_name: str = "") -> NamedRecipe:
    """A recipe by name (`vssd`, `vssd:base`) or file.

    Args:
        name: of `evnas.tables.RECIPES`, or a path that ends in .yaml or .yml; with a variant
            behind a colon.
        arch_name: a name of the catalogue, which picks the variant where none is named.

    Raises:
        SpecError: there is none, or what the file says cannot hold, with file and line.
    """
    kind, variant = name, ""
    if ":" in name and not name.endswith(_SUFFIXES):  # a path may hold colons
        kind, _, variant = name.rpartition(":")
    if kind.endswith(_SUFFIXES):
        path = expanded(kind)
    elif kind in RECIPES:
        path = RECIPES.get(kind)
    else:
        raise SpecError(
            f"no recipe is named {kind!r}{nearest(kind, RECIPES)}; there are "
            f"{', '.join(RECIPES)}, and files that end in .yaml"
        )
    head = _head_of(read_yaml(path))[0]
    if variant and variant not in head.variants:
        raise SpecError(
            f"recipe {kind} has no variant {variant!r}{nearest(variant, head.variants)}; there "
            f"are {', '.join(head.variants) or 'none'}"
        )
    own = [key for key, v in head.variants.items() if arch_name and arch_name in v.archs]
    variant = variant or (own[0] if own else "")
    return _read(path, name=f"{kind}:{variant}" if variant else kind, variant=variant)


def recipe_for(arch: ArchSpec, arch_name: str = "") -> NamedRecipe:
    """The recipe of an architecture's own paper, in the variant of its size.

    Args:
        arch_name: its name in the catalogue; "" where it has none: found by the architecture
            where that is one of the catalogue's, else the paper of most of its blocks.

    Raises:
        SpecError: none of its blocks is of a paper that has a recipe.
    """
    known = catalog()
    if arch_name not in known:
        arch_name = next((name for name, e in known.items() if e.arch == arch), "")
    if arch_name:
        return recipe_of(known[arch_name].family, arch_name=arch_name)
    blocks = [stage.family for stage in arch.stages for _ in range(stage.depth)]
    votes = [name for name in blocks if name]
    if not votes:
        raise SpecError(
            f"no paper's recipe is for blocks of kind {arch.stages[0].block}; name one by --recipe"
        )
    kind = max(dict.fromkeys(votes), key=votes.count)
    if arch.head.distillation and kind == "efficientvim":
        return recipe_of("efficientvim:distillation")
    return recipe_of(kind)


def names() -> list[str]:
    """All recipes with their variants, `vssd` and `vssd:base` alike."""
    found = []
    for kind, path in RECIPES.usable().items():
        found.append(kind)
        found += [f"{kind}:{v}" for v in _head_of(read_yaml(path))[0].variants]
    return found


def with_changes(
    named: NamedRecipe, texts: Sequence[str], values: Mapping[str, Any] | None = None
) -> NamedRecipe:
    """A recipe with `recipe.lr=1e-3` and the like applied, values being YAML.

    Args:
        named: the recipe.
        texts: `recipe.FIELD=VALUE`, later ones win.
        values: field -> value, before them.

    Raises:
        SpecError: no `recipe.FIELD=VALUE`, or a value that cannot be.
    """
    changes = dict(values or {})
    for text in texts:
        path, equals, value = text.partition("=")
        if not equals or not path.startswith(PREFIX):
            raise SpecError(f"--set must be recipe.FIELD=VALUE, got {text!r}")
        key = path.removeprefix(PREFIX)
        if key not in Recipe.model_fields:
            raise SpecError(unknown_key(key, list(Recipe.model_fields)), f"--set {path}")
        changes[key] = _value(value, path)
    if not changes:
        return named
    try:
        return named.edited(changes)
    except SpecError as e:
        raise SpecError(e.reason, f"{PREFIX}{e.path}") from None


def _value(text: str, path: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise SpecError(f"must be a value of YAML, got {text!r}", f"--set {path}") from None
    if isinstance(value, str):  # YAML 1.1 takes 1e-3 for text
        try:
            return float(value)
        except ValueError:
            return value
    return value


def differences(one: Recipe, other: Recipe) -> dict[str, tuple[Any, Any]]:
    """Field -> both values, where they differ, in the order of the fields."""
    a, b = one.model_dump(), other.model_dump()
    return {name: (a[name], b[name]) for name in a if a[name] != b[name]}


def _read(path: Path, *, name: str, variant: str = "") -> NamedRecipe:
    document = read_yaml(path)
    head, fields = _head_of(document)
    base = None
    if head.base:
        try:
            base = recipe_of(head.base)
        except SpecError as e:
            raise document.blame(SpecError(str(e), "base")) from None
    before = {} if base is None else base.recipe.model_dump()
    sources = {} if base is None else {k: s for k, s in base.sources.items() if k not in fields}
    try:
        recipe = Recipe.of({**before, **fields})
    except SpecError as e:
        raise document.blame(_with_head_keys(e)) from None
    sources |= head.sources
    about = ""
    if variant:
        chosen = head.variants[variant]
        about = chosen.about
        try:
            recipe = recipe.edited(chosen.fields)
        except SpecError as e:
            at = f"variants.{variant}.fields.{e.path}"
            raise document.blame(SpecError(e.reason, at)) from None
        sources |= chosen.sources
    paper = head.paper or ("" if base is None else base.paper)
    return NamedRecipe(name=name, recipe=recipe, paper=paper, sources=sources, about=about)


def _head_of(document: YamlDocument) -> tuple[_Head, dict[str, Any]]:
    """What a file says beside the fields, and the fields. Raises SpecError with file and line."""
    said = {key: v for key, v in document.data.items() if key in _Head.model_fields}
    fields = {key: v for key, v in document.data.items() if key not in _Head.model_fields}
    try:
        head = _Head.model_validate(said)
    except ValidationError as e:
        raise document.blame(sweep_message(e, said, _Head)) from None
    places = [("sources", head.sources)]
    for name, variant in head.variants.items():
        places.append((f"variants.{name}.sources", variant.sources))
        places.append((f"variants.{name}.fields", variant.fields))
    for path, keys in places:
        for key in keys:
            if key not in Recipe.model_fields:
                reason = unknown_key(key, list(Recipe.model_fields))
                raise document.blame(SpecError(reason, f"{path}.{key}"))
    return head, fields


def _with_head_keys(error: SpecError) -> SpecError:
    if error.reason.startswith("unknown key"):
        known = [*_Head.model_fields, *Recipe.model_fields]
        return SpecError(unknown_key(error.path, known), error.path)
    return error
