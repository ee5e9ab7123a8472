"""How a search's front grew, for a paper: hypervolume over its trials."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from evnas.errors import EvnasError
from evnas.report.frame.study_reader import StudyReader
from evnas.report.page.colours import PALETTE
from evnas.report.query.front_history import compute_front_history

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def front_growth(reader: StudyReader) -> Mapping[str, Any]:
    """The front's history. Raises EvnasError while fewer than two trials have all objectives."""
    found = compute_front_history(reader.frame, reader.objectives())
    if found is None:
        raise EvnasError(f"{reader.folder}: fewer than two trials have all objectives")
    return found


def draw_growth(axes: "Axes", found: Mapping[str, Any]) -> None:
    """Steps: between two trials nothing is gained."""
    axes.step(found["trials"], found["hypervolume"], where="post", color=PALETTE[0])
    axes.set_xlabel("trials")
    axes.set_ylabel("hypervolume (share of the box\nbetween worst and best found)")
