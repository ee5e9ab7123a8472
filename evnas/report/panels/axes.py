"""What each trial of a search holds on every axis of its space: the Axes panel."""

from typing import Any

import numpy as np

from evnas.errors import EvnasError
from evnas.report.frame.snapshot import Rows
from evnas.report.frame.study_reader import StudyReader
from evnas.space.axes import Axis
from evnas.space.space import SearchSpace
from evnas.sweep.search_spec import SearchSpec
from evnas.sweep.sweep import sweep_of

MOST = 2000
"""Trials that are drawn, spread evenly over the search."""
ABSENT = -1


class AxesPanel:
    """The Axes panel."""

    name = "axes"
    script = ""

    def data(self, reader: StudyReader) -> dict[str, Any] | None:
        """`axes`, each with `key`, its `values` as texts, `parent` and `when`, the parent's values
        in which it exists; `rows` of trials that have a result, thinned to `MOST` `of` them; and
        `held`, a list an axis: the place of each row's value among `values`, `ABSENT` where the
        axis does not exist in it. None of what is no search, or of a study too large to be sent
        whole."""
        if reader.is_large():
            return None
        try:
            sweep = sweep_of(reader.sweep)
        except EvnasError:  # of an older or newer version
            return None
        if not isinstance(sweep.spec, SearchSpec):
            return None
        space = SearchSpace.from_spec(sweep.spec.space, sweep.base)
        rows = _with_results(reader)
        shown = rows[:: max(1, -(-len(rows) // MOST))].tolist()
        points = [space.values_in(arch) for arch in reader.archs_of(shown)]
        return {
            "axes": [_described(axis) for axis in space.axes],
            "rows": shown,
            "of": len(rows),
            "held": [
                [axis.domain.index(p[axis.key]) if axis.key in p else ABSENT for p in points]
                for axis in space.axes
            ],
        }


def _described(axis: Axis) -> dict[str, Any]:
    return {
        "key": axis.key,
        "values": [str(value) for value in axis.domain.values],
        "parent": axis.parent,
        "when": sorted(map(str, axis.parent_values)),
    }


def _with_results(reader: StudyReader) -> Rows:
    """Trials that ended well and have all that the study is judged by."""
    columns, aims = reader.columns(), reader.objectives()
    done = columns.text["status"].is_one("complete") & ~columns.text["mixers"].is_one("timm")
    for aim in aims:
        done &= np.isfinite(columns.numbers[aim.key])
    return np.flatnonzero(done)


PANEL = AxesPanel()
