"""What a search leaves: for each member of its front a file that says all about it."""

import contextlib
import csv
import json
import math
import shutil
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from evnas.arch.catalog import catalog
from evnas.arch.paths import diff
from evnas.arch.spec import ArchSpec
from evnas.files import whole, write_whole
from evnas.record import Measurement, Record
from evnas.search.confirm import final_front
from evnas.search.state.history import History
from evnas.search.state.trial import Trial
from evnas.space.space import SearchSpace
from evnas.stats.interval import Interval
from evnas.stats.pareto import Estimate, front_probability, tied, why_not
from evnas.sweep.constraints import phase_of
from evnas.sweep.search_spec import ObjectiveSpec
from evnas.sweep.sweep import Sweep
from evnas.tables import quantities


def sweep_again(sweep: Sweep, members: Sequence[Trial]) -> dict[str, Any]:
    """A sweep file's data: the search's base first, then a row per member, each spelt out.

    All are measured in alternation with the base and trained on the same seeds, so what a search
    found is repeated by the protocol of an ablation, on any machine that has the targets.
    """
    spec = sweep.spec.to_dict()
    seeds = max((len(by_seed) for t in members for by_seed in t.trained.values()), default=1)
    return {
        "name": f"{spec['name']}_again",
        "base": sweep.base.to_dict(),
        "rows": {"base": {}} | {t.label: {"arch": dict(t.arch)} for t in members},
        "seeds": list(range(seeds)),
        "targets": spec["targets"],
        "proxy": spec["proxy"] if any(t.trained for t in members) else None,
        "engine": spec["engine"],
    }


UNCERTAIN = 400
"""Trials nearest to the front for whose membership a probability is worked out."""


def write_front(
    history: History,
    folder: Path,
    *,
    space: SearchSpace,
    sweep: Sweep,
    records: Iterable[Record],
) -> None:
    """Write `folder` from nothing: what is known of each member, and how to take it again.

    A member 35 has `35.yaml`, `35.arch.yaml` and, where it was trained, `35.curves.csv`.
    `again.yaml` is a sweep of all members beside the base; `front.json` holds all members, and of
    every other trial why it is not there.

    Args:
        records: the store's; the learning curves are taken from them.
    """
    members = front_members(history, space=space, again=f"evnas sweep {folder / 'again.yaml'}")
    trials = [history.trials[member["trial"]] for member in members]
    found = {"members": members, "not_on_front": reasons(history)}
    with _in_place_of(folder) as draft:
        for member in members:
            _dump(member["arch"], draft / f"{member['trial']}.arch.yaml")
            _dump(member, draft / f"{member['trial']}.yaml")
        _dump(sweep_again(sweep, trials), draft / "again.yaml")
        _write_curves({t.label for t in trials}, records, draft)
        write_whole(draft / "front.json", json.dumps(found, indent=1) + "\n")


@contextlib.contextmanager
def _in_place_of(folder: Path) -> Iterator[Path]:
    """A folder to be filled, which takes the place of `folder` when it is whole."""
    draft, old = (folder.with_name(f".{folder.name}.{end}") for end in ("draft", "old"))
    for left in (draft, old):  # by a kill
        shutil.rmtree(left, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
        if folder.exists():
            folder.rename(old)
        draft.rename(folder)
    finally:
        for left in (draft, old):
            shutil.rmtree(left, ignore_errors=True)


def _dump(data: Any, path: Path) -> None:
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    write_whole(path, text)


def _write_curves(labels: set[str], records: Iterable[Record], folder: Path) -> None:
    """`LABEL.curves.csv`: a line per epoch of each of its trainings."""
    curves: dict[str, list[dict[str, float]]] = {}
    for record in records:
        if record.label in labels and record.curve:
            run = {"seed": float(record.seed), "budget": record.budget}
            curves.setdefault(record.label, []).extend(run | dict(p) for p in record.curve)
    for label, points in curves.items():
        with (
            whole(folder / f"{label}.curves.csv") as draft,
            draft.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, list(points[0]))
            writer.writeheader()
            writer.writerows(points)


def front_members(history: History, *, space: SearchSpace, again: str) -> list[dict[str, Any]]:
    """The members as plain data, fastest (first objective best) first.

    Args:
        again: the command that measures and trains them again.
    """
    labels = final_front(history)
    spread = seed_spread(history)
    beliefs = {t.label: _beliefs(t, history.objectives, spread) for t in _near(history)}
    chances = dict(zip(beliefs, front_probability(list(beliefs.values())).tolist(), strict=True))
    members = []
    for label in labels:
        trial = history.trials[label]
        arch = ArchSpec.from_dict(trial.arch)
        near, far = _nearest(arch)
        members.append(
            {
                "trial": label,
                "digest": trial.digest,
                "origin": trial.origin,
                "objectives": _objectives(trial, beliefs[label], history.objectives),
                "front_probability": round(chances[label], 3),
                "tied_with": [
                    other
                    for other in labels
                    if other != label and tied(beliefs[label], beliefs[other])
                ],
                "quantities": trial.quantities(),
                "measurements": _measurements(trial),
                "diff_to_base": _diff(space.base, arch),
                "nearest_published": near,
                "diff_to_nearest": far,
                "trainings": {str(b): seeds for b, seeds in trial.trained.items()},
                "again": again,
                "arch": dict(trial.arch),
            }
        )
    return members


def reasons(history: History) -> dict[str, Any]:
    """For every trial that is not on the front: how it ended, or who dominates it."""
    labels, spread = set(final_front(history)), seed_spread(history)
    front = [(x, _beliefs(history.trials[x], history.objectives, spread)) for x in sorted(labels)]
    found: dict[str, Any] = {}
    for trial in history.trials.values():
        if trial.label in labels:
            continue
        if trial.ended is not None:
            found[trial.label] = {"ended": trial.ended, "reason": trial.reason}
        elif not history.is_complete(trial):
            found[trial.label] = {"ended": "unfinished", "budget": trial.budget}
        else:
            by = why_not(_beliefs(trial, history.objectives, spread), front)
            found[trial.label] = {
                "dominated_by": [
                    {"trial": d.label, "probability": d.probability, "margins": d.margins}
                    for d in by
                ]
            }
    return found


def seed_spread(history: History) -> float:
    """Standard deviation between training seeds, pooled over trials that have several; 0 when
    no trial has."""
    variances = [
        statistics.variance([v["top1_percent"] for v in seeds.values()])
        for trial in history.complete
        for seeds in [trial.trained.get(trial.budget, {})]
        if len(seeds) > 1 and all("top1_percent" in v for v in seeds.values())
    ]
    return math.sqrt(statistics.fmean(variances)) if variances else 0.0


def _near(history: History) -> list[Trial]:
    """The front and the complete trials that come nearest to it."""
    vectors = np.asarray([t.vector(history.objectives) for t in history.complete])
    if not len(vectors):
        return []
    span = np.maximum(np.ptp(vectors, axis=0), 1e-12)
    members = [history.trials[label] for label in final_front(history)]
    front = np.asarray([t.vector(history.objectives) for t in members])
    behind = ((vectors[:, None] - front[None]) / span).max(axis=2).min(axis=1)
    return [history.complete[i] for i in np.argsort(behind, kind="stable")[:UNCERTAIN]]


def _beliefs(trial: Trial, objectives: tuple[ObjectiveSpec, ...], spread: float) -> list[Estimate]:
    """Estimates of all objectives, to be minimised."""
    found = []
    for objective in objectives:
        noise = spread if objective.metric == "top1_percent" else 0.0
        estimate = trial.estimate(objective.metric, noise)
        assert estimate is not None  # the trial is complete
        sign = -1.0 if objective.goal == "max" else 1.0
        draws = tuple(sign * d for d in estimate.draws)
        found.append(Estimate(sign * estimate.mid, draws, estimate.joint))
    return found


def _objectives(
    trial: Trial, beliefs: list[Estimate], objectives: tuple[ObjectiveSpec, ...]
) -> dict[str, dict[str, float | str]]:
    measured = _measurements(trial)
    found: dict[str, dict[str, float | str]] = {}
    for belief, objective in zip(beliefs, objectives, strict=True):
        sign = -1.0 if objective.goal == "max" else 1.0
        low, high = sorted(sign * end for end in belief.interval)
        believed = {"low": low, "mid": sign * belief.mid, "high": high}
        spelt = _spelt_interval(trial, objective.metric)  # as the page has it
        known = measured.get(objective.metric, believed if spelt is None else spelt.to_dict())
        ends = {end: known[end] for end in believed}
        found[objective.metric] = {
            "goal": objective.goal,
            **ends,
            "from": phase_of(objective.metric),
        }
    return found


def _spelt_interval(trial: Trial, metric: str) -> Interval | None:
    quantity = quantities().get(metric)
    return None if quantity is None else quantity.interval(trial.quantities())


def _measurements(trial: Trial) -> dict[str, dict[str, float]]:
    """Medians of all samples with their 95 % intervals, as the page has them."""
    found = {}
    for name, samples in trial.samples.items():
        interval = Measurement(name, samples).interval()
        found[name] = {**asdict(interval), "samples": len(samples)}
    return found


def _nearest(arch: ArchSpec) -> tuple[str, list[str]]:
    """The catalogue's entry with the fewest differences, and these."""
    best = min(catalog().values(), key=lambda e: (len(diff(e.arch, arch)), e.name))
    return best.name, _diff(best.arch, arch)


def _diff(a: ArchSpec, b: ArchSpec) -> list[str]:
    return [f"{path}: {old} -> {new}" for path, old, new in diff(a, b)]
