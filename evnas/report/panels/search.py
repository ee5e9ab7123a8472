"""How a search went: the front's history, and which choices mattered."""

from typing import Any

from evnas.report.frame.objectives import find_objectives
from evnas.report.frame.study_reader import StudyReader
from evnas.report.query.front_history import compute_front_history


class SearchPanel:
    """The Search panel."""

    name = "search"
    script = ""

    def data(self, reader: StudyReader) -> dict[str, Any]:
        """`progress`, the front's history, and `importance`, {objective: {path: share}}.

        Importances need Optuna, which the report does not import: the search notes them in the
        store. Each is None where there is none.
        """
        sweep = reader.sweep
        importance = reader.meta("importance")
        with reader.lock:
            frame = reader.frame
            aims = find_objectives(sweep, frame)
            history = compute_front_history(frame, aims) if sweep.get("rows") is None else None
        return {"progress": history, "importance": importance}


PANEL = SearchPanel()
