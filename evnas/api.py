"""evnas from Python: each function is the command of its name, and returns what it found.

Heavy imports wait until a function is called.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evnas.arch.spec import ArchSpec
from evnas.errors import SpecError
from evnas.files import expanded
from evnas.runtime import BatchSize, Form, Mode, Precision
from evnas.sweep.named import Arch, arch_of

if TYPE_CHECKING:
    from evnas.measure.counting.flops import Cost
    from evnas.report.notebook.study import Study
    from evnas.search.bench import Benched
    from evnas.sweep.search_spec import Sense
    from evnas.sweep.sweep import Sweep

Objective = str | Callable[..., float]


def run(
    sweep: "Sweep | str | Path | Mapping[str, Any]",
    *,
    results: str | Path = "results",
    fresh: bool = False,
    retry: Sequence[str] = (),
    rows: Sequence[str] = (),
    quick: bool = False,
    name: str | None = None,
) -> "Study":
    """Run a sweep, or go on with it, and write its page: `evnas sweep`.

    Work is done in processes of its own that import the calling script again, so a script keeps
    this call under `if __name__ == "__main__":`.

    Args:
        sweep: a path to a sweep's YAML, the same as plain data, or a loaded `Sweep`.
        results: folder of studies; the sweep's own is made inside.
        fresh: keep an old study of that name aside and start over, instead of going on with it.
        retry: work that ended so is done again: of "lost", "timeout", "oom", "failed".
        rows: labels of a table's rows; these alone are worked on, and the reference. () is all.
        quick: cut down to a first look, as study NAME_quick.
        name: another name for the study.

    Returns:
        The study: `frame` has a row per trial.

    Raises:
        SpecError: the sweep cannot hold, or its engine is not installed.
        StoreError: the study cannot be written, or differs from the one of that name.
        MeasurementError: no target's device is on this machine.
    """
    began = time.monotonic()
    from evnas.record import ends_to_retry
    from evnas.running import run_and_write

    again = ends_to_retry(retry)
    loaded = _sweep_of(sweep, quick=quick, name=name)
    ran = run_and_write(
        loaded, results=expanded(results), fresh=fresh, began=began, retry=again, rows=rows
    )
    from evnas.report.notebook.study import load_study

    return load_study(ran.folder)


def search(
    *,
    space: Mapping[str, Any],
    objectives: "Mapping[Objective, Sense]",
    budget: int | Mapping[str, Any],
    base: Arch = "efficientvim_m1",
    strategy: str | Mapping[str, Any] = "evolution",
    constraints: Sequence[str] = (),
    targets: Sequence[Mapping[str, Any]] = (),
    proxy: Mapping[str, Any] | None = None,
    confirm: Mapping[str, Any] | None = None,
    warm_start: Sequence[Mapping[str, Any]] = (),
    engine: Mapping[str, Any] | None = None,
    name: str = "search",
    title: str = "",
    results: str | Path = "results",
    fresh: bool = False,
) -> "Study":
    """Search around an architecture; each argument is the key of that name in a sweep file.

    A script keeps this call under `if __name__ == "__main__":`, see `run`.

    Args:
        space: path -> domain, such as `{"stages[*].depth": {"each": [1, 2]}}`; or a whole space
            with `axes` and `set`, `require`, `mix`, `fragments`.
        objectives: two to four quantities and which way is better, such as
            `{"params_m": "min", "macs_g": "min"}` (millions, giga multiply-adds). A function of
            an `ArchSpec`, or of the model where its parameter is annotated `torch.nn.Module`, is
            a quantity of its own name; it is defined by `def` where workers can import it.
        budget: trials; or a mapping of `trials`, `minutes`, `device_minutes`, `patience`.
        base: the architecture that the space changes.
        strategy: its kind, or a mapping with its settings.
        constraints: such as `"params_m <= 12"`.
        targets: what speed is measured on; none where no objective is a speed.
        proxy: the short training; None where no objective is trained for.
        confirm: trainings of the front with more seeds.
        warm_start: candidates to begin with.
        engine: who runs it; None for worker processes here.
        name: of the study under `results`.

    Returns:
        The study: `frame` has a row per trial.

    Raises:
        SpecError: the search cannot hold.
        StoreError, MeasurementError: as `run`.
    """
    whole = "axes" in space or "set" in space or "mix" in space
    sweep = {
        "name": name,
        "title": title,
        "base": arch_of(base).to_dict(),
        "space": dict(space) if whole else {"axes": dict(space)},
        "objectives": {_objective_name(o): goal for o, goal in objectives.items()},
        "strategy": {"kind": strategy} if isinstance(strategy, str) else dict(strategy),
        "budget": {"trials": budget} if isinstance(budget, int) else dict(budget),
        "constraints": list(constraints),
        "targets": [dict(target) for target in targets],
    }
    given = {"proxy": proxy, "confirm": confirm, "engine": engine}
    sweep |= {key: dict(value) for key, value in given.items() if value is not None}
    if warm_start:
        sweep["warm_start"] = [dict(source) for source in warm_start]
    return run(sweep, results=results, fresh=fresh)


def bench(
    arch: Arch,
    *,
    base: Arch | None = None,
    device: str = "auto",
    runtime: str | None = None,
    resolution: int = 224,
    batch_size: BatchSize = "auto",
    precision: Precision = "float32",
    form: Form | None = None,
    mode: Mode = "inference",
    uncertainty_percent: float | None = 2.0,
    budget_s: float = 8.0,
) -> "Benched":
    """Measure a model's speed under the protocol of sweeps: `evnas bench`.

    Args:
        arch: an architecture, or `timm:NAME`.
        base: another, timed in alternation with it; gives `throughput_ratio`.
        device: auto, cpu, cuda or cuda:N.
        runtime: None is torch, or of a deployed form on a GPU one captured graph.
        resolution: side of the images in pixels.
        form: `deployed` folds batch norms; None is that of the runtime.
        mode: a call is a forward; or forward, loss and backward.
        uncertainty_percent: it ends when the 95 % interval reaches no further from the median to
            either side; None uses the whole budget.
        budget_s: wall time in seconds of warm-up and rounds, at most.

    Returns:
        Medians with 95 % intervals: `record.measurements`, `to_dict()`, `text()`.

    Raises:
        SpecError: no such architecture, or a target that cannot be.
        MeasurementError: it ran out of memory, or cannot run on that target.
    """
    model, other = recorded(arch), None if base is None else recorded(base)
    from evnas.search.bench import bench as measured
    from evnas.search.bench import bench_target

    target = bench_target(
        {
            "device": device,
            **({} if runtime is None else {"runtime": runtime}),
            "resolution": resolution,
            "batch_size": batch_size,
            "precision": precision,
            **({} if form is None else {"form": form}),
            "mode": mode,
            "uncertainty_percent": uncertainty_percent,
            "budget_s": budget_s,
        }
    )
    return measured(model, target, base=other, name=spoken(arch), base_name=spoken(base))


def count(arch: Arch, resolution: int | tuple[int, int] = 224) -> "Cost":
    """Count parameters and multiply-adds of an architecture, without running it.

    Args:
        resolution: side of a square image in pixels, or (H, W).

    Returns:
        `params`; `macs` by convention, `exact` and one a paper; `parts` in the forward's order.

    Raises:
        SpecError: no such architecture.
    """
    spec = arch_of(arch)
    from evnas.measure.counting.flops import count as counted

    return counted(spec, resolution)


def recorded(arch: Arch) -> dict[str, Any]:
    """An architecture as a record keeps it; `timm:NAME` is one of timm's."""
    if isinstance(arch, str) and arch.startswith("timm:"):
        return {"timm": arch.removeprefix("timm:")}
    return arch_of(arch).to_dict()


def spoken(arch: Arch | None) -> str:
    """The name by which an architecture was asked for; "" of one that is spelt out."""
    return str(arch) if isinstance(arch, str | Path) else ""


def _objective_name(objective: Objective) -> str:
    """The quantity that an objective means."""
    if isinstance(objective, str):
        return objective
    if not callable(objective):
        reason = f"an objective must be a quantity's name or a function, got {objective!r}"
        raise SpecError(reason, "objectives")
    from evnas.phases.function import add_objective

    return add_objective(objective)


def _sweep_of(
    sweep: "Sweep | str | Path | Mapping[str, Any]", *, quick: bool, name: str | None
) -> "Sweep":
    from evnas.sweep.sweep import Sweep, load_sweep, quickened, sweep_of

    if isinstance(sweep, str | Path):
        return load_sweep(expanded(sweep), quick=quick, name=name)
    if not isinstance(sweep, Sweep | Mapping):
        raise SpecError(
            f"a sweep must be a path to YAML, a mapping or a Sweep, got {type(sweep).__name__}"
        )
    loaded = sweep if isinstance(sweep, Sweep) else sweep_of(sweep)
    if not quick and name is None:
        return loaded
    spec = quickened(loaded.spec) if quick else loaded.spec
    settled = sweep_of(spec.to_dict() | ({} if name is None else {"name": name}))
    return replace(settled, document=loaded.document)  # which says what was left unsaid


__all__ = ["Arch", "ArchSpec", "bench", "count", "run", "search"]
