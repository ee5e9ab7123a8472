"""What people ask of a study that a sweep may be writing: a file a request, in STUDY/asked.

Only the driver writes its store, so whoever else wants something leaves a request, and the driver
takes it at its next turn. Where no driver runs, `settle_free` takes what needs none; the rest
waits for the next one. A dashboard or a driver that is killed leaves files, and nothing that waits
for an answer.
"""

import contextlib
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from evnas.errors import SpecError, StoreError
from evnas.files import write_whole
from evnas.store.store import Store

Action = Literal["pause", "resume", "stop", "extend", "annotate"]
ACTIONS: tuple[Action, ...] = get_args(Action)
MARKS = ("", "star", "question", "cross")
"""What a trial may be marked with; "" takes its mark away."""
LONGEST_TEXT = 2_000
FOLDER = "asked"
CONTROL = "control"
"""The note of whether a study is paused, and when anything was last asked of it."""
_ANNOTATION = "annotation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One thing that somebody asks of a study."""

    action: Action
    at: float
    """Seconds since the epoch."""
    trials: int = 0
    """Of `extend`: so many more."""
    minutes: float = 0.0
    """Of `extend`: so much longer."""
    label: str = ""
    """Of `annotate`: the trial's, and its architecture's digest."""
    digest: str = ""
    mark: str = ""
    text: str = ""


def request_of(raw: Any, *, at: float) -> Request:
    """A request from plain data.

    Raises:
        SpecError: it asks for nothing that there is, or not in the way it must.
    """
    if not isinstance(raw, Mapping) or raw.get("action") not in ACTIONS:
        raise SpecError(f"action must be one of {', '.join(ACTIONS)}, got {_brief(raw)}")
    known = {field.name for field in fields(Request)}
    for key in raw:
        if key not in known:
            raise SpecError(f"a request has no {key!r}; it may have {', '.join(sorted(known))}")
    found = Request(**{**raw, "at": at})
    _must_be_sound(found)
    return found


def _must_be_sound(asked: Request) -> None:
    for name in ("label", "digest", "mark", "text"):
        if not isinstance(getattr(asked, name), str):
            raise SpecError(f"{name} must be a text, got {_brief(getattr(asked, name))}")
    if asked.mark not in MARKS:
        marks = ", ".join(map(repr, MARKS))
        raise SpecError(f"mark must be one of {marks}, got {asked.mark[:40]!r}")
    if len(asked.text) > LONGEST_TEXT:
        raise SpecError(f"text must have at most {LONGEST_TEXT} signs, got {len(asked.text)}")
    if asked.action == "annotate" and not (asked.label and asked.digest):
        raise SpecError("a note must name the label and the digest of its trial")
    if isinstance(asked.trials, bool) or not isinstance(asked.trials, int):
        raise SpecError(f"trials must be a whole number, got {_brief(asked.trials)}")
    if isinstance(asked.minutes, bool) or not isinstance(asked.minutes, int | float):
        raise SpecError(f"minutes must be a number, got {_brief(asked.minutes)}")
    more = (asked.trials, asked.minutes)
    if not all(0 <= n <= 1e6 for n in more):  # false of NaN, too
        got = " and ".join(map(_brief, more))
        raise SpecError(f"trials and minutes must be 0 to 1,000,000, got {got}")
    if asked.action == "extend" and not any(more):
        raise SpecError("a study is extended by trials or by minutes, got neither")


def _brief(value: object) -> str:
    return repr(value)[:80]


def leave(folder: Path, asked: Request) -> Path:
    """Leave a request for whoever drives the study in `folder`.

    Raises:
        OSError: the folder cannot be written.
        StoreError: there is no room.
    """
    place = folder / FOLDER
    place.mkdir(exist_ok=True)
    path = place / f"{time.time_ns():020d}-{secrets.token_hex(4)}.json"
    write_whole(path, json.dumps(asdict(asked)))
    return path


def waiting(folder: Path) -> Iterator[tuple[Path, Request | None]]:
    """Requests in the order in which they were left; None of a file that holds none."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder / FOLDER))
    except OSError:  # nobody has asked anything yet
        return
    for name in names:
        path = folder / FOLDER / name
        if name.startswith(".") or not name.endswith(".json"):
            continue  # a draft: not left yet
        yield path, _read(path)


def _read(path: Path) -> Request | None:
    try:
        raw = json.loads(path.read_text("utf-8"))
        return request_of(raw, at=float(raw["at"]))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):  # SpecError is a ValueError
        return None


def forget(path: Path) -> None:
    """Take away a request that has been seen to."""
    with contextlib.suppress(OSError):
        path.unlink()


def settle(store: Store, asked: Request) -> str:
    """Note what needs no driver: a pause, its end, a note on a trial.

    Returns:
        A sentence for people.
    """
    control = store.meta(CONTROL) or {}
    paused = {"pause": True, "resume": False}.get(asked.action, bool(control.get("paused")))
    since = control.get("since") if paused == bool(control.get("paused")) else asked.at
    if asked.action == "annotate":
        _annotate(store, asked)
    store.note(CONTROL, {"paused": paused, "since": since, "at": asked.at})
    return {
        "pause": "paused: what is under way comes to its end, and nothing new begins",
        "resume": "goes on",
        "annotate": f"trial {asked.label} has a note",
    }[asked.action]


def _annotate(store: Store, asked: Request) -> None:
    """A trial's note; what it said before stays in its history."""
    key = f"{_ANNOTATION} {json.dumps([asked.label, asked.digest])}"
    before = store.meta(key) or {}
    history = [*before.get("history", []), _said(before)] if before else []
    now = {"label": asked.label, "digest": asked.digest, **_said(asdict(asked))}
    store.note(key, {**now, "history": history})


def _said(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {key: raw[key] for key in ("mark", "text", "at")}


def annotations(store: Store) -> list[dict[str, Any]]:
    """`label`, `digest`, `mark`, `text` and `at` of every note on a trial that says something."""
    found = store.notes(f"{_ANNOTATION} ").values()
    return [
        {key: note[key] for key in ("label", "digest", "mark", "text", "at")}
        for note in found
        if note["mark"] or note["text"]
    ]


def is_paused(store: Store) -> bool:
    """Whether somebody paused the study and nobody let it go on."""
    return bool((store.meta(CONTROL) or {}).get("paused"))


def settle_free(folder: Path) -> list[str]:
    """Take the requests that need no driver while none runs; nothing where one does.

    Returns:
        A sentence for each; what only a driver can do stays where it is.

    Raises:
        StoreError: the study cannot be written, for another reason than that a driver runs.
    """
    path = folder / "study.db"
    try:
        store = Store.append_to(path)
    except StoreError:
        if is_written(path):
            return []  # its driver takes them
        raise
    said = []
    with store:
        for file, asked in waiting(folder):
            if asked is not None and asked.action in ("pause", "resume", "annotate"):
                said.append(settle(store, asked))
                forget(file)
    return said


def is_written(store: Path, *, locks: Path = Path("/proc/locks")) -> bool:
    """Whether some process holds the study's writer lock.

    Taking the lock to try it would refuse a sweep that starts at that moment, so the kernel's list
    is read instead; where there is none (not Linux), no study counts as being written.
    """
    try:
        inode = store.with_suffix(".lock").stat().st_ino
        lines = locks.read_text().splitlines()
    except OSError:
        return False
    return any(
        fields[1:3] != ["->", "FLOCK"] and "FLOCK" in fields and fields[-3].endswith(f":{inode}")
        for fields in (line.split() for line in lines)
        if len(fields) >= 8
    )
