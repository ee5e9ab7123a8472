"""What is computed from a whole study for its Search, Devices and Reproduction panels."""

from typing import Any

from evnas.report.objectives import objectives
from evnas.report.progress import progress
from evnas.report.reading import StudyReader
from evnas.report.reproduction import reproduction


def analysis(reader: StudyReader) -> dict[str, Any]:
    """The panels' data; a panel that the study has no data for is None.

    `importance` is what the search noted in the store under that key, {objective: {path: share}}:
    importances need Optuna, which this room does not import.
    """
    sweep = reader.sweep
    importance = reader.meta("importance")
    with reader.lock:
        frame = reader.frame
        aims = objectives(sweep, frame)
        history = progress(frame, aims) if sweep.get("rows") is None else None
    return {
        "progress": history,
        "importance": importance,
        "reproduction": reproduction(reader) if sweep.get("published") else None,
    }
