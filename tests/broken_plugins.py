"""Packages whose entry points cannot be used, in every table."""

from collections.abc import Mapping
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from evnas.mixers import MIXERS
from evnas.registry import Registry
from evnas.report.panels.table import PANELS
from evnas.tables import BLOCKS, DATASETS, PHASES, RECIPES, RUNTIMES, SCORES, STRATEGIES

TABLES = (PHASES, BLOCKS, STRATEGIES, RUNTIMES, SCORES, DATASETS, MIXERS, PANELS, RECIPES)
PLACES = {"broken": "no_such_module:THING", "misfit": "math:pi"}
"""One whose module is not there, and one that is of no kind that any table takes; the names that
they have in a table are `names_in`."""
REASONS = {"broken": "cannot be loaded", "misfit": "must be"}


def names_in(table: Registry[Any]) -> dict[str, str]:
    """Name -> place: `broken_phase`, `misfit_phase`."""
    return {f"{fault}_{table.kind}": place for fault, place in PLACES.items()}


def break_tables(patch: pytest.MonkeyPatch) -> None:
    """Let both stand in every table, as if a package had registered them."""
    for table in TABLES:
        found = {
            name: EntryPoint(name, place, table.group) for name, place in names_in(table).items()
        }
        patch.setattr(table, "_entry_points", _giving(found))
        patch.setattr(table, "_names", None)
        patch.setattr(table, "_found", None)


def tables_are_all() -> bool:
    """Whether no other table of the package is open."""
    ours = [table for kind, table in Registry._tables.items() if not kind.startswith("test ")]
    return set(map(id, ours)) == set(map(id, TABLES))


def _giving(found: Mapping[str, EntryPoint]) -> object:
    return lambda: found
