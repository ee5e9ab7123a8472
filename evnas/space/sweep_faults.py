"""Pydantic's complaints about a sweep file in our words."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from evnas.errors import SpecError, nearest
from evnas.space.arch import first_fault
from evnas.space.sweep_parts import DATA_SETS, PATTERNS

_SHORT = {"dict_type": "must be a mapping", "string_type": "must be text"}


def sweep_fault(error: ValidationError, data: Any, model: type[BaseModel]) -> SpecError:
    """The first complaint about `data`; `model` knows which keys may stand where."""
    fault = error.errors(include_url=False)[0]
    told = first_fault(error, data)
    if told.path.startswith("proxy.data."):
        return SpecError(
            f"must be one of {', '.join(DATA_SETS)} or {{folder: PATH}}, got {fault['input']!r}",
            "proxy.data",
        )
    if fault["type"] in _SHORT:
        return SpecError(f"{_SHORT[fault['type']]}, got {fault['input']!r:.60}", told.path)
    if fault["type"] == "string_pattern_mismatch":
        must = PATTERNS.get(fault["ctx"]["pattern"], fault["ctx"]["pattern"])
        return SpecError(f"must be {must}, got {fault['input']!r}", told.path)
    if fault["type"] == "extra_forbidden":
        known = _keys(model, fault["loc"][:-1])
        name = str(fault["loc"][-1])
        return SpecError(
            f"unknown key{nearest(name, known)} (known here: {', '.join(known)})", told.path
        )
    return told


def _keys(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """Names of the fields of the part of a model that `loc` points at."""
    for part in loc:
        if part in model.model_fields:
            annotation = model.model_fields[str(part)].annotation
            inner = [t for t in _types(annotation) if issubclass(t, BaseModel)]
            model = inner[0] if inner else model
    return list(model.model_fields)


def _types(annotation: Any) -> list[type]:
    parts = getattr(annotation, "__args__", ())
    if not parts:
        return [annotation] if isinstance(annotation, type) else []
    return [found for part in parts for found in _types(part)]
