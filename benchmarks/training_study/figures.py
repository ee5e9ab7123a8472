"""Does a short training add to the predicted top-1? `python benchmarks/training_study/figures.py`.

Recomputes every figure from the file of curves (`signals.py` says how) and prints Markdown;
`--write` puts it into the marked section of docs/reference/proxy.md, and what the predictor says
of rows it has not seen beside the curves. No torch.
"""

import argparse
import json
import statistics
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from cells import CURVES, Key, Line, Training, key_of, lines_in, trainings
from page_section import write_section
from rows import counts_by_paper
from signals import (
    BETTER,
    CANNOT_TELL,
    FEW_ROWS,
    LEAST_FITTED,
    LEAST_ROWS,
    SIGNALS,
    WORSE,
    Compared,
    HeldOut,
    Trained,
    compared,
    digest_of,
    kept_predictions,
    predicted,
    predictions,
    rows_behind,
    study_rows,
    trained,
)

from evnas.predict.published_signals import SignalRow
from evnas.stats.ladder import EQUAL, OVERALL, WITHIN, scopes
from evnas.stats.rank_correlation import Agreement, Column, kendall
from evnas.words import counted

PAGE = Path(__file__).parents[2] / "docs/reference/proxy.md"
PREDICTED = CURVES.with_name("predicted.json")
SECTION = "figures of the training study"
FULL_LENGTH = "top-1 after 3,000"
"""The signal that every row is to have, at its full length."""
SCOPES = {OVERALL: "overall", WITHIN: "within a recipe", EQUAL: "equal FLOPs"}
"""The sets of pairs, and how the page calls them: those of one paper may be of two recipes."""
AIMED_AT = (0.85, 0.82, 0.70)
NOT_TAKEN = "not taken"
PAGE_WIDTH = 160

Lines = Sequence[tuple[Trained, Sequence[Compared]]]
"""Signals, each on every scope."""


def markdown(
    lines: Sequence[Line],
    held_out: HeldOut,
    rows: Sequence[SignalRow],
    first: Sequence[Line] = (),
) -> str:
    """The whole section.

    Args:
        lines: the trainings.
        held_out: what the predictor says of rows that it has not seen.
        rows: the printed architectures.
        first: earlier trainings of some of the same cells.
    """
    base = [predicted(row, held_out) for row in rows]
    truth = [row.printed.top1_percent for row in rows]
    every = scopes(
        [row.printed.recipe for row in rows], [row.inputs["macs_exact"] for row in rows]
    )
    signals = [trained(signal, lines, rows, held_out) for signal in SIGNALS]

    def on_scopes(column: Column) -> list[Compared]:
        return [compared(column, base, truth, every[scope]) for scope in SCOPES]

    added = [(t, on_scopes(t.with_prediction)) for t in signals]
    alone = [(t, on_scopes(t.values)) for t in signals]
    full = next(t for t in signals if t.signal.name == FULL_LENGTH)
    parts = [
        _about(lines),
        _answer(added, alone),
        _rests_on(full, rows, base),
        _trained_twice(lines, first),
    ]
    if any(_is_compared(each) for _, each in alone):
        parts += _tables(added, alone)
    parts.append(_not_compared(alone))
    return "\n\n".join(part for part in parts if part) + "\n"


def _tables(added: Lines, alone: Lines) -> list[str]:
    return [
        _wrapped(
            "Kendall's tau with the printed top-1. \"Predicted\" is the predictor alone, each "
            "recipe held out, on the rows that have the signal; \"with training\" adds the signal "
            "to it; \"training\" is the signal alone."
        ),
        _taus(added, alone),
        _aims(added),
        _wrapped(
            "Gain in tau over the predictor alone, on the same rows, with its 95 % interval (rows "
            "drawn together, so that what both share cancels), and the overall gain per CPU "
            "minute of one architecture. A number in brackets says of how many rows the CPU time "
            "was taken, where it was not of all: the mean is of those, and no gain is divided by "
            "it. Training **added** to the prediction:"
        ),
        _gains(added),
        "Training **alone**, in place of the prediction:",
        _gains(alone),
    ]  # fmt: skip


def _about(lines: Sequence[Line]) -> str:
    """What is there, by which programs on which machines, and what is missing."""
    said = [
        _wrapped(
            f"Of the first {len(lines)} trainings in `{CURVES.relative_to(PAGE.parents[2])}`, by "
            "`python benchmarks/training_study/figures.py --write`:"
        ),
        "",
        *[f"- {group}" for group in _programs(lines)],
        *_cells_there(lines),
    ]
    return "\n".join(said)


def _programs(lines: Iterable[Line]) -> list[str]:
    """How many trainings each machine and torch did, when, and of which revisions."""
    groups: dict[str, list[Line]] = {}
    for line in lines:
        threads = counted(line["threads"], "thread")
        by = f"torch {line['torch']}, {threads}, {line['machine']}"
        groups.setdefault(by, []).append(line)
    return [
        f"{counted(len(of), 'training')} by {by}, {_dates(of)}, {_revisions(of)}"
        for by, of in sorted(groups.items())
    ]


def _dates(lines: Iterable[Line]) -> str:
    dates = sorted({line["date"] for line in lines})
    return dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"


def _revisions(lines: Iterable[Line]) -> str:
    found = sorted({line.get("revision") or "not written" for line in lines})
    return f"revision {', '.join(found)}"


def _cells_there(lines: Sequence[Line]) -> list[str]:
    """A bullet for each kind of training, and under it what is missing, by paper."""
    status = {key_of(line): line["status"] for line in lines}
    kinds: dict[tuple[str, int], list[Training]] = {}
    for cell in trainings():
        kinds.setdefault((cell.data, cell.presentations), []).append(cell)
    said = []
    for (data, presentations), cells in kinds.items():
        missing = [cell for cell in cells if status.get(cell.key) != "complete"]
        there = f"{len(cells) - len(missing)} of {len(cells)}"
        tail = "; missing:" if missing else ""
        said.append(f"- {data}, {presentations:,} presentations: {there}{tail}")
        for paper, counts in counts_by_paper().items():
            names = _names(
                [cell for cell in missing if cell.name in counts],
                [cell for cell in cells if cell.name in counts],
                status,
            )
            if names:
                said.append(_wrapped(f"    - {paper}: {names}", "      "))
    return said


def _names(missing: Sequence[Training], cells: Sequence[Training], status: dict[Key, str]) -> str:
    """Of one paper: `all 27`, or names, with a seed only where another seed is there."""
    if len(missing) == len(cells) and not any(cell.key in status for cell in cells):
        return f"all {len({cell.name for cell in cells})}" if cells else ""
    names = []
    for name in dict.fromkeys(cell.name for cell in missing):
        own = [cell for cell in missing if cell.name == name]
        about = [status[cell.key] for cell in own if cell.key in status]
        if len(own) < sum(cell.name == name for cell in cells):
            about = [f"seed {', '.join(str(cell.seed) for cell in own)}", *about]
        names.append(f"{name} ({', '.join(about)})" if about else name)
    return ", ".join(names)


def _answer(added: Lines, alone: Lines) -> str:
    """The verdicts in words, whichever way they fall."""
    if not any(_is_compared(each) for of in (added, alone) for _, each in of):
        return "**No answer yet**: too few rows are trained to compare anything."
    said = [
        _verdicts("Training added to the prediction", added),
        _verdicts("Training alone, in place of the prediction", alone),
        _wrapped(
            "Of comparisons without any difference one in twenty is `better` or `worse` by "
            "chance, and those above are not independent: they share rows and trainings."
        ),
    ]
    if not _by_verdict(added)[BETTER]:
        said.append(
            _wrapped(
                "Nothing shows so far that a training helps to rank what can be predicted"
                + ("." if _by_verdict(added)[WORSE] else "; that it does not help is not shown "
                   "either.")
            )
        )  # fmt: skip
    return "\n\n".join(said)


def _verdicts(what: str, of: Lines) -> str:
    """`what: cannot tell`, or how many comparisons are what, and which."""
    found = _by_verdict(of)
    total = sum(len(each) for each in found.values())
    if not total:
        return f"**{what}: {FEW_ROWS}.**"
    if len(found[CANNOT_TELL]) == total:
        return f"**{what}: {CANNOT_TELL}** in {total} of {counted(total, 'comparison')}."
    counts = ", ".join(f"{verdict} in {len(each)}" for verdict, each in found.items() if each)
    said = [f"**{what}: {counts}** of {counted(total, 'comparison')}.", ""]
    for verdict, each in found.items():
        if each:
            by_signal: dict[str, list[str]] = {}
            for name, scope in each:
                by_signal.setdefault(name, []).append(scope)
            names = "; ".join(f"{name} ({', '.join(of)})" for name, of in by_signal.items())
            said.append(_wrapped(f"- {verdict}: {names}", "  "))
    return "\n".join(said)


def _by_verdict(of: Lines) -> dict[str, list[tuple[str, str]]]:
    """Verdict -> (signal, scope) of each comparison that has it."""
    found: dict[str, list[tuple[str, str]]] = {BETTER: [], WORSE: [], CANNOT_TELL: []}
    for line, each in of:
        for scope, one in zip(SCOPES.values(), each, strict=True):
            if one.verdict in found:
                found[one.verdict].append((line.signal.name, scope))
    return found


def _is_compared(each: Iterable[Compared]) -> bool:
    return any(one.gain is not None for one in each)


def _rests_on(full: Trained, rows: Sequence[SignalRow], base: Sequence[float]) -> str:
    """How many rows of each recipe there are, and what training says within each."""
    behind = rows_behind(full.values, rows)
    printed = Counter(row.printed.recipe for row in rows)
    there = {recipe: _rows_there(full, rows, recipe) for recipe in printed}
    fits = [behind[r] for r, own in there.items() if own and behind[r] >= LEAST_FITTED]
    if not fits:
        return ""
    absent = [f"{r} ({printed[r]} of the {len(rows)})" for r, own in there.items() if not own]
    said = (
        "What the comparisons rest on. A recipe's rows are corrected by a fit to the rows of the "
        f"others that have the signal, of {LEAST_FITTED} or more; the smallest of these fits has "
        f"{counted(min(fits), 'row')}. An interval draws rows anew and does not fit again, so it "
        f"is too narrow rather than too wide. With fewer than {LEAST_ROWS} rows a tau has no "
        "interval."
    )
    if absent:
        said += f" No row is there yet of {', '.join(absent)}."
    body = []
    for recipe, own in there.items():
        if own:
            count, fitted = f"{len(own)} of {printed[recipe]}", behind[recipe]
            truth = [rows[i].printed.top1_percent for i in own]
            columns = ([base[i] for i in own], [full.values[i] for i in own])
            taus = [_with_interval(kendall(column, truth)) for column in columns]
            body.append([recipe, count, str(fitted) if fitted >= LEAST_FITTED else "none", *taus])
    head = ["recipe", f"rows with {full.signal.name}", "rows behind its correction",
            "tau predicted", "tau of training alone"]  # fmt: skip
    return f"{_wrapped(said)}\n\n{_table(head, body)}"


def _rows_there(full: Trained, rows: Sequence[SignalRow], recipe: str) -> list[int]:
    """The rows of a recipe that have the signal."""
    return [
        i
        for i, row in enumerate(rows)
        if row.printed.recipe == recipe and full.values[i] is not None
    ]


def _with_interval(found: Agreement | None) -> str:
    if found is None or found.n < LEAST_ROWS:
        return _tau(found)
    return f"{found.tau:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


def _trained_twice(lines: Iterable[Line], first: Iterable[Line]) -> str:
    """How far top-1 moves with code and processor alone; "" where nothing was trained twice."""
    before = {key_of(line): line for line in first if line["status"] == "complete"}
    pairs = [
        (before[key_of(line)], line)
        for line in lines
        if line["status"] == "complete"
        and key_of(line) in before
        and line["digest"] == before[key_of(line)]["digest"]
    ]
    if not pairs:
        return ""
    apart: dict[str, list[float]] = {}
    for old, now in pairs:
        apart.setdefault(key_of(now)[1], []).append(abs(_top1(now) - _top1(old)))
    each = "; ".join(
        f"{statistics.median(of):.2f} points apart at the median, {max(of):.2f} at most on {data}"
        for data, of in apart.items()
    )
    olds, news = ("; ".join(_programs(of)) for of in zip(*pairs, strict=True))
    return _wrapped(
        f"{counted(len(pairs), 'cell')} of these {'was' if len(pairs) == 1 else 'were'} trained "
        f"twice with the same seed, first ({olds}; lines in `{first_curves(CURVES).name}` beside "
        f"the others), then again ({news}): top-1 lies {each}. Architecture, images and seed "
        "were the same, so that is no noise of seeds: other code or another processor rounds "
        "otherwise, and a training carries it on."
    )


def _top1(line: Line) -> float:
    return float(line["values"]["top1_percent"])


def first_curves(curves: Path) -> Path:
    """Where the lines lie that a second training replaced."""
    return curves.with_name("curves_first.jsonl")


def _taus(added: Lines, alone: Lines) -> str:
    scoped = [f"{scope}: predicted, with training, training" for scope in SCOPES.values()]
    body = []
    for (line, with_it), (_, by_itself) in zip(added, alone, strict=True):
        if _is_compared(by_itself):
            cells = [
                " ".join([_tau(a.alone), _tau(w.tau), _tau(a.tau)])
                for w, a in zip(with_it, by_itself, strict=True)
            ]
            body.append([line.signal.name, str(line.rows), *cells])
    return _table(["signal", "rows", *scoped], body)


def _aims(added: Lines) -> str:
    """What was aimed at with training, and what was reached."""
    body = [
        [line.signal.name, *(_reached(one, aim) for one, aim in zip(each, AIMED_AT, strict=True))]
        for line, each in added
        if _is_compared(each)
    ]
    if not body:
        return ""
    head = [f"{scope}: {aim:.2f}" for scope, aim in zip(SCOPES.values(), AIMED_AT, strict=True)]
    said = (
        "What was aimed at with training added, and the tau reached. A gain was needed over the "
        "predictor on the same rows; it is `excluded` where the interval of the gain, below, "
        "lies under it."
    )
    return f"{_wrapped(said)}\n\n{_table(['aimed at', *head], body)}"


def _reached(one: Compared, aim: float) -> str:
    if one.gain is None or one.tau is None or one.alone is None:
        return FEW_ROWS
    needed, is_reached = aim - one.alone.tau, one.tau.tau >= aim
    if needed <= 0:  # then it is no merit of a training
        verdict = "reached" if is_reached else "missed"
        return f"{one.tau.tau:+.2f}: {verdict}; the predictor alone reaches it"
    if is_reached:
        return f"{one.tau.tau:+.2f}: reached"
    verdict = "excluded" if one.gain.high < needed else "not excluded"
    return f"{one.tau.tau:+.2f}: {needed:+.2f} needed, {verdict}"


def _gains(of: Lines) -> str:
    body = [
        [line.signal.name, str(line.rows), _minutes(line), *map(_gain, each),
         _per_minute(line, each[0])]
        for line, each in of
        if _is_compared(each)
    ]  # fmt: skip
    head = ["signal", "rows", "CPU min", *SCOPES.values(), "overall gain per CPU min"]
    return _table(head, body) if body else FEW_ROWS.capitalize() + "."


def _gain(one: Compared) -> str:
    gain = one.gain
    if gain is None:
        return f"{FEW_ROWS} ({counted(one.pairs, 'pair')})"
    return f"{gain.tau:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}] {one.verdict}"


def _not_compared(alone: Lines) -> str:
    """The signals that too few rows have, in a line each way."""
    few = [
        f"{line.signal.name} ({line.rows})"
        for line, each in alone
        if line.rows and not _is_compared(each)
    ]
    none = [line.signal.name for line, _ in alone if not line.rows]
    said = []
    if few:
        said.append(_wrapped(f"- {FEW_ROWS} to compare (rows): {'; '.join(few)}", "  "))
    if none:
        said.append(_wrapped(f"- missing: {'; '.join(none)}", "  "))
    return "\n".join(["Signals without a comparison:", "", *said]) if said else ""


def _minutes(line: Trained) -> str:
    mean = line.mean_minutes
    if mean is None:
        return NOT_TAKEN
    return f"{mean:.1f}" if line.timed == line.rows else f"{mean:.1f} (of {line.timed})"


def _per_minute(line: Trained, overall: Compared) -> str:
    """A gain is divided by the time of its own rows alone."""
    if overall.gain is None or overall.verdict == CANNOT_TELL:
        return overall.verdict
    mean = line.mean_minutes
    if mean is None or line.timed < line.rows:
        return NOT_TAKEN
    return f"{overall.gain.tau / mean:+.3f}"


def _tau(agreement: Agreement | None) -> str:
    return "-" if agreement is None else f"{agreement.tau:+.2f}"


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text,
        PAGE_WIDTH,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _table(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Print the figures, or put them where they belong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--curves", type=Path, default=CURVES)
    parser.add_argument("--write", action="store_true", help="into docs/reference/proxy.md")
    parser.add_argument("--refit", action="store_true", help="after a change of the predictor")
    given = parser.parse_args()
    rows = study_rows()
    kept = None if given.refit else kept_predictions(PREDICTED, rows)
    held_out = kept or predictions(rows)
    first = lines_in(first_curves(given.curves))
    text = markdown(lines_in(given.curves), held_out, rows, first)
    print(text, end="")
    if given.write:
        if held_out is not kept:
            PREDICTED.parent.mkdir(parents=True, exist_ok=True)
            whole = {"rows": digest_of(rows), "predicted": held_out}
            PREDICTED.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
        write_section(PAGE, SECTION, text)


if __name__ == "__main__":
    main()
