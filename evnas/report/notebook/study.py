"""A study for a notebook: a pandas frame of its trials, and its figures as plotly figures."""

from pathlib import Path
from typing import Any

import pandas as pd

from evnas.report.frame.objectives import find_objectives
from evnas.report.frame.slim_records import read_curve_points
from evnas.report.frame.study_reader import StudyReader
from evnas.report.notebook import figures


class Study:
    """What one store held when it was loaded."""

    def __init__(self, reader: StudyReader) -> None:
        self.name = reader.folder.name
        self.sweep = reader.sweep
        self.environment: dict[str, Any] = reader.meta("environment") or {}
        self.objectives = find_objectives(self.sweep, reader.frame)
        """Columns the study is judged by, and which way is better."""
        texts = {key: list(values) for key, values in reader.frame.text.items()}
        numbers = {key: reader.frame.column(key) for key in reader.frame.number_keys()}
        self.frame = pd.DataFrame(texts | numbers)
        """A row a trial; `:low` and `:high` columns hold 95 % intervals."""
        self.curves = pd.DataFrame(list(read_curve_points(reader.store)))
        """A row a point of a learning curve."""

    def figure(self, kind: figures.FigureKind = "front") -> Any:
        """A `plotly.graph_objects.Figure`: `front`, `curves` or `hypervolume`.

        Raises:
            EvnasError: the study has no data for it.
        """
        return figures.draw_figure(self, kind)

    def __repr__(self) -> str:
        return f"Study({self.name!r}, {len(self.frame)} trials)"


def load_study(path: str | Path) -> Study:
    """Load a study from its folder (`results/table_c`) or its `study.db`.

    Raises:
        StoreError: there is none, or it cannot be read.
    """
    folder = Path(path)
    reader = StudyReader(folder.parent if folder.name == "study.db" else folder)
    try:
        reader.read_all()
        return Study(reader)
    finally:
        reader.close()
