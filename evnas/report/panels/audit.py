"""What orders a study's rows as print does: the ladder of `evnas audit`, as a panel."""

from typing import Any

from evnas.report.frame.study_reader import StudyReader
from evnas.report.panels.reproduction import table_of
from evnas.report.table.study_table import ladder_of, ranked_rows
from evnas.stats.ladder import EQUAL, OVERALL


class AuditPanel:
    """The Audit panel."""

    name = "audit"
    script = ""

    def data(self, reader: StudyReader) -> dict[str, Any] | None:
        """Scopes with a line per signal; None where no row has an accuracy here and in print."""
        read = table_of(reader) if reader.sweep.get("published") else None
        rows = None if read is None else ranked_rows(read[1])
        if rows is None:
            return None
        lines = ladder_of({reader.folder.name: rows})
        return {
            "scopes": [
                {
                    "name": scope,
                    "lines": [
                        {
                            "signal": line.signal,
                            "tau": line.agreement.tau,
                            "low": line.agreement.low,
                            "high": line.agreement.high,
                            "n": line.agreement.n,
                            "pairs": line.pairs,
                            "verdict": line.verdict,
                        }
                        for line in lines
                        if line.scope == scope and line.agreement is not None
                    ],
                }
                for scope in (OVERALL, EQUAL)
            ]
        }


PANEL = AuditPanel()
