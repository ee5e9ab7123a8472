"""Where forwards' time goes, of rows and trials that were taken apart: the Breakdown panel."""

from typing import Any

from evnas.report.frame.breakdowns import breakdowns_of
from evnas.report.frame.study_reader import StudyReader

_SHOWN = (
    *("label", "target", "runtime", "latency_ms", "copy_bytes_s", "flop_s", "parts"),
    "disturbed",
)


class BreakdownPanel:
    """The Breakdown panel."""

    name = "breakdown"
    script = ""

    def data(self, reader: StudyReader) -> list[dict[str, Any]] | None:
        """What `evnas bench --breakdown --keep` noted; None where nothing was."""
        with reader.lock:
            found = breakdowns_of(reader.store)
        return [{key: one[key] for key in _SHOWN} for one in found] or None


PANEL = BreakdownPanel()
