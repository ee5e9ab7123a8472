"""Differences between two architectures, short enough for a terminal."""

import re
from collections.abc import Iterable, Sequence

from evnas.mixers import MIXERS

Change = tuple[str, object, object]
"""Path, value before, value after, as `evnas.arch.paths.diff` gives them."""
_STAGE = re.compile(r"stages\[(\d+|\*)\]\.(.+)")
_PART = re.compile(r"(stages\[(?:\d+|\*)\]\.)?(mixer|stem|head|downsample)\.(\w+)")


def shortened(changes: Iterable[Change]) -> str:
    """The changes in words: stages that change in one field stand together, and of a part that
    became another kind, what its old kind had and what is usual for the new one is left out.

    `stages[0,2].dim: 128, 320 -> 160, 384; stages[1].mixer: hsm_ssd -> sa`
    """
    by_field: dict[str, list[Change]] = {}
    for path, old, new in _less_what_follows(list(changes)):
        found = _STAGE.fullmatch(path)
        field, stage = (found[2], found[1]) if found else (path, "")
        by_field.setdefault(field.removesuffix(".kind"), []).append((stage, old, new))
    return "; ".join(_in_words(field, of) for field, of in by_field.items())


def read_changes(texts: Iterable[str]) -> list[Change]:
    """Changes as a front's file has them, `path: old -> new`."""
    parts = (re.fullmatch(r"(.*?): (.*) -> (.*)", text) for text in texts)
    return [(part[1], part[2], part[3]) for part in parts if part]


def _less_what_follows(changes: Sequence[Change]) -> list[Change]:
    kinds = {path.removesuffix("kind"): new for path, _, new in changes if path.endswith(".kind")}
    return [change for change in changes if not _follows(change, kinds)]


def _follows(change: Change, kinds: dict[str, object]) -> bool:
    """Whether it only says what comes with another kind."""
    path, _, new = change
    part = _PART.fullmatch(path)
    if part is None or part[3] == "kind":
        return False
    here, anywhere = f"{part[1] or ''}{part[2]}.", f"stages[*].{part[2]}."
    kind = kinds.get(here, kinds.get(anywhere) if part[1] else None)
    if kind is None:
        return False
    mixer = MIXERS.usable().get(str(kind)) if part[2] == "mixer" else None
    usual = {} if mixer is None else mixer.fields()
    return str(new) == "None" or (part[3] in usual and str(usual[part[3]]) == str(new))


def _in_words(field: str, of: Sequence[Change]) -> str:
    stages = [stage for stage, _, _ in of]
    path = f"stages[{','.join(stages)}].{field}" if stages[0] else field
    olds, news = (_joined([str(one[i]) for one in of]) for i in (1, 2))
    return f"{path}: {news}" if olds == "None" else f"{path}: {olds} -> {news}"


def _joined(values: Sequence[str]) -> str:
    return values[0] if len(set(values)) == 1 else ", ".join(values)
