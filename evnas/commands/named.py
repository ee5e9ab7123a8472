"""An architecture named on the command line: of the catalogue, or a YAML file."""

from typing import Annotated

import typer

from evnas.arch.spec import ArchSpec
from evnas.sweep.named import arch_of, entry_of

ArchName = Annotated[
    str, typer.Argument(metavar="ARCH", help="A name of `evnas models`, or an arch's YAML file.")
]


def arch_and_side(name: str, resolution: int | None) -> tuple[ArchSpec, int]:
    """The architecture of a name or file, and the side of its images in pixels.

    Args:
        resolution: as asked for; None for the published one, or 224 of a file.

    Raises:
        SpecError: neither the catalogue nor a file has it, or the file is wrong.
    """
    known = entry_of(name)
    return arch_of(name), resolution or (known.resolution if known else 224)
