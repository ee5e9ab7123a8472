"""An architecture named on the command line: of the catalogue, a YAML file, or a study's trial."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evnas.arch.spec import ArchSpec
from evnas.commands.output import talk
from evnas.errors import SpecError
from evnas.sweep.named import arch_of, entry_of

if TYPE_CHECKING:
    from evnas.arch.catalog import Entry
    from evnas.report.query.pick import Picked

ArchName = Annotated[
    str, typer.Argument(metavar="ARCH", help="A name of `evnas models`, or an arch's YAML file.")
]
ArchNameOrFrom = Annotated[
    str | None,
    typer.Argument(
        metavar="[ARCH]",
        help="A name of `evnas models`, or an arch's YAML file; or --from with --pick.",
        show_default=False,
    ),
]
From = Annotated[
    Path | None,
    typer.Option("--from", metavar="STUDY", help="Take a trial of this study, with --pick."),
]
_WISH = "front:N, label:NAME, fastest, most-accurate or knee; `evnas front` lists them."
Pick = Annotated[
    str | None, typer.Option("--pick", metavar="WISH", help=f"Which trial of the study: {_WISH}")
]
Picks = Annotated[
    list[str] | None,
    typer.Option(
        "--pick", metavar="WISH", help=f"Trials of --from; may come several times: {_WISH}"
    ),
]


@dataclass(frozen=True, slots=True)
class Chosen:
    """An architecture, and where it comes from."""

    name: str
    """As it was asked for; STUDY:TRIAL of a study's trial."""
    arch: ArchSpec
    resolution: int
    """Side of its images in pixels."""
    known: "Entry | None" = None
    """The catalogue's entry."""
    picked: "Picked | None" = None

    @property
    def origin(self) -> dict[str, Any]:
        """`{"from": ...}` for outputs and records; nothing unless a study's trial."""
        return {} if self.picked is None else {"from": self.picked.to_dict()}


def arch_and_side(name: str, resolution: int | None) -> tuple[ArchSpec, int]:
    """The architecture of a name or file, and the side of its images in pixels.

    Args:
        resolution: as asked for; None for the published one, or 224 of a file.

    Raises:
        SpecError: neither the catalogue nor a file has it, or the file is wrong.
    """
    known = entry_of(name)
    return arch_of(name), resolution or (known.resolution if known else 224)


def chosen(
    name: str | None, resolution: int | None, *, study: Path | None, pick: str | None
) -> Chosen:
    """The architecture of a name or file, or of a study's trial.

    Args:
        resolution: as asked for; None for the published one, of a trial its study's.

    Raises:
        SpecError: none or both are given, or what is given is not there.
        StoreError: the study cannot be read.
    """
    if study is None:
        must_have_a_study(pick)
        if name is None:
            raise SpecError("an architecture must be named: ARCH, or --from STUDY --pick WISH")
        arch, side = arch_and_side(name, resolution)
        return Chosen(name, arch, side, known=entry_of(name))
    if name is not None:
        raise SpecError(f"ARCH and --from must not both be given, got {name} and {study}")
    picked = picked_from(study, pick)
    if "timm" in picked.arch:
        raise SpecError(
            f"{picked.name} is {picked.arch['timm']} of timm, and an architecture of evnas is "
            "needed; pick another trial"
        )
    found = Chosen(
        picked.name,
        ArchSpec.from_dict(picked.arch),
        resolution or picked.resolution,
        picked=picked,
    )
    talk(spoken(picked))
    return found


def picked_from(study: Path, pick: str | None) -> "Picked":
    """The trial of a study that a wish means.

    Raises:
        SpecError: there is no wish, or no such trial.
        StoreError: the study cannot be read.
    """
    from evnas.store import Store

    Store.read(study / "study.db").close()  # a mistake does not wait for heavier packages
    from evnas.report.query.pick import FORMS, pick_trial

    if pick is None:
        raise SpecError(
            f"the study {study} needs --pick: {FORMS}; `evnas front {study}` lists them"
        )
    return pick_trial(study, pick)


def must_have_a_study(pick: object) -> None:
    """Raises SpecError for a wish without the study that it is of."""
    if pick:
        raise SpecError("--pick is of a study's trials, so it needs --from STUDY")


def spoken(picked: "Picked") -> str:
    """The trial and its objectives, in a line."""
    by = f" by {picked.by}" if picked.by else ""
    known = ", ".join(f"{key} {value:.4g}" for key, value in picked.quantities.items())
    return f"{picked.name}, picked as {picked.pick}{by}" + (f" ({known})" if known else "")
