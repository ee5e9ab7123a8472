"""How trials stood for the last few questions: a zoom, a page or a sorting asks the same again."""

from collections import OrderedDict

from evnas.report.reading import StudyReader
from evnas.report.snapshot import Rows, Snapshot
from evnas.report.standing import Standing
from evnas.report.view import Wish, stand

KEPT = 8


class Standings:
    """The newest answers of `stand`, by study, its newest record, axes and filter."""

    def __init__(self) -> None:
        self._found: OrderedDict[tuple[object, ...], tuple[Rows, str, Standing]] = OrderedDict()

    def of(self, reader: StudyReader, columns: Snapshot, wish: Wish) -> tuple[Rows, str, Standing]:
        """Reckoned, or as reckoned before."""
        key = (reader.folder, id(reader), columns.last_id, wish.axes, wish.filter)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = stand(columns, wish, reader.objectives())
            while len(self._found) > KEPT:
                self._found.popitem(last=False)
        return found
