"""A study for a notebook: a pandas frame of its trials, and its figures as plotly figures."""

import html
from pathlib import Path
from typing import Any

import pandas as pd

from evnas.errors import EvnasError
from evnas.files import expanded
from evnas.report.frame.objectives import Objective, find_objectives
from evnas.report.frame.slim_records import read_curve_points
from evnas.report.frame.study_reader import StudyReader
from evnas.report.notebook import figures
from evnas.report.query.pick import (
    Picked,
    front_rows,
    judged_by,
    known_objectives,
    picked,
    picked_row,
)
from evnas.store import Store
from evnas.words import counted

SHOWN = 12
"""Rows of the table that a notebook shows."""


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
        self._folder, self._trials = reader.folder, reader.frame
        self.frame = pd.DataFrame(texts | numbers)
        """A row a trial; `:low` and `:high` columns hold 95 % intervals."""
        self.curves = pd.DataFrame(list(read_curve_points(reader.store)))
        """A row a point of a learning curve."""

    @property
    def trials(self) -> pd.DataFrame:
        """The same as `frame`: a row per trial."""
        return self.frame

    @property
    def front(self) -> pd.DataFrame:
        """Trials that no other dominates by the objectives, best by the first one first."""
        aims = self._known_objectives()
        return self.frame.loc[front_rows(self._trials, aims)]

    def pick(self, wish: str) -> Picked:
        """One trial, with its architecture as `.arch`: `build`, `bench` and the others take it.

        Args:
            wish: `front:N` (from 1, in the order of `front`), `label:NAME` (any trial or row),
                `fastest`, `most-accurate` or `knee` of the front.

        Raises:
            SpecError: no trial is meant; with what is there.
            StoreError: the study can no longer be read.
        """
        frame, aims = self._trials, judged_by(self.sweep, self.objectives)
        row, by = picked_row(frame, aims, wish, where=str(self._folder))
        with Store.read(self._folder / "study.db") as store:
            _, record = next(store.records(after=frame.record_ids(row)[-1] - 1))
        known = known_objectives(frame, self.objectives, row)
        return picked(self._folder, self.sweep, record, wish, by, known)

    @property
    def best(self) -> pd.DataFrame:
        """The best trial by each objective, under the objective's key; empty before any ended."""
        found = {}
        for aim in self._known_objectives():
            values = self._complete([aim.key])[aim.key]
            if len(values):
                found[aim.key] = values.idxmax() if aim.better == "more" else values.idxmin()
        rows = self.frame.loc[list(found.values())]
        return rows.set_index(pd.Index(list(found), name="objective"))

    def _known_objectives(self) -> list[Objective]:
        return [aim for aim in self.objectives if aim.key in self.frame]

    def _complete(self, keys: list[str]) -> pd.DataFrame:
        """Trials that ended well and have all of some columns; peers from timm take no part."""
        ended = (self.frame["status"] == "complete") & (self.frame["mixers"] != "timm")
        return self.frame[ended].dropna(subset=keys)

    def _repr_html_(self) -> str:
        """The front as a table and a figure; a notebook shows it without any network."""
        keys = [aim.key for aim in self._known_objectives()]
        shown = self.front if len(self.front) else self.frame
        table = shown[["label", "mixers", "status", *keys]].head(SHOWN)
        heads = {key: figures.axis_title(key) for key in keys}
        head = f"<p><b>{html.escape(self.name)}</b>: {counted(len(self.frame), 'trial')}</p>"
        body = table.rename(columns=heads).to_html(
            index=False, border=0, float_format="{:.4g}".format
        )
        try:
            drawn = self.figure("front").to_html(full_html=False, include_plotlyjs=True)
        except EvnasError:  # fewer than two objectives, or no trial has both yet: no figure
            drawn = ""
        return f"{head}{body}{drawn}"

    def figure(self, kind: figures.FigureKind = "front") -> Any:
        """A `plotly.graph_objects.Figure`: `front`, `curves` or `hypervolume`.

        Raises:
            EvnasError: the study has no data for it.
        """
        return figures.draw_figure(self, kind)

    def __repr__(self) -> str:
        return f"Study({self.name!r}, {counted(len(self.frame), 'trial')})"


def load_study(path: str | Path) -> Study:
    """Load a study from its folder (`results/table_c`) or its `study.db`.

    Raises:
        StoreError: there is none, or it cannot be read.
    """
    folder = expanded(path)
    reader = StudyReader(folder.parent if folder.name == "study.db" else folder)
    try:
        reader.read_all()
        return Study(reader)
    finally:
        reader.close()
