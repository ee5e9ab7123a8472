"""How whole trainings of a study's trials go: the Trainings panel."""

from dataclasses import asdict
from typing import Any

from evnas.errors import DataError
from evnas.report.frame.study_reader import StudyReader
from evnas.store.trainings import files_of_trainings, read_training


class TrainingsPanel:
    """The Trainings panel."""

    name = "trainings"
    script = ""

    def data(self, reader: StudyReader) -> dict[str, Any] | None:
        """`trainings`, what each noted, and `unreadable`, a sentence for each file that cannot be
        read; None where there is none."""
        found: list[dict[str, Any]] = []
        unreadable: list[str] = []
        for path in files_of_trainings(reader.folder):
            try:
                found.append(asdict(read_training(path)))
            except DataError as e:
                unreadable.append(str(e))
        return {"trainings": found, "unreadable": unreadable} if found or unreadable else None


PANEL = TrainingsPanel()
