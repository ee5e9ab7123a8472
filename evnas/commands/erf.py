"""`evnas erf`: effective receptive fields, side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evnas.commands.named import From, Picks, chosen, must_have_a_study
from evnas.commands.output import AsJson, columns, emit, warn_of_random_weights
from evnas.errors import SpecError
from evnas.files import must_have_a_place
from evnas.sweep.named import entry_of

if TYPE_CHECKING:
    from evnas.commands.fields import Field, FieldSubject


def erf(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME...]", help="Architectures; rows with --study."),
    ] = None,
    from_study: From = None,
    picks: Picks = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The PNG.")] = Path("erf.png"),
    weights: Annotated[
        list[Path] | None,
        typer.Option("--weights", help="State dicts, in the order of the names."),
    ] = None,
    data: Annotated[
        str, typer.Option("--data", help="A named set, or a folder of images.")
    ] = "fashion-mnist-12k",
    images: Annotated[int, typer.Option("--images", min=1, help="How many to average.")] = 16,
    resolution: Annotated[int | None, typer.Option("--resolution", min=32)] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of weights that are not given.")] = 0,
    study: Annotated[
        Path | None, typer.Option("--study", help="A study whose rows they are; keeps them there.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Draw effective receptive fields side by side: what each pixel means to the centre.

    \b
    Examples:
      evnas erf efficientvim_m1 vmamba_tiny_s1l8 --output fields.png
      evnas erf A B --study results/table_c
    """
    for name in names or () if study is None else ():
        entry_of(name)
    if from_study is None:
        must_have_a_study(picks)
    if from_study is None and not names:
        raise SpecError("a model must be named: NAME..., or --from STUDY --pick WISH")
    trials = []
    if from_study is not None:
        asked = picks or (None,)
        trials = [chosen(None, resolution, study=from_study, pick=pick) for pick in asked]
    from evnas.commands import fields
    from evnas.report.page.erf_picture import draw_fields

    must_have_a_place(output)
    wanted = fields.wanted(names or [], resolution, study)
    wanted += fields.picked(trials)
    subjects = fields.with_weights(wanted, weights or [])
    found = fields.taken(subjects, data=data, images=images, seed=seed, study=study)
    draw_fields({subject.name: field for subject, field in found}, output)
    _emit(found, output, json)


def _emit(found: "Sequence[tuple[FieldSubject, Field]]", output: Path, json: bool) -> None:
    from evnas.report.page.erf_picture import area_fraction

    rows = []
    for subject, field in found:
        known = subject.weights.name if subject.weights else "random"
        rows.append((subject.name, subject.resolution, area_fraction(field), known))
    head = ("model", "resolution", "area over 5 % of the peak", "weights")
    keys = ("name", "resolution", "erf_area_fraction", "weights")
    listed = [
        {**dict(zip(keys, row, strict=True)), **subject.origin}
        for (subject, _), row in zip(found, rows, strict=True)
    ]
    text = columns(head, [(*row[:2], f"{row[2]:.3f}", row[3]) for row in rows])
    warn_of_random_weights([subject.name for subject, _ in found if subject.weights is None])
    emit({"output": str(output), "fields": listed}, f"{text}\n{output}", json)
