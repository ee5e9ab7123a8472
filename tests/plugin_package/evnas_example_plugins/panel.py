"""A panel of another package: what the blocks of a study are called."""

from typing import Any

from evnas.report.frame.study_reader import StudyReader


class Blocks:
    """See the module."""

    name = "blocks_seen"
    script = 'EV.panel({ name: "blocks_seen", title: "Blocks", available: () => true });'

    def data(self, reader: StudyReader) -> Any:
        """The distinct ones."""
        return sorted(map(str, reader.columns().text["blocks"].distinct))


PANEL = Blocks()
