"""Arguments and options that several commands take."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from evnas import runtime

Names = Literal["ours", "official"]
"""Whose names the tensors of weights have."""
SweepFile = Annotated[
    Path,
    typer.Argument(metavar="SWEEP", help="A YAML file, or a sweep that comes along: table_c."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change the sweep: proxy.epochs=4."),
]
Quick = Annotated[bool, typer.Option("--quick", help="A first look, as study NAME_quick.")]
Name = Annotated[str | None, typer.Option("--name", help="Another name for the study.")]
Rows = Annotated[
    list[str] | None,
    typer.Option(
        "--row", metavar="LABEL", help="Of a table this row alone, and the reference; repeatable."
    ),
]
Results = Annotated[Path, typer.Option("--results", help="Where studies are kept.")]
Study = Annotated[Path, typer.Argument(metavar="STUDY", help="A study's folder under results/.")]
PageFile = Annotated[Path | None, typer.Option("--html", help="Write it as a page too, one file.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=0,
        help="Processes that load images, 0 for none; else the cores at hand, 8 at most.",
        show_default=False,
    ),
]
Resolution = Annotated[
    int | None, typer.Option("--resolution", min=8, help="Side of the images in pixels.")
]
Precision = Annotated[runtime.Precision, typer.Option("--precision")]
Form = Annotated[
    runtime.Form | None,
    typer.Option("--form", help="deployed folds batch norms; the runtime's own otherwise."),
]
SkipBroken = Annotated[
    bool, typer.Option("--skip-broken", help="Leave out images that cannot be read.")
]
OutFile = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE.json",
        help="Keep the result there, whole after each row: a kill costs the row under way.",
    ),
]
