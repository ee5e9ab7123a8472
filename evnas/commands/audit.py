"""`evnas audit`: what orders architectures as print does, and what only looks so."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evnas.commands.output import AsJson, columns, emit
from evnas.errors import SpecError

if TYPE_CHECKING:
    from evnas.predict.audit import PublishedAudit
    from evnas.stats.ladder import LadderLine
    from evnas.stats.rank_correlation import Agreement

PUBLISHED = "published"


def audit(
    subjects: Annotated[
        list[str],
        typer.Argument(
            metavar="STUDY...|published",
            help="Studies beside printed top-1, or the shipped signals of all printed ones.",
        ),
    ],
    splits: Annotated[
        int, typer.Option("--splits", min=1, help="Times that `published` deals ten folds.")
    ] = 6,
    signals: Annotated[
        Path | None,
        typer.Option("--signals", help="Of `published`: a file of `evnas signals`, yours."),
    ] = None,
    figure: Annotated[
        Path | None, typer.Option("--figure", help="Draw it into this HTML file.")
    ] = None,
    json: AsJson = False,
) -> None:
    """Say what ranks as the papers do: overall, within a paper, and at equal FLOPs.

    \b
    Examples:
      evnas audit published
      evnas audit results/table_c results/vssd_table_3
    """
    if signals is not None and subjects != [PUBLISHED]:
        raise SpecError("--signals goes with `published`")
    if PUBLISHED in subjects:
        if len(subjects) > 1:
            raise SpecError("audit takes `published` alone, or studies")
        lines, seconds, summary, words = _of_published(splits, signals)
    else:
        from evnas.report.table.study_table import pooled_ladder

        lines, seconds = pooled_ladder([Path(subject) for subject in subjects]), {}
        summary, words = {}, ""
    if figure is not None:
        from evnas.report.notebook.ladder_figure import write_ladder

        write_ladder(lines, figure)
    data = {"lines": [_as_data(line, seconds) for line in lines], **summary}
    emit(data, "\n\n".join(filter(None, [_table(lines, seconds), words])), json)


def _of_published(
    splits: int, file: Path | None
) -> "tuple[Sequence[LadderLine], Mapping[str, float], dict[str, Any], str]":
    """Lines, seconds of signals, the predictor's figures as data and in words."""
    from evnas.predict.audit import audit_published
    from evnas.predict.published_signals import measured_on, signals_in

    if file is not None:
        found = audit_published(splits, signals_in(file))
        return found.lines, found.seconds, found.summary(), _in_words(found)
    found, about = audit_published(splits), dict(measured_on())
    words = f"{_in_words(found)}\nsignals of {about['date']}: {about['machine']}"
    return found.lines, found.seconds, found.summary() | {"measured_on": about}, words


def _table(lines: "Sequence[LadderLine]", seconds: Mapping[str, float]) -> str:
    head = (
        "pairs",
        "signal",
        "tau",
        "low",
        "high",
        "n",
        "less FLOPs",
        "less size",
        "s",
        "verdict",
    )
    rows = []
    for scope in dict.fromkeys(line.scope for line in lines):
        of_scope = [line for line in lines if line.scope == scope]
        for line in sorted(of_scope, key=_best_first):
            a = line.agreement
            tau = ("", "", "") if a is None else _cells(a)
            gains = [_gain(line, base) for base in ("FLOPs", "params x FLOPs")]
            cost = seconds.get(line.signal)
            rows.append(
                (
                    scope,
                    line.signal,
                    *tau,
                    "" if a is None else a.n,
                    *gains,
                    "" if cost is None else f"{cost:.1f}",
                    line.verdict,
                )
            )
    return columns(head, rows)


def _best_first(line: "LadderLine") -> tuple[bool, float]:
    return (line.agreement is None, -line.agreement.tau if line.agreement else 0.0)


def _cells(a: "Agreement") -> tuple[str, str, str]:
    return f"{a.tau:+.2f}", f"{a.low:+.2f}", f"{a.high:+.2f}"


def _gain(line: "LadderLine", base: str) -> str:
    gain = line.gains.get(base)
    return "" if gain is None else "{} [{}, {}]".format(_cells(gain)[0], *_cells(gain)[1:])


def _as_data(line: "LadderLine", seconds: Mapping[str, float]) -> dict[str, Any]:
    def plain(a: "Agreement | None") -> dict[str, Any] | None:
        return None if a is None else {k: getattr(a, k) for k in ("tau", "low", "high", "n")}

    return {
        "signal": line.signal,
        "scope": line.scope,
        "pairs": line.pairs,
        **(plain(line.agreement) or {"tau": None, "low": None, "high": None, "n": 0}),
        "gains": {base: plain(gain) for base, gain in line.gains.items()},
        "seconds": seconds.get(line.signal),
        "verdict": line.verdict,
    }


def _in_words(found: "PublishedAudit") -> str:
    summary = found.summary()
    folds, recipes, peers = (summary[k] for k in ("folds", "recipe_held_out", "peers"))
    return "\n".join(
        [
            f"predicted top-1, 10-fold over {folds['splits']} splits: RMSE "
            f"{folds['rmse_percent']:.2f} points, tau {folds['tau_overall']:+.2f}, "
            f"90 % intervals hold {100 * folds['coverage']:.0f} %",
            f"each recipe held out: RMSE {recipes['rmse_percent']:.2f} points, intervals hold "
            f"{100 * recipes['coverage']:.0f} % of {recipes['n']}",
            f"peers, which no fit knows: RMSE {peers['rmse_percent']:.2f} points, intervals hold "
            f"{100 * peers['coverage']:.0f} % of {peers['n']}",
        ]
    )
