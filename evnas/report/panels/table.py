"""The page's panels that have data of their own, ours and those of other packages."""

import json
from typing import Any

from evnas.registry import PluginError, Registry
from evnas.report.frame.study_reader import StudyReader
from evnas.report.panels.base import Panel

PANELS: Registry[Panel] = Registry(
    "panel",
    {
        "search": "evnas.report.panels.search:PANEL",
        "reproduction": "evnas.report.panels.reproduction:PANEL",
        "audit": "evnas.report.panels.audit:PANEL",
        "resolution": "evnas.report.panels.resolution:PANEL",
        "breakdown": "evnas.report.panels.breakdown:PANEL",
        "trainings": "evnas.report.panels.trainings:PANEL",
        "axes": "evnas.report.panels.axes:PANEL",
        "effects": "evnas.report.panels.effects:PANEL",
        "run": "evnas.report.panels.run:PANEL",
    },
    of="evnas.report.panels.base:Panel",
)


def compute_panel(name: str, reader: StudyReader) -> Any | None:
    """A panel's data of a study as JSON data; None where the study has nothing for it.

    Raises:
        SpecError: no panel is named so.
        PluginError: another package's panel cannot be loaded, or its `data` fails.
    """
    panel = PANELS.get(name)
    if not panel.script:
        return panel.data(reader)
    try:
        return panel.data(reader)
    except Exception as e:  # whatever another package does with a study it does not expect
        study, reason = reader.folder.name, f"{type(e).__name__}: {e}"
        raise PluginError(f"panel {name!r}: its data of study {study} failed, {reason}") from e


def added_scripts() -> dict[str, str]:
    """Name -> JavaScript of every panel from outside; ours are part of the page's own. Of one that
    cannot be loaded, a script that says so in the browser's console: the page goes on."""
    found = {name: panel.script for name, panel in PANELS.usable().items() if panel.script}
    for name, error in PANELS.broken().items():
        said = json.dumps(str(error)).replace("<", "\\u003c")  # it stands within HTML
        found[name] = f"console.error({said});"
    return found
