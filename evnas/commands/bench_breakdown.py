"""`evnas bench --breakdown`: where a forward's time goes, by stage and kind."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import Any

from evnas.commands.bench_models import place_of
from evnas.commands.output import columns
from evnas.errors import SpecError
from evnas.store import Store
from evnas.sweep.parts import TargetSpec


def breakdowns(
    models: Mapping[str, Mapping[str, Any]],
    specs: Sequence[TargetSpec],
    *,
    say: Callable[[str], None],
) -> Iterator[dict[str, Any]]:
    """The anatomy of every model on every target, one by one, as data with both names.

    Raises:
        MeasurementError: a target whose counters are not read, or a runtime that cannot run a
            model.
    """
    import torch

    from evnas.measure.anatomy.counters import anatomy, must_be_read
    from evnas.measure.timing.device_lock import device_lock_for
    from evnas.phases.speed import model_on
    from evnas.search.bench import target_for
    from evnas.search.evaluate import Evaluator

    evaluator = Evaluator()
    for spec in specs:
        for name, arch in models.items():
            target = target_for(arch, spec, evaluator)
            must_be_read(target)
            say(f"{name} on {target.id}: taken apart")
            side, batch = target.resolution, int(target.batch_size)
            draw = torch.Generator().manual_seed(0)
            images = torch.randn(batch, 3, side, side, generator=draw).to(target.host_device)
            model = model_on(arch, target).to(target.host_device)
            with device_lock_for(target.device, say).measuring():
                taken = asdict(anatomy(model, images, target))
            yield {"name": name, "target": target.id, **taken}


Keep = Callable[[Mapping[str, Any]], None]


@contextmanager
def keeper(names: Sequence[str]) -> Iterator[Keep]:
    """What notes a breakdown in the study that its model is of; the studies are open meanwhile.

    Args:
        names: of the models, each STUDY:TRIAL.

    Raises:
        SpecError: one is of no study.
        StoreError: a study cannot be written.
    """
    from evnas.report.frame.breakdowns import keep_breakdown

    places = {name: place_of(name) for name in names}
    outside = [name for name, place in places.items() if place is None]
    if outside:
        raise SpecError(
            f"--keep notes breakdowns in the study of each model, named STUDY:TRIAL; {outside[0]} "
            "is of none"
        )
    with ExitStack() as opened:
        files = {place[0] for place in places.values() if place is not None}
        stores = {file: opened.enter_context(Store.append_to(file)) for file in files}
        digests = {
            (file, record.label): record.digest
            for file, store in stores.items()
            for _, record in store.records()
        }

        def keep(found: Mapping[str, Any]) -> None:
            place = places[found["name"]]
            if place is not None and place in digests:  # one that is named twice is kept once
                keep_breakdown(stores[place[0]], place[1], digests[place], found)

        yield keep


def breakdown_text(found: Sequence[Mapping[str, Any]]) -> str:
    """A table a model and target, the longest parts first."""
    return "\n\n".join(_table(one) for one in found)


def _table(one: Mapping[str, Any]) -> str:
    head = ["stage", "kind", "ms", "share", "GFLOP", "MiB", "of ceiling", "bound by"]
    parts = sorted(one["parts"], key=lambda part: -part["ms"])
    rows = [
        [
            *(part["stage"], part["kind"], f"{part['ms']:.2f}"),
            f"{100 * part['ms'] / one['latency_ms']:.0f} %",
            *(_shown(part[key]) for key in ("gflop", "mib", "of_ceiling")),
            part["bound"],
        ]
        for part in parts
    ]
    ceilings = f"{one['copy_bytes_s'] / 1e9:.1f} GB/s, {one['flop_s'] / 1e9:.0f} GFLOP/s"
    title = f"{one['name']}, {one['target']}: {one['latency_ms']:.2f} ms; ceilings {ceilings}"
    doubt = f"; not quiet: {one['disturbed']}" if one["disturbed"] else ""
    return f"{title}{doubt}\n{columns(head, rows)}"


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
