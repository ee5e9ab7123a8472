"""One trial of a study by wish: the second of its front, the fastest, the knee, or by label."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evnas.errors import SpecError, nearest
from evnas.record import Record
from evnas.report.frame.objectives import Objective
from evnas.report.frame.snapshot import take_snapshot
from evnas.report.frame.study_reader import StudyReader
from evnas.report.frame.trial_frame import TrialFrame
from evnas.report.query.dominance import axis_sign, estimates
from evnas.report.query.front import collect_points, find_front
from evnas.stats.interval import Z95
from evnas.tables import quantity_of
from evnas.words import counted

FASTEST, MOST_ACCURATE, KNEE = "fastest", "most-accurate", "knee"
NAMED = (FASTEST, MOST_ACCURATE, KNEE)
FORMS = "front:N, label:NAME, fastest, most-accurate or knee"
SPEEDS = ("throughput_img_s", "latency_ms", "throughput_ratio", "predicted_latency_ms")
"""Objectives that say how fast a model is."""
ACCURACIES = ("top1_percent", "predicted_top1_percent", "loss")
"""Objectives that say how right it is."""
SHOWN_LABELS = 6
SAME = 1e-9
"""Sums of scaled objectives that differ by less are equal but for rounding."""
LEAST_BEND = 0.05
"""A front whose best sum is nearer to that of its ends is straight for every purpose: which member
lies lowest is then an accident of which were found."""
Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picked:
    """A trial, and the wish that led to it."""

    study: str
    """The study's folder as it was given."""
    trial: str
    """Its label."""
    pick: str
    digest: str
    arch: Mapping[str, Any]
    """`ArchSpec.to_dict()`, or `{"timm": NAME}` of a peer."""
    resolution: int
    """Side in pixels of the images that the study counts and times it with."""
    by: str = ""
    """The objective that `fastest` and `most-accurate` looked at."""
    quantities: Mapping[str, float] = field(default_factory=dict)
    """What the study's objectives are of it, as far as they are known."""

    @property
    def name(self) -> str:
        """STUDY:TRIAL."""
        return f"{self.study}:{self.trial}"

    def to_dict(self) -> dict[str, Any]:
        """Where a thing came from, as outputs keep it."""
        return {
            "study": self.study,
            "trial": self.trial,
            "pick": self.pick,
            "digest": self.digest,
            "by": self.by,
            "quantities": dict(self.quantities),
        }


def pick_trial(folder: Path, wish: str) -> Picked:
    """The trial of a study that a wish means, as far as the study has come.

    Args:
        folder: the study's.
        wish: `front:N` (the N-th of the front from 1, best by the first objective first),
            `label:NAME` (any trial or row), `fastest`, `most-accurate` or `knee` of the front.

    Raises:
        SpecError: no trial is meant; with what is there.
        StoreError: there is no study, or it cannot be read.
    """
    must_be_a_wish(wish)
    reader = StudyReader(folder)
    try:
        reader.read_all()
        aims = judged_by(reader.sweep, reader.objectives())
        row, by = picked_row(reader.frame, aims, wish, where=str(folder))
        quantities = known_objectives(reader.frame, reader.objectives(), row)
        record = reader.records_of(row)[-1]
        return picked(folder, reader.sweep, record, wish, by, quantities)
    finally:
        reader.close()


def judged_by(sweep: Mapping[str, Any], known: Sequence[Objective]) -> Sequence[Objective]:
    """The objectives by which a front can be found: none as long as no trial has one of them,
    since a front by the others would be another front."""
    return known if len(known) >= len(sweep.get("objectives") or ()) else ()


def known_objectives(frame: TrialFrame, aims: Sequence[Objective], row: int) -> dict[str, float]:
    """What a trial's objectives are, as far as they were found."""
    values = {aim.key: float(frame.column(aim.key)[row]) for aim in aims}
    return {key: value for key, value in values.items() if np.isfinite(value)}


def picked(
    folder: Path,
    sweep: Mapping[str, Any],
    record: Record,
    wish: str,
    by: str,
    quantities: Mapping[str, float],
) -> Picked:
    """A trial as it is handed on, from any of its records."""
    return Picked(
        study=str(folder),
        trial=record.label,
        pick=wish,
        digest=record.digest,
        arch=record.arch,
        resolution=resolution_of(sweep, record.label),
        by=by,
        quantities=quantities,
    )


def must_be_a_wish(wish: str) -> None:
    """Raises SpecError for what `pick_trial` cannot understand in any study."""
    kind, colon, rest = wish.partition(":")
    if wish in NAMED or (kind == "label" and rest) or re.fullmatch(r"front:[1-9]\d*", wish):
        return
    if kind == "front" and colon:
        raise SpecError(f"--pick front:N counts the members from 1, got {wish!r}")
    hint = nearest(wish, NAMED) or (f"; label:{wish} names a trial" if not colon else "")
    raise SpecError(f"--pick must be {FORMS}, got {wish!r}{hint}")


def picked_row(
    frame: TrialFrame, aims: Sequence[Objective], wish: str, *, where: str
) -> tuple[int, str]:
    """The row of a frame that a wish means, and the objective that it looked at, or "".

    Args:
        where: begins the complaint.

    Raises:
        SpecError: no row is meant; with what is there.
    """
    must_be_a_wish(wish)
    kind, _, rest = wish.partition(":")
    if kind == "label":
        return _labelled(frame, rest, where), ""
    front = front_rows(frame, aims)
    if not front:
        raise SpecError(
            f"{where} has no front: no trial has ended with all objectives"
            f"{_of_aims(aims)}; label:NAME picks a trial ({_some_labels(frame)})"
        )
    if kind == "front":
        place = int(rest)
        if place > len(front):
            raise SpecError(f"{where}: {wish} is not there, its front has {_count(len(front))}")
        return front[place - 1], ""
    if wish == KNEE:
        return front[_knee(frame, aims, front, where)], ""
    aim = _aim_of(aims, SPEEDS if wish == FASTEST else ACCURACIES, wish, where)
    signed = axis_sign(aim.key, aims) * frame.column(aim.key)[front]
    return front[int(np.argmin(signed))], aim.key


def front_rows(frame: TrialFrame, aims: Sequence[Objective]) -> list[int]:
    """Rows on the front, best by the first objective first, ties by the next ones."""
    rows, values = collect_points(frame, aims)
    if not len(rows):
        return []
    kept = find_front(values)
    order = np.lexsort(values[kept].T[::-1])
    return [int(row) for row in rows[kept][order]]


def front_labels(folder: Path) -> list[str]:
    """Labels on the front of a search, in the order of `front_rows`; [] of an ablation, whose rows
    are no members of any. Raises StoreError where the study cannot be read."""
    reader = StudyReader(folder)
    try:
        reader.read_all()
        if reader.sweep.get("rows"):
            return []
        aims = judged_by(reader.sweep, reader.objectives())
        labels = reader.frame.text["label"]
        return [labels[row] for row in front_rows(reader.frame, aims)]
    finally:
        reader.close()


def wishes_of(frame: TrialFrame, aims: Sequence[Objective]) -> dict[int, list[str]]:
    """Row -> the named wishes that lead to it, of those that the study can answer."""
    found: dict[int, list[str]] = {}
    for wish in NAMED:
        try:
            row, _ = picked_row(frame, aims, wish, where="")
        except SpecError:
            continue
        found.setdefault(row, []).append(wish)
    return found


def resolution_of(sweep: Mapping[str, Any], label: str) -> int:
    """Side in pixels of a trial's images: a row's own, else the first target's, else 224."""
    row = (sweep.get("rows") or {}).get(label) or {}
    first = (sweep.get("targets") or [{}])[0]
    return int(row.get("resolution") or first.get("resolution") or 224)


def _knee(frame: TrialFrame, aims: Sequence[Objective], front: Sequence[int], where: str) -> int:
    """The place on the front where giving up any objective stops paying.

    Each objective is scaled from 0 (the front's best) to 1 (its worst); the knee has the least
    sum. With two objectives that is the member farthest below the line between the front's ends.

    Source: I. Das, "On characterizing the 'knee' of the Pareto curve based on normal-boundary
    intersection", Structural Optimization 18 (1999), for two objectives.
    """
    keys, signs = [aim.key for aim in aims], [axis_sign(aim.key, aims) for aim in aims]
    values, errors = estimates(take_snapshot(frame), keys, signs, np.array(front))
    low, high = values.min(axis=0), values.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    scaled, errors = (values - low) / span, errors / span
    sums = scaled.sum(axis=1)
    least: list[int] = np.flatnonzero(sums <= sums.min() + SAME).tolist()
    digests = {frame.text["digest"][front[i]] for i in least}
    if len(digests) > 1:
        labels = ", ".join(frame.text["label"][front[i]] for i in least[:SHOWN_LABELS])
        raise SpecError(
            f"{where} has no knee: {labels} on its front are equally near "
            "to the best; pick front:N, fastest or most-accurate"
        )
    if (high > low).any():
        label = frame.text["label"][front[least[0]]]
        _must_bend(scaled, errors, least[0], f"{where} has no knee that can be told: {label}")
    return least[0]


def _must_bend(scaled: Points, errors: Points, knee: int, start: str) -> None:
    """Raises SpecError where the front is straight, or nearly so, or not sure to be bent.

    Args:
        scaled: (members, objectives), 0 the best and 1 the worst.
        errors: standard deviations of these, 0 where none are known.
        start: begins the complaint, and names the knee.
    """
    ends = (scaled == 0).any(axis=1)
    bend = scaled[ends].sum(axis=1).mean() - scaled[knee].sum()
    variances = (errors**2).sum(axis=1)
    unsure = Z95 * np.sqrt(variances[knee] + variances[ends].mean())
    if bend >= max(LEAST_BEND, unsure):
        return
    than = f"which is within the error of {unsure:.2f}" if bend < unsure else "nearly straight"
    raise SpecError(
        f"{start} lies {bend:.2f} of its height below the line between its ends, {than}; pick "
        "front:N, fastest or most-accurate"
    )


def _aim_of(aims: Sequence[Objective], kinds: Sequence[str], wish: str, where: str) -> Objective:
    for aim in aims:
        if quantity_of(aim.key) in kinds:
            return aim
    missing = "speed" if wish == FASTEST else "accuracy"
    raise SpecError(
        f"{where}: {wish} needs an objective that is a {missing} ({', '.join(kinds)}), and its "
        f"objectives are{_of_aims(aims)}; pick front:N, label:NAME or knee"
    )


def _labelled(frame: TrialFrame, label: str, where: str) -> int:
    row = frame.row(label)
    if row is None:
        known = [frame.text["label"][i] for i in range(len(frame))]
        hint = nearest(label, known) or f"; it has {_some_labels(frame)}"
        raise SpecError(f"{where} has no trial or row {label!r}{hint}")
    return row


def _some_labels(frame: TrialFrame) -> str:
    if not len(frame):
        return "none yet"
    shown = [frame.text["label"][i] for i in range(min(len(frame), SHOWN_LABELS))]
    more = len(frame) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _of_aims(aims: Sequence[Objective]) -> str:
    return f" ({', '.join(aim.key for aim in aims)})" if aims else " (it has none)"


def _count(members: int) -> str:
    return counted(members, "member") + (
        ", front:1" if members == 1 else f", front:1 to {members}"
    )
