"""`evnas figure`: a study's figures for papers and slides."""

from pathlib import Path
from typing import Annotated

import typer

from evnas.commands.options import Study
from evnas.commands.output import AsJson, emit, talk
from evnas.errors import SpecError, nearest


def figure(
    study: Study,
    name: Annotated[
        str,
        typer.Argument(metavar="FIGURE", help="front, curves, hypervolume or ratios."),
    ] = "front",
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "--output", "-o", help="FILE.pdf, .svg or .png; all three under STUDY/figures."
        ),
    ] = None,
    style: Annotated[str, typer.Option("--style", help="paper or slides.")] = "paper",
    width: Annotated[
        str | None, typer.Option("--width", help="3.3in, 84mm or 240pt; the style's own.")
    ] = None,
    height: Annotated[
        str | None, typer.Option("--height", help="The same; in proportion to the width.")
    ] = None,
    x: Annotated[str | None, typer.Option("--x", help="Of the front: the column across.")] = None,
    y: Annotated[str | None, typer.Option("--y", help="Of the front: the column up.")] = None,
    trial: Annotated[
        list[str] | None, typer.Option("--trial", help="Of the curves: a trial to draw.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Draw a figure of a study for a paper or a slide: PDF, SVG and PNG, fonts inside.

    \b
    Examples:
      evnas figure results/table_c front --style paper --width 3.3in
      evnas figure results/table_c ratios -o ratios.pdf
      evnas figure results/mine front --x params_m --y top1_percent --style slides
    """
    from evnas.store import Store

    Store.read(study / "study.db").close()  # a mistake does not wait for heavier packages
    from evnas.report.paper.figure import FIGURES, FORMATS, Wanted, write_figure
    from evnas.report.paper.style import inches, style_named

    if name not in FIGURES:
        raise SpecError(
            f"FIGURE must be one of {', '.join(FIGURES)}, got {name!r}{nearest(name, FIGURES)}"
        )
    look = style_named(style)
    width_in = look.width_in if width is None else inches(width, option="--width")
    of_width = width_in * look.height_fraction
    wanted = Wanted(
        name=name,
        style=look,
        width_in=width_in,
        height_in=of_width if height is None else inches(height, option="--height"),
        x=x,
        y=y,
        trials=trial or (),
    )
    for options, figure_of in (((x, y), "front"), ((trial,), "curves")):
        if any(options) and name != figure_of:
            raise SpecError(f"--x and --y are of the front, --trial of the curves, got {name!r}")
    paths = output or [study / "figures" / f"{name}{suffix}" for suffix in FORMATS]
    for path in paths:
        if path.suffix.lower() not in FORMATS:
            raise SpecError(f"--output must end with {', '.join(FORMATS)}, got {path}")
    notes = write_figure(study, wanted, paths)
    for note in notes:
        talk(note)
    written = [str(path) for path in paths]
    emit({"files": written, "notes": notes}, "\n".join(written), json)
