"""What is computed from a whole study for its Search, Devices and Reproduction panels."""

from typing import Any

from evnas.report.frame.objectives import find_objectives
from evnas.report.frame.study_reader import StudyReader
from evnas.report.panels.reproduction import compute_reproduction
from evnas.report.query.front_history import compute_front_history


def compute_panels(reader: StudyReader) -> dict[str, Any]:
    """The panels' data; a panel that the study has no data for is None.

    `importance` is what the search noted in the store under that key, {objective: {path: share}}:
    importances need Optuna, which this room does not import.
    """
    sweep = reader.sweep
    importance = reader.meta("importance")
    with reader.lock:
        frame = reader.frame
        aims = find_objectives(sweep, frame)
        history = compute_front_history(frame, aims) if sweep.get("rows") is None else None
    return {
        "progress": history,
        "importance": importance,
        "reproduction": compute_reproduction(reader) if sweep.get("published") else None,
    }
