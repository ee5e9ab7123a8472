"""What a panel of the page with data of its own is."""

from typing import Any, Protocol, runtime_checkable

from evnas.report.frame.study_reader import StudyReader


@runtime_checkable
class Panel(Protocol):
    """A tab of the page: its data, computed here, and the JavaScript that draws it."""

    name: str
    """As it is registered, and as its script calls itself in `EV.panel({ name: ... })`."""

    script: str
    """JavaScript text; "" of ours, which lies in report/static/js/panels/NAME.js."""

    def data(self, reader: StudyReader) -> Any | None:
        """What the script gets from `EV.panelData(name)`, as JSON data; None for nothing.

        Args:
            reader: the study. `reader.columns()` has every trial's numbers and texts,
                `reader.sweep` the resolved sweep as plain data; both take `reader.lock`.
        """
        ...
