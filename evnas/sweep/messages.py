"""Pydantic's complaints about a sweep file in our words."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from evnas.arch.paths import spell
from evnas.arch.spec import first_fault
from evnas.errors import SpecError, nearest
from evnas.sweep.parts import PATTERNS, known_data
from evnas.tables import STRATEGIES
from evnas.words import counted

_SHORT = {
    "dict_type": "must be a mapping",
    "finite_number": "must be a finite number",
    "string_type": "must be text",
}


def sweep_message(error: ValidationError, data: Any, model: type[BaseModel]) -> SpecError:
    """The first complaint about `data`; `model` knows which keys may stand where."""
    faults = error.errors(include_url=False)
    fault = faults[0]
    reason = _or_named(first_fault(error, data).reason, faults)
    complaint = SpecError(reason, _path(fault["loc"], fault["type"], data))
    if fault["loc"][:2] == ("proxy", "data") and len(fault["loc"]) > 2:
        return SpecError(f"{known_data()}, got {fault['input']!r}", "proxy.data")
    if fault["loc"][:1] == ("targets",) and "batch_size" in fault["loc"]:
        given = data["targets"][fault["loc"][1]]["batch_size"]
        must = "a number of images from 1, auto, printed or {cuda: ONE OF THESE, cpu: ...}"
        return SpecError(f"must be {must}, got {given!r}", complaint.path)
    if fault["type"] in _SHORT:
        return SpecError(f"{_SHORT[fault['type']]}, got {fault['input']!r:.60}", complaint.path)
    if fault["type"] in ("too_short", "too_long"):
        return SpecError(_length(fault["ctx"]), complaint.path)
    if fault["type"] == "string_pattern_mismatch":
        must = PATTERNS.get(fault["ctx"]["pattern"], fault["ctx"]["pattern"])
        return SpecError(f"must be {must}, got {fault['input']!r}", complaint.path)
    if fault["type"] == "extra_forbidden":
        known = _keys(model, fault["loc"][:-1], data)
        return SpecError(unknown_key(str(fault["loc"][-1]), known), complaint.path)
    return complaint


def unknown_key(name: str, known: Sequence[str]) -> str:
    """Why a key is refused, with those that may stand there."""
    return f"unknown key{nearest(name, known)} (known here: {', '.join(known)})"


def _path(loc: Sequence[str | int], kind: str, data: Any) -> str:
    """Where `loc` is in the file: without pydantic's names of alternatives and of short forms."""
    place: list[str | int] = []
    for at, part in enumerate(loc):
        if isinstance(data, Mapping) and isinstance(part, int) and part < len(data):
            part = list(data)[part]  # objectives are a list, also where they are spelt `x: max`
        known = isinstance(data, Mapping) and part in data
        known |= isinstance(data, list) and isinstance(part, int) and part < len(data)
        if known:
            data = data[part]
        if known or (kind == "missing" and at == len(loc) - 1):
            place.append(part)
    return spell(tuple(place))


def _or_named(reason: str, faults: Sequence[Any]) -> str:
    """The first fault's reason, with the words that would do in a number's place."""
    place, kind = faults[0]["loc"][:-1], faults[0]["type"]
    words = [
        fault["ctx"]["expected"].strip("'")
        for fault in faults[1:]
        if fault["loc"][:-1] == place and fault["type"] == "literal_error" != kind
    ]
    must, got, value = reason.partition(", got ")
    return f"{must} or {words[0]}{got}{value}" if words else reason


def _length(context: Mapping[str, Any]) -> str:
    bound, key = (
        ("at least", "min_length") if "min_length" in context else ("at most", "max_length")
    )
    entries = counted(context[key], "entry", "entries")
    return f"must have {bound} {entries}, got {context['actual_length']}"


def _keys(model: type[BaseModel], loc: Sequence[str | int], data: Any) -> list[str]:
    """Names of the fields of the part of a model that `loc` points at."""
    if tuple(loc) == ("strategy",):
        return list(STRATEGIES.get(str(data["strategy"]["kind"])).model_fields)
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
