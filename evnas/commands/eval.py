"""`evnas eval`: accuracy of checkpoints and exported files, side by side."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evnas.arch.catalog import entry
from evnas.commands.eval_options import (
    ArchOption,
    BatchSize,
    Checkpoints,
    Images,
    MostImages,
    Official,
    PerClass,
    RuntimeName,
    Sides,
)
from evnas.commands.named import From, Pick, chosen
from evnas.commands.options import Device, Form, OutFile, Precision, SkipBroken, Workers
from evnas.commands.output import AsJson, talk
from evnas.commands.results import Results
from evnas.errors import DataError, SpecError
from evnas.evaluate.formats import must_not_run_code
from evnas.files import expanded
from evnas.sweep.named import arch_of
from evnas.tables import RUNTIMES
from evnas.words import counted

if TYPE_CHECKING:
    from evnas.arch.spec import ArchSpec
    from evnas.evaluate.evaluation import Evaluated, Way
    from evnas.evaluate.subject import Subject
    from evnas.train.data import ImageData


def eval(
    data: Images,
    checkpoints: Checkpoints = None,
    named: ArchOption = None,
    study: From = None,
    pick: Pick = None,
    official: Official = None,
    resolutions: Sides = None,
    form: Form = None,
    runtime: RuntimeName = "torch",
    precision: Precision = "float32",
    device: Device = "auto",
    batch_size: BatchSize = 64,
    images: MostImages = None,
    skip_broken: SkipBroken = False,
    per_class: PerClass = False,
    workers: Workers = None,
    out: OutFile = None,
    json: AsJson = False,
) -> None:
    """Evaluate weights on held-out images: accuracy with intervals, each beside the first.

    \b
    Examples:
      evnas eval runs/m1 --data imagenet
      evnas eval efficientvim_m1=m1.pt m1.onnx --data imagenet
    """
    sides = sides_of(resolutions)
    results = Results(out, json)
    files = [_of_text(text) for text in checkpoints or ()]
    _must_be_there([file for _, file in files], official)
    usual = RUNTIMES.get(runtime).form
    given = chosen(named, None, study=study, pick=pick) if named or study or pick else None
    from evnas.evaluate.held_out import held_out_images

    found = held_out_images(data, most=images)
    talk(f"images: {found}")
    from evnas.evaluate.evaluation import Way
    from evnas.evaluate.subject import official_subject, subject_of
    from evnas.measure.target import Target

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
    asked = [(one, side) for one in subjects for side in sides or [one.view.resolution]]
    shown = _Shown(data, found.classes, results, missing=len(asked), per_class=per_class)
    _evaluate(asked, found, way, shown, workers=workers, skip_broken=skip_broken)


@dataclass(slots=True)
class _Shown:
    """What is found, written and printed after each row."""

    data: str
    classes: Sequence[str]
    results: Results
    _: KW_ONLY
    missing: int
    """Rows that are still to come."""
    per_class: bool
    rows: "list[Evaluated]" = field(default_factory=list)

    def add(self, row: "Evaluated") -> None:
        """One row more."""
        self.rows.append(row)
        self.missing -= 1
        self.take()

    def take(self) -> None:
        """Hand over what there is."""
        from evnas.commands.eval_table import text_of

        rows, missing = self.rows, self.missing
        names = {row.subject.name: row.subject.classes or self.classes for row in rows}
        so_far = [_as_data(row, names, self.per_class) for row in rows]
        text = text_of(rows, names if self.per_class else {}, missing=missing)
        found = {"data": self.data, "rows": so_far, "missing": missing}
        self.results.take(found, text, count=len(rows))


def _evaluate(
    asked: "Sequence[tuple[Subject, int]]",
    images: "ImageData",
    way: "Way",
    shown: _Shown,
    *,
    workers: int | None,
    skip_broken: bool,
) -> None:
    """Each model at its resolution, beside the first."""
    from evnas.evaluate.evaluation import evaluate
    from evnas.train.workers import image_workers

    shown.take()
    with shown.results.coming():
        for subject, side in asked:
            talk(f"{_of_file(subject)} at {side}x{side}")
            row = evaluate(
                subject,
                images,
                way,
                resolution=side,
                workers=image_workers(workers),
                skip_broken=skip_broken,
                first=shown.rows[0] if shown.rows else None,
            )
            _say_what_is_not_finite(row)
            shown.add(row)


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
