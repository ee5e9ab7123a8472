"""`evnas init`: a commented sweep or search for this machine and these images, ready to run."""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import typer

from evnas.commands.init_files import BATCH, Beginning, Images, search_text, sweep_text
from evnas.commands.output import AsJson, emit
from evnas.errors import SpecError, nearest
from evnas.files import expanded
from evnas.tables import DATASETS
from evnas.words import counted

Kind = Literal["sweep", "search"]
KINDS: Mapping[str, Kind] = {"sweep": "sweep", "search": "search"}
NO_IMAGES = "none"
SUFFIXES = (".yaml", ".yml")
MOST_MINUTES = 525_600
"""A year."""
FEWEST = 4
"""Training images: two batches of two."""
GPU = Path("/dev/nvidia0")
"""There where a driver has found a GPU: asking torch takes seconds."""


def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The YAML file to write.")] = Path(
        "mine.yaml"
    ),
    kind: Annotated[
        Kind | None,
        typer.Option("--kind", help="A sweep compares rows you name; a search finds its own."),
    ] = None,
    images: Annotated[
        str | None,
        typer.Option("--images", help="A folder, a named set, or none: nothing is trained."),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option("--minutes", help="About how long it may run.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Write a commented sweep or search that runs here; asks for what no option says.

    \b
    Examples:
      evnas init mine.yaml
      evnas init mine.yaml --kind search --images photos/ --minutes 30
      evnas init quick.yaml --kind sweep --images none --minutes 2
    """
    _must_be_free(file)
    kind = kind or _asked_kind()
    if images is None:
        images = _asked("Images: a folder, a named set, or none", NO_IMAGES)
    found = _images(images, file)
    minutes = _minutes(minutes)
    beginning = Beginning(
        name=file.stem, file=str(file), images=found, minutes=minutes, machine=_machine()
    )
    text = sweep_text(beginning) if kind == "sweep" else search_text(beginning)
    _write(file, text)
    from evnas.sweep.sweep import load_sweep

    loaded = load_sweep(file)  # what it cannot read would be a fault of ours
    following = [f"evnas {command} {file}" for command in ("check", "plan", "sweep")]
    said = f"{file}: {loaded.spec.in_words}, written for {beginning.machine}"
    data = {"file": str(file), "kind": kind, "next": following}
    emit(data, "\n".join([said, "next:", *(f"  {line}" for line in following)]), json)


def _must_be_free(file: Path) -> None:
    from evnas.sweep.parts import NAME, PATTERNS

    if file.suffix not in SUFFIXES:
        raise SpecError(f"{file}: must be a file to write that ends in .yaml")
    if not re.fullmatch(NAME, file.stem):
        raise SpecError(f"{file}: its name must be {PATTERNS[NAME]}: a study is called after it")
    if file.exists():
        raise SpecError(f"{file}: is there already and stays as it is; name another file")
    if not file.absolute().parent.is_dir():
        raise SpecError(f"{file}: must lie in a folder that is there")


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as e:
        raise SpecError(f"{file}: must be a file that can be written ({e.strerror})") from None


def _asked(question: str, usual: str) -> str:
    """The answer of whoever sits there; what is usual, where nobody does."""
    if not sys.stdin.isatty():
        return usual
    return str(typer.prompt(question, default=usual, err=True)).strip()


def _asked_kind() -> Kind:
    question = "A sweep (a table of rows that you name) or a search (a front)"
    answer = _asked(question, "sweep").lower()
    if answer not in KINDS:
        raise SpecError(f"must be sweep or search, got {answer!r}; --kind says it too")
    return KINDS[answer]


def _minutes(given: float | None) -> float:
    answer = _asked("Minutes it may take", "10") if given is None else f"{given:g}"
    try:
        minutes = float(answer)
    except ValueError:
        minutes = 0.0
    if not 1 <= minutes <= MOST_MINUTES:
        must = f"must be 1 to {MOST_MINUTES:,} minutes"
        raise SpecError(f"--minutes: {must}, got {answer!r}")
    return minutes


def _images(answer: str, file: Path) -> Images | None:
    """What is trained on: None for nothing."""
    if answer == NO_IMAGES:
        return None
    if answer in DATASETS:
        return Images(data=answer)
    folder = expanded(answer)
    if not folder.is_dir():
        known = [*DATASETS, NO_IMAGES]
        raise SpecError(
            f"--images must be a folder, {', '.join(DATASETS)} or none, got {answer!r}"
            f"{nearest(answer, known)}"
        )
    from evnas.proxy.folder_survey import survey

    found = survey(folder)
    if len(found.train) < FEWEST:
        raise SpecError(f"--images must have {FEWEST} training images or more, got {found}")
    about = " ".join(str(found).split())
    fitting = 1 << ((len(found.train) // 2).bit_length() - 1)  # a training needs two batches
    beside = file.absolute().parent
    path = folder if folder.is_absolute() else Path(os.path.relpath(folder.absolute(), beside))
    batch_size = min(BATCH, fitting)
    return Images(data={"folder": str(path)}, about=about, batch_size=batch_size)


def _machine() -> str:
    from evnas.measure.timing.cpu_limits import usable_cores

    cores = usable_cores()
    gpu = "a GPU" if GPU.exists() else "no GPU"
    return f"this machine: {counted(cores, 'core')}, {gpu}"
