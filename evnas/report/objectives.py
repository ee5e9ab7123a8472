"""Which columns a study is judged by, and what it demands of its candidates."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from evnas.report.columns import column
from evnas.report.frames import Frame

_DEFAULTS = ("throughput_img_s", "top1_percent")
_BOUND = re.compile(r"\s*([\w@.-]+)\s*(<=|<|>=|>)\s*([-+.\deE]+)\s*")


@dataclass(frozen=True, slots=True)
class Objective:
    """A column and which way is better."""

    key: str
    better: Literal["more", "less"]


@dataclass(frozen=True, slots=True)
class Constraint:
    """A column and a bound on it."""

    key: str
    at_most: bool
    bound: float


def objectives(sweep: Mapping[str, Any], frame: Frame) -> list[Objective]:
    """The sweep's own objectives as columns, or speed against accuracy when it names none.

    `objectives` may map a name to `max` or `min`, or list names (or mappings with `name`); a name
    without a target means its first target. A name that no trial has found yet is left out.
    """
    found = []
    for name, better in _named(sweep.get("objectives")) or [(n, None) for n in _DEFAULTS]:
        key = resolve(name, frame)
        if key is not None:
            found.append(Objective(key, better or _better(key)))
    if len(found) < 2 and not sweep.get("objectives"):
        spare = [k for k in ("params_m", "macs_exact_g", "macs_g") if k in frame.numbers]
        found += [Objective(k, "less") for k in spare[: 2 - len(found)]]
    return found


def resolve(name: str, frame: Frame) -> str | None:
    """The column a name means: itself, or itself on the first target."""
    if name in frame.numbers:
        return name
    on_targets = (f"{name}@{target}" for target in frame.targets)
    return next((key for key in on_targets if key in frame.numbers), None)


def _better(key: str) -> Literal["more", "less"]:
    return "less" if column(key).better == "less" else "more"


def _named(raw: Any) -> list[tuple[str, Literal["more", "less"] | None]]:
    words: dict[str, Literal["more", "less"]] = {
        "max": "more",
        "maximize": "more",
        "maximise": "more",
        "min": "less",
        "minimize": "less",
        "minimise": "less",
    }
    if isinstance(raw, Mapping):
        return [(str(name), words.get(str(way))) for name, way in raw.items()]
    named: list[tuple[str, Literal["more", "less"] | None]] = []
    for item in raw or []:
        if isinstance(item, Mapping):
            name = item.get("name") or item.get("value") or item.get("key")
            way = item.get("direction") or item.get("goal") or item.get("better")
            named.append((_placed(str(name), item.get("target")), words.get(str(way))))
        else:
            named.append((str(item), None))
    return named


def _placed(name: str, target: Any) -> str:
    return f"{name}@{target}" if isinstance(target, str) and target else name


def constraints(sweep: Mapping[str, Any], frame: Frame) -> list[Constraint]:
    """The sweep's bounds: `params_m <= 20`, or `params_m: {max: 20}`."""
    raw = sweep.get("constraints") or []
    found = []
    for name, at_most, bound in _bounds(raw):
        key = resolve(name, frame)
        if key is not None:
            found.append(Constraint(key, at_most, bound))
    return found


def _bounds(raw: Any) -> list[tuple[str, bool, float]]:
    if isinstance(raw, Mapping):
        return [
            (str(name), way in ("max", "at_most"), float(bound))
            for name, ways in raw.items()
            if isinstance(ways, Mapping)
            for way, bound in ways.items()
            if isinstance(bound, int | float)
        ]
    matches = (_BOUND.fullmatch(item) for item in raw if isinstance(item, str))
    return [(m[1], m[2].startswith("<"), float(m[3])) for m in matches if m]
