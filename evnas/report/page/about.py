"""What the page says of a study as a whole, beside its trials."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import yaml

import evnas
from evnas.errors import SpecError
from evnas.papers.published import PublishedRow, published_table
from evnas.record import TargetFields
from evnas.registry import PluginError
from evnas.report.frame.breakdowns import breakdowns_of
from evnas.report.frame.columns import describe_column
from evnas.report.frame.objectives import find_constraints, find_objectives
from evnas.report.frame.study_reader import StudyReader
from evnas.report.query.front import collect_points
from evnas.store.asked import CONTROL, annotations, is_written, waiting
from evnas.store.trainings import files_of_trainings
from evnas.sweep.parts import ProxySpec
from evnas.sweep.strategy_spec import as_written_now, strategy_spec


def describe_study(reader: StudyReader) -> dict[str, Any]:
    """Name, kind, progress, objectives, constraints, marks and conditions, as plain data."""
    sweep, environment = reader.sweep, reader.meta("environment") or {}
    done, of = reader.progress()
    frame = reader.frame
    with reader.lock:
        aims = find_objectives(sweep, frame)
        bounds = find_constraints(sweep, frame)
        states = frame.text["status"].count()
        breakdowns = len(breakdowns_of(reader.store))
        notes = annotations(reader.store)
    return {
        "name": reader.folder.name,
        "title": str(sweep.get("title") or sweep.get("name") or reader.folder.name),
        "kind": kind_of(sweep),
        "running": is_written(reader.store.path),
        "control": reader.meta(CONTROL) or {},
        "progress": reader.meta("progress"),
        "asked": [request.action for _, request in waiting(reader.folder) if request],
        "reading": {"done": done, "of": of},
        "trials": len(frame),
        "expected": expected_trials(sweep),
        "states": dict(states),
        "objectives": [asdict(o) for o in aims],
        "constraints": [asdict(c) for c in bounds],
        "targets": list(frame.targets),
        "places": telling_parts(frame.targets),
        "published": published_marks(sweep, frame.reference),
        "reference": frame.reference,
        "reproduces": bool(sweep.get("rows") and sweep.get("published")),
        "resolutions": len(row_resolutions(sweep)),
        "breakdowns": breakdowns,
        "trainings": len(files_of_trainings(reader.folder)),
        "axes": len((sweep.get("space") or {}).get("axes") or {}),
        "annotations": notes,
        "rungs": halving_rungs(sweep),
        "best": best(reader),
        "started": started(reader),
        "where": describe_machine(environment),
        "sweep": yaml.safe_dump(sweep, sort_keys=False, allow_unicode=True),
        "environment": environment,
        "command": f"evnas sweep results/{reader.folder.name}/sweep.resolved.yaml",
        "version": evnas.__version__,
    }


def row_resolutions(sweep: Mapping[str, Any]) -> set[int | None]:
    """Sides that rows name, None for the targets' own; empty of a search."""
    rows = (row or {} for row in (sweep.get("rows") or {}).values())
    return {row.get("resolution") for row in rows if "absent" not in row}


def kind_of(sweep: Mapping[str, Any]) -> str:
    """`ablation` for rows, else the strategy's name."""
    if sweep.get("rows"):
        return "ablation"
    strategy = sweep.get("strategy")
    if isinstance(strategy, Mapping):
        return str(strategy.get("kind", "search"))
    return str(strategy or "sweep")


def expected_trials(sweep: Mapping[str, Any]) -> int | None:
    """How many trials the sweep would run, where it says so."""
    if sweep.get("rows"):
        return len(sweep["rows"])
    budget = sweep.get("budget")
    trials = budget.get("trials") if isinstance(budget, Mapping) else None
    return int(trials) if isinstance(trials, int) else None


def published_marks(sweep: Mapping[str, Any], reference: str) -> list[dict[str, Any]]:
    """Printed rows of the sweep's published table, under the page's column names.

    Images/s of another machine and top-1 of other images compare with nothing measured here: a
    row has its speed as the ratio to the printed row of `reference`, an ablation's row, and its
    top-1 as the difference to it. Its top-1 itself stands under the predicted, of ImageNet too.
    """
    named = sweep.get("published")
    if not isinstance(named, Mapping) or "paper" not in named:
        return []
    try:
        rows = published_table(str(named["paper"]), str(named.get("table", "main")))
    except SpecError:
        return []
    given = (sweep.get("rows") or {}).get(reference) or {}
    base = rows.get(str(given.get("published") or reference))
    return [
        {
            "label": label,
            "model": row.model,
            "change": row.change,
            "device": row.device,
            "params_m": row.number("params_m"),
            "macs_paper_g": row.number("flops_g"),
            "throughput_ratio": _beside(base, row, "throughput_img_s", lambda a, b: a / b),
            "top1_difference": _beside(base, row, "top1", lambda a, b: a - b),
            "predicted_top1_percent": row.number("top1"),
            "note": row.note,
        }
        for label, row in rows.items()
    ]


def _beside(
    base: PublishedRow | None,
    row: PublishedRow,
    quantity: str,
    related: Callable[[float, float], float],
) -> float | None:
    """What is printed of a row, by what is printed of the reference; None where either is not."""
    theirs = None if base is None or base.device != row.device else base.number(quantity)
    mine = row.number(quantity)
    return None if mine is None or theirs is None else related(mine, theirs)


def best(reader: StudyReader) -> list[dict[str, Any]]:
    """The best trial by each objective among those that ended well."""
    found = []
    sweep = reader.sweep
    with reader.lock:
        frame = reader.frame
        places = telling_parts(frame.targets)
        for aim in find_objectives(sweep, frame):
            rows, values = collect_points(frame, [aim])
            if not len(rows):
                continue
            row = int(rows[values[:, 0].argmin()])
            column = describe_column(aim.key)
            found.append(
                {
                    "key": aim.key,
                    "name": column.label,
                    "unit": column.unit,
                    "place": places.get(column.target, ""),
                    "value": frame.numbers[aim.key][row],
                    "label": frame.text["label"][row],
                }
            )
    return found


def telling_parts(targets: Mapping[str, TargetFields | None]) -> dict[str, str]:
    """Target -> the parts of its name that tell it from the others; nothing of a single one."""
    parts = {id: (id,) if on is None else on.parts for id, on in targets.items()}
    shared = set.intersection(*map(set, parts.values())) if len(parts) > 1 else set()
    return {
        target: " ".join(part for part in own if part not in shared) or target
        for target, own in parts.items()
        if len(parts) > 1
    }


def started(reader: StudyReader) -> float | None:
    """When the first trial began, seconds since the epoch."""
    with reader.lock:
        first = next(reader.store.records(), None)
    return first[1].started or None if first else None


def describe_machine(environment: Mapping[str, Any]) -> str:
    """The machine in a few words."""
    gpus = environment.get("gpus") or []
    names = [g.get("name", "") for g in gpus if isinstance(g, Mapping)]
    cpu = environment.get("cpu")
    model = cpu.get("model", "") if isinstance(cpu, Mapping) else ""
    found = ", ".join(filter(None, [*names, str(model)]))
    return found or str(environment.get("platform", ""))


def halving_rungs(sweep: Mapping[str, Any]) -> list[float]:
    """Image presentations of each rung of successive halving, ascending; [] of all else.

    Of an older or newer sweep, or one of a strategy that is not installed, [] too: its records
    are still worth showing.
    """
    raw = sweep.get("strategy")
    try:
        strategy = strategy_spec(as_written_now(raw) if isinstance(raw, Mapping) else raw)
        proxy = ProxySpec.model_validate(sweep.get("proxy") or {})
        given = strategy.rungs_of(0.0)  # shown as they are, whether or not they fit the proxy
        return list(given if any(given) else strategy.rungs_of(float(proxy.presentations)))
    except (ValueError, PluginError):  # pydantic's and ours
        return []
