"""What `evnas eval` prints: a line a model and resolution, then each beside the first."""

from collections.abc import Mapping, Sequence

from evnas.commands.output import columns
from evnas.commands.results import missing_text
from evnas.evaluate.answers import TOP
from evnas.evaluate.evaluation import FILE, Evaluated
from evnas.stats.interval import Interval


def text_of(
    rows: Sequence[Evaluated], per_class: Mapping[str, Sequence[str]], *, missing: int = 0
) -> str:
    """The table.

    Args:
        rows: in the order asked for.
        per_class: model -> names of its classes, of those whose classes are listed.
        missing: rows that were asked for and are not there.
    """
    head = ("model", "side", "run as", "images", "top-1 %", "top-5 %", "loss", "images/s")
    printed = any(row.printed for row in rows)
    titles = (*head, "printed") if printed else head
    lines = [columns(titles, [_cells(row, printed) for row in rows])]
    lines.append(
        "\n[95 %]: Wilson's over images of shares, Student's of the loss; images/s of forwards "
        "while evaluating, which `evnas bench` measures properly"
    )
    paired = [row for row in rows if row.beside is not None]
    if paired:
        lines += ["", *_beside(rows[0], paired)]
    for row in rows:
        if row.subject.name in per_class:
            lines += ["", f"{_named(row)}, by class", _classes(row, per_class[row.subject.name])]
    if missing:
        lines += ["", missing_text(missing)]
    return "\n".join(lines)


def _cells(row: Evaluated, printed: bool) -> tuple[str, ...]:
    speed = row.answers.forward_img_s
    cells = (
        row.subject.name,
        str(row.resolution),
        _way(row),
        str(len(row.answers)),
        _spelt(row.top1, 2),
        _spelt(row.top5, 2) if row.answers.classes > TOP else "",
        _spelt(row.loss, 4),
        "" if speed is None else f"{speed:.4g}",
    )
    beside = "; ".join(str(one) for one in row.printed)
    return (*cells, beside) if printed else cells


def _beside(first: Evaluated, paired: Sequence[Evaluated]) -> list[str]:
    head = ("model", "side", "run as", "top-1 less", "only it right", "only first right", "p")
    rows = [
        (
            row.subject.name,
            str(row.resolution),
            _way(row),
            _spelt(row.beside.difference_percent, 2, sign=True),
            str(row.beside.only_first),
            str(row.beside.only_second),
            f"{row.beside.p_value:.3g}",
        )
        for row in paired
        if row.beside is not None
    ]
    about = (
        f"beside {_named(first)}, paired image by image: points of top-1 [95 %, Agresti and Min], "
        "p of McNemar's exact test, each for itself"
    )
    return [about, columns(head, rows)]


def _classes(row: Evaluated, names: Sequence[str]) -> str:
    rows = []
    for found in row.per_class(names):
        top1 = found["top1_percent"]
        spelt = "not known" if top1 is None else _spelt(Interval(**top1), 2)
        rows.append((found["class"], str(found["images"]), spelt))
    return columns(("class", "images", "top-1 %"), rows)


def _named(row: Evaluated) -> str:
    return f"{row.subject.name} at {row.resolution} ({_way(row)})"


def _way(row: Evaluated) -> str:
    if row.runtime == FILE:
        return f"exported, {row.form}" if row.form != FILE else "exported"
    parts = [row.runtime, row.form]
    return ", ".join([*parts, row.precision] if row.precision != "float32" else parts)


def _spelt(span: Interval | None, digits: int, *, sign: bool = False) -> str:
    if span is None:
        return "not known"
    plus = "+" if sign else ""
    low, mid, high = (f"{value:{plus}.{digits}f}" for value in (span.low, span.mid, span.high))
    return f"{mid} [{low}, {high}]"
