"""What the page asks of a study: left for its driver, or seen to where none runs."""

import time
from typing import Any

from evnas.errors import SpecError, StoreError
from evnas.report.frame.study_reader import StudyReader
from evnas.store.asked import Request, is_written, leave, request_of, settle_free
from evnas.sweep.search_spec import BudgetSpec


def ask(reader: StudyReader, raw: Any) -> str:
    """Ask something of a study.

    Args:
        raw: a request as plain data.

    Returns:
        What came of it, a sentence.

    Raises:
        SpecError: nothing that this study could do.
        StoreError: its folder cannot be written.
    """
    asked = request_of(raw, at=time.time())
    _must_fit(reader, asked)
    try:
        leave(reader.folder, asked)
    except OSError as e:
        place = reader.folder
        raise StoreError(f"{place}: must be a folder that can be written ({e.strerror})") from e
    said = settle_free(reader.folder)
    if said:
        return "; ".join(said)
    if is_written(reader.store.path):
        return "asked: its driver takes it at its next turn"
    return f"asked: `evnas sweep {reader.folder / 'sweep.resolved.yaml'}` takes it"


def _must_fit(reader: StudyReader, asked: Request) -> None:
    if asked.action == "stop" and not is_written(reader.store.path):
        raise SpecError("no sweep runs there that could be stopped")
    if asked.action == "extend":
        budget = reader.sweep.get("budget")
        if not isinstance(budget, dict):
            raise SpecError("a list of rows ends with its last; add rows to its file")
        BudgetSpec.model_validate(budget).extended(trials=asked.trials, minutes=asked.minutes)
    if asked.action == "annotate":
        with reader.lock:
            row = reader.frame.row(asked.label)
            known = row is not None and reader.frame.text["digest"][row] == asked.digest
        if not known:
            raise SpecError(f"there is no trial {asked.label[:40]!r} of that digest")
