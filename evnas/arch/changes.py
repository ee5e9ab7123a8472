"""Differences between two architectures, short enough for a terminal or a column of a table."""

import re
from collections.abc import Iterable, Sequence

from evnas.arch.paths import diff
from evnas.arch.spec import ArchSpec

Change = tuple[str, object, object]
"""Path, value before, value after, as `evnas.arch.paths.diff` gives them."""
SIZES = ("states", "heads", "d_state", "stride")
"""Fields that are named of a part whose kind changed."""
MOST = 4
"""Fields that a column names; more are counted."""
_EVERY = re.compile(r"stages\[\d+\]")
_STAGE = re.compile(r"stages\[(\d+|\*)\]\.(.+)")
_PART = re.compile(r"(stages\[(?:\d+|\*)\]\.)?(mixer|stem|head|downsample)\.(\w+)")


def shortened(changes: Iterable[Change]) -> str:
    """The changes in words. Stages that change in one field stand together; a stage that is new or
    gone is one change; of a part that became another kind, its sizes alone are named.

    `stages[0,2].dim: 128, 320 -> 160, 384; stages[1].mixer: hsm_ssd -> sa`
    """
    return "; ".join(_in_words(field, of) for field, of in _by_field(changes).items())


def what_changed(base: ArchSpec, arch: ArchSpec) -> list[str]:
    """How an architecture differs from a base, for a column: what its fields are now, and in which
    stages where not in all.

    `mixer sa`, `head.fusion none`, `mixer.states 9/25/49`, `stages[0].depth 2`; at most `MOST`.
    """
    fields = _by_field(diff(base, arch))
    said = [_now(field, of, len(arch.stages)) for field, of in fields.items()]
    return said[:MOST] + ([f"and {len(said) - MOST} more"] if len(said) > MOST else [])


def _by_field(changes: Iterable[Change]) -> dict[str, list[Change]]:
    """Field within a stage, or path elsewhere -> (stage or "", value before, value after) each."""
    found: dict[str, list[Change]] = {}
    for path, old, new in _less_what_follows(_with_whole_stages(list(changes))):
        of = _STAGE.fullmatch(path)
        field, stage = (of[2], of[1]) if of else (path, "")
        found.setdefault(field.removesuffix(".kind"), []).append((stage, old, new))
    return found


def _now(field: str, of: Sequence[Change], stages: int) -> str:
    where = [stage for stage, _, _ in of]
    everywhere = where[0] in ("", "*") or len(where) == stages
    values = [str(new).lower() if isinstance(new, bool) else str(new) for _, _, new in of]
    now = values[0] if len(set(values)) == 1 else "/".join(values)
    return f"{field} {now}" if everywhere else f"stages[{','.join(where)}].{field} {now}"


def read_changes(texts: Iterable[str]) -> list[Change]:
    """Changes as a front's file has them, `path: old -> new`."""
    parts = (re.fullmatch(r"(.*?): (.*) -> (.*)", text) for text in texts)
    return [(part[1], part[2], part[3]) for part in parts if part]


def _with_whole_stages(changes: Sequence[Change]) -> list[Change]:
    """A stage that only one of the two has, as one change."""
    found = list(changes)
    for path, old, new in changes:
        stage = path.removesuffix(".dim")
        if path.endswith("].dim") and _is_none(old) != _is_none(new):
            found = [change for change in found if not change[0].startswith(f"{stage}.")]
            size = f"of {old if _is_none(new) else new} channels"
            found.append((stage, size, "gone") if _is_none(new) else (stage, None, f"new, {size}"))
    return found


def _is_none(value: object) -> bool:
    return str(value) == "None"


def _less_what_follows(changes: Sequence[Change]) -> list[Change]:
    kinds = {path.removesuffix("kind") for path, _, _ in changes if path.endswith(".kind")}
    anywhere = {_EVERY.sub("stages[*]", part) for part in kinds}
    return [change for change in changes if not _follows(change, kinds, anywhere)]


def _follows(change: Change, kinds: set[str], anywhere: set[str]) -> bool:
    """Whether it only says what comes with another kind of its part."""
    path, _, new = change
    part = _PART.fullmatch(path)
    if part is None or part[3] == "kind":
        return False
    here = f"{part[1] or ''}{part[2]}."
    every = _EVERY.sub("stages[*]", here)
    became_another = here in kinds or every in (anywhere if "*" in here else kinds)
    return became_another and (_is_none(new) or part[3] not in SIZES)


def _in_words(field: str, of: Sequence[Change]) -> str:
    stages = [stage for stage, _, _ in of]
    path = f"stages[{','.join(stages)}].{field}" if stages[0] else field
    olds, news = (_joined([str(one[i]) for one in of]) for i in (1, 2))
    return f"{path}: {news}" if olds == "None" else f"{path}: {olds} -> {news}"


def _joined(values: Sequence[str]) -> str:
    return values[0] if len(set(values)) == 1 else ", ".join(values)
