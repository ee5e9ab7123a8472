"""`evnas eval`: accuracy of checkpoints and exported files, side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from evnas.arch.catalog import entry
from evnas.commands.named import From, Pick, chosen
from evnas.commands.options import Device, Workers
from evnas.commands.output import AsJson, emit, talk
from evnas.errors import DataError, SpecError
from evnas.evaluate.formats import must_not_run_code
from evnas.files import expanded
from evnas.sweep.named import arch_of
from evnas.tables import RUNTIMES
from evnas.words import counted

if TYPE_CHECKING:
    from evnas.arch.spec import ArchSpec
    from evnas.evaluate.evaluation import Evaluated
    from evnas.evaluate.subject import Subject


def eval(
    data: Annotated[
        str,
        typer.Option("--data", help="A folder with val/, a folder of classes, or a named set."),
    ],
    checkpoints: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CHECKPOINT...]",
            help="Trainings' folders, weights, ARCH=WEIGHTS, or .onnx files.",
        ),
    ] = None,
    named: Annotated[
        str | None,
        typer.Option("--arch", help="Of checkpoints that do not say it: a name or a YAML file."),
    ] = None,
    study: From = None,
    pick: Pick = None,
    official: Annotated[
        tuple[str, Path] | None,
        typer.Option("--official", metavar="NAME FILE", help="A release's weights."),
    ] = None,
    resolutions: Annotated[
        str | None,
        typer.Option(
            "--resolution", metavar="N,N,...", help="Sides in pixels; each model's own otherwise."
        ),
    ] = None,
    form: Annotated[
        Literal["plain", "deployed"] | None,
        typer.Option("--form", help="deployed folds batch norms; the runtime's own otherwise."),
    ] = None,
    runtime: Annotated[
        str, typer.Option("--runtime", help=f"One of {', '.join(RUNTIMES)}.")
    ] = "torch",
    precision: Annotated[
        Literal["float32", "bfloat16", "float16"], typer.Option("--precision")
    ] = "float32",
    device: Device = "auto",
    batch_size: Annotated[int, typer.Option("--batch-size", min=1)] = 64,
    images: Annotated[
        int | None, typer.Option("--images", min=1, help="About so many, evenly; else all.")
    ] = None,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Leave out images that cannot be read.")
    ] = False,
    per_class: Annotated[bool, typer.Option("--per-class", help="Top-1 of each class.")] = False,
    workers: Workers = None,
    json: AsJson = False,
) -> None:
    """Evaluate weights on held-out images: accuracy with intervals, each beside the first.

    \b
    Examples:
      evnas eval runs/m1 --data imagenet
      evnas eval efficientvim_m1=m1.pt m1.onnx --data imagenet
    """
    sides = sides_of(resolutions)
    files = [_of_text(text) for text in checkpoints or ()]
    _must_be_there([file for _, file in files], official)
    usual = RUNTIMES.get(runtime).form
    given = chosen(named, None, study=study, pick=pick) if named or study or pick else None
    from evnas.evaluate.held_out import held_out_images

    found = held_out_images(data, most=images)
    talk(f"images: {found}")
    from evnas.commands.eval_table import text_of
    from evnas.evaluate.evaluation import Way, evaluate
    from evnas.evaluate.subject import official_subject, subject_of
    from evnas.measure.target import Target
    from evnas.train.workers import image_workers

    usual_arch = None if given is None else given.arch
    subjects = [subject_of(file, arch or usual_arch) for arch, file in files]
    if official is not None:
        subjects.append(official_subject(*official))
    way = Way(
        form=form or usual,
        runtime=runtime,
        precision=precision,
        device=Target(device=device).resolved().device,
        batch_size=batch_size,
    )
    rows: list[Evaluated] = []
    for subject in subjects:
        for side in sides or [subject.view.resolution]:
            talk(f"{_of_file(subject)} at {side}x{side}")
            row = evaluate(
                subject,
                found,
                way,
                resolution=side,
                workers=image_workers(workers),
                skip_broken=skip_broken,
                first=rows[0] if rows else None,
            )
            _say_what_is_not_finite(row)
            rows.append(row)
    names = {row.subject.name: row.subject.classes or found.classes for row in rows}
    listed = [_as_data(row, names, per_class) for row in rows]
    emit(
        {"data": data, "rows": listed},
        text_of(rows, names if per_class else {}),
        json,
    )


def sides_of(text: str | None) -> list[int]:
    """`224,384` as numbers; none of None.

    Raises:
        SpecError: something else stands there.
    """
    if text is None:
        return []
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) >= 8 for part in parts):
        raise SpecError(f"--resolution must be N,N,... in pixels, 8 or more, got {text!r}")
    return [int(part) for part in parts]


def _of_text(text: str) -> "tuple[ArchSpec | None, Path]":
    """Weights as they are given, with the architecture where it is given before them.

    Raises:
        SpecError: there is no such architecture.
    """
    name, equals, file = text.partition("=")
    if not equals or expanded(text).exists():
        return None, expanded(text)
    return arch_of(name), expanded(file)


def _must_be_there(files: list[Path], official: tuple[str, Path] | None) -> None:
    """Mistakes that show before torch is loaded."""
    if not files and official is None:
        raise SpecError("weights must be named: CHECKPOINT..., or --official NAME FILE")
    if official is not None:
        entry(official[0])
        files = [*files, official[1]]
    for file in files:
        if not file.exists():
            raise DataError(f"there is no file {file}")
        must_not_run_code(file)


def _of_file(subject: "Subject") -> str:
    """Its name, with the file where a training's folder holds several."""
    return subject.name + (f" ({subject.file.name})" if Path(subject.name).is_dir() else "")


def _say_what_is_not_finite(row: "Evaluated") -> None:
    if row.not_finite:
        talk(
            f"WARNING: {row.subject.name} at {row.resolution}: of "
            f"{counted(len(row.answers), 'image')} {row.not_finite} have logits that are NaN or "
            "infinite, so its accuracy is not known"
        )


def _as_data(row: "Evaluated", names: dict[str, Any], per_class: bool) -> dict[str, Any]:
    more = {"per_class": row.per_class(names[row.subject.name])} if per_class else {}
    return row.to_dict() | more
