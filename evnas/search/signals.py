"""Signals of whole architectures, taken into a store, a record at a time.

What a signal is stands in `evnas.tables.SCORES`; here they are taken of the untrained model at its
published size. Those of mixers come from one walk and share a record, any other has its own, so
that a signal added later costs only itself.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from evnas.errors import SpecError, nearest
from evnas.files import csv_cell
from evnas.measure.timing.conditions import environment
from evnas.measure.timing.device_lock import OnWait, unsaid
from evnas.phases.base import Task
from evnas.phases.count import CountTask
from evnas.phases.score import ScoreTask
from evnas.phases.work import Work
from evnas.proxy.scores.mixing import MixerScore
from evnas.proxy.signal_images import IMAGES, SIDE
from evnas.record import Record
from evnas.search.evaluate import Evaluator, only_waits
from evnas.store import Store
from evnas.sweep.candidate import Candidate
from evnas.tables import SCORES

COUNTED = ("params", "macs_exact")


def known_signals(names: Sequence[str]) -> tuple[str, ...]:
    """The same names, all that can be loaded where none is given; `params` is counted anyway.

    Raises:
        SpecError: no score has such a name.
        PluginError: one of them cannot be loaded.
    """
    for name in names:
        if name not in SCORES:
            raise SpecError(f"no signal is named {name!r}{nearest(name, list(SCORES))}")
        SCORES.must_load(name)
    return tuple(name for name in names or SCORES.usable() if name != "params")


def signal_works(
    candidates: Iterable[tuple[Candidate, int]],
    names: Sequence[str],
    seeds: Sequence[int],
    *,
    side: int = SIDE,
    images: int = IMAGES,
) -> Iterator[Work]:
    """Counts first, then the mixers' signals, then each other one, a seed of all at a time.

    Args:
        candidates: each with the side of the images that it is counted for.
        side: pixels of the images that signals are taken on.
        images: how many.
    """
    all_of_them = list(candidates)
    for candidate, counted_at in all_of_them:
        yield _work(candidate, "count", CountTask(resolution=counted_at))
    unusual = "" if (side, images) == (SIDE, IMAGES) else f" of {images} at {side}"
    for group in _groups(names):
        for seed in seeds:
            for candidate, _ in all_of_them:
                task = ScoreTask(proxy=None, scores=group, side=side, images=images)
                target = (group[0] if len(group) == 1 else "mixers") + unusual
                yield _work(candidate, "score", task, seed=seed, target=target)


def _groups(names: Sequence[str]) -> list[tuple[str, ...]]:
    of_mixers = tuple(name for name in names if isinstance(SCORES.get(name), MixerScore))
    return [*([of_mixers] if of_mixers else []), *((n,) for n in names if n not in of_mixers)]


def _work(candidate: Candidate, phase: str, task: Task, seed: int = 0, target: str = "") -> Work:
    return Work(
        label=candidate.label,
        digest=candidate.digest,
        arch=candidate.to_dict(),
        phase=phase,
        task=task,
        seed=seed,
        target=target,
    )


def take_signals(
    works: Iterable[Work],
    path: Path,
    on_record: Callable[[Record], None] = lambda _: None,
    say: OnWait = unsaid,
) -> None:
    """Do what the store at `path` does not hold yet; `say` hears for whom a device is waited.

    Raises:
        StoreError: it cannot be written.
    """
    if not path.exists():
        Store.create(path, sweep={"name": "signals"}, environment=environment()).close()
    with Store.append_to(path) as store:
        done = {record.key for _, record in store.records()}
        evaluator = Evaluator()
        for work in works:
            if work.key not in done:
                record = evaluator.run(work, only_waits(say)).record
                store.append(record)
                on_record(record)


def signal_rows(records: Iterable[Record]) -> list[dict[str, object]]:
    """A row an architecture and seed: counts, signals, seconds; `reasons` where one is missing."""
    counts: dict[str, dict[str, object]] = {}
    rows: dict[tuple[str, int], dict[str, object]] = {}
    for record in records:
        if record.phase == "count":
            counts[record.label] = {name: record.values.get(name, "") for name in COUNTED}
            continue
        row = rows.setdefault(
            (record.label, record.seed),
            {"name": record.label, "digest": record.digest, "seed": record.seed},
        )
        row.update(record.values)
        row[f"seconds_{record.target}"] = round(record.seconds, 3)
        if record.error:
            row["reasons"] = "; ".join(
                [*filter(None, [str(row.get("reasons", ""))]), record.error]
            )
    return [{**row, **counts.get(label, {})} for (label, _), row in rows.items()]


def signals_csv(rows: Sequence[dict[str, object]]) -> str:
    """The rows as CSV, signals with six digits."""
    found = dict.fromkeys(name for row in rows for name in row)
    head = ["name", "digest", "seed", *COUNTED]
    names = [*head, *sorted(name for name in found if name not in head)]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {
            k: f"{v:.7g}" if isinstance(v, float) and k not in COUNTED else csv_cell(v)
            for k, v in row.items()
        }
        for row in rows
    )
    return text.getvalue()
