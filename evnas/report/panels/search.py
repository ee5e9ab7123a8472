"""How a search went: the front's history, and which choices mattered."""

from collections.abc import Sequence
from typing import Any

from evnas.record import Record
from evnas.report.frame.objectives import find_objectives
from evnas.report.frame.study_reader import StudyReader
from evnas.report.query.front import collect_points, find_front
from evnas.report.query.front_history import compute_front_history
from evnas.report.table.cautions import about_search


class SearchPanel:
    """The Search panel."""

    name = "search"
    script = ""

    def data(self, reader: StudyReader) -> dict[str, Any]:
        """`progress`, the front's history; `importance`, {objective: {path: share}}; `cautions`,
        what weakens the figures of the front's members (no sentence of an ablation, whose table
        has them).

        Importances need Optuna, which the report does not import: the search notes them in the
        store. Each is None where there is none.
        """
        sweep = reader.sweep
        importance = reader.meta("importance")
        with reader.lock:
            frame = reader.frame
            aims = find_objectives(sweep, frame)
            searched = sweep.get("rows") is None
            history = compute_front_history(frame, aims) if searched else None
            rows, values = collect_points(frame, aims)
            front = rows[find_front(values)].tolist() if searched else []
        cautions = _cautions([reader.records_of(row) for row in front])
        return {"progress": history, "importance": importance, "cautions": cautions}


def _cautions(members: Sequence[Sequence[Record]]) -> list[str]:
    """Said to be of the front, since `evnas front` counts all of the search's speeds."""
    records = [record for member in members for record in member]
    said = about_search(records, list(dict.fromkeys(r.label for r in records)))
    return [f"of the front: {sentence}" for sentence in said]


PANEL = SearchPanel()
