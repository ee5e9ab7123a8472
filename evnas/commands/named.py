"""An architecture named on the command line: of the catalogue, a YAML file, or a trial's own."""

from pathlib import Path
from typing import Annotated

import typer

from evnas.space.arch import ArchSpec
from evnas.space.catalog import Entry, entry
from evnas.space.located import read_arch

ArchName = Annotated[
    str, typer.Argument(metavar="ARCH", help="A name of `evnas models`, or an arch's YAML file.")
]


def arch_named(name: str) -> ArchSpec:
    """The architecture that a name or a file means.

    Raises:
        SpecError: neither the catalogue nor a file has it, or the file is wrong.
    """
    if not name.endswith((".yaml", ".yml", ".json")):
        return entry(name).arch
    return read_arch(Path(name))


def catalogued(name: str) -> Entry | None:
    """Its entry, or None for a file."""
    return None if name.endswith((".yaml", ".yml", ".json")) else entry(name)
