"""`evnas bench`, `verify`, `train`, `erf` and `doctor`: what this machine makes of a model."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from evnas.commands.named import ArchName, arch_named, catalogued
from evnas.commands.output import AsJson, columns, emit, talk

Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (bench, verify, train, doctor):
        app.command()(command)


def bench(
    arch: Annotated[str, typer.Argument(metavar="ARCH", help="An architecture, or timm:NAME.")],
    base: Annotated[
        str | None, typer.Option("--base", help="Another, timed in alternation with it.")
    ] = None,
    device: Device = "auto",
    runtime: Annotated[
        Literal["torch", "compile", "cuda_graph", "onnx"], typer.Option("--runtime")
    ] = "torch",
    resolution: Annotated[int, typer.Option("--resolution", min=8)] = 224,
    batch_size: Annotated[int | None, typer.Option("--batch-size", min=1)] = None,
    precision: Annotated[
        Literal["float32", "bfloat16", "float16"], typer.Option("--precision")
    ] = "float32",
    form: Annotated[Literal["plain", "deployed"], typer.Option("--form")] = "plain",
    mode: Annotated[
        Literal["inference", "training"],
        typer.Option("--mode", help="A call is a forward; or forward, loss and backward."),
    ] = "inference",
    budget_s: Annotated[float, typer.Option("--budget-s", min=0.1, help="Seconds.")] = 8.0,
    json: AsJson = False,
) -> None:
    """Measure a model's throughput under the protocol of sweeps."""
    from evnas.search.bench import bench as measured
    from evnas.search.bench import bench_target

    spec = bench_target(
        {
            "device": device,
            "runtime": runtime,
            "resolution": resolution,
            "batch_size": batch_size or "auto",
            "precision": precision,
            "form": form,
            "mode": mode,
            "budget_s": budget_s,
        }
    )
    found = measured(_plain(arch), spec, base=None if base is None else _plain(base))
    emit(found.to_dict(), found.text(), json)


def verify(
    sweeps: Annotated[Path, typer.Option("--sweeps", help="A folder of sweep files.")] = Path(
        "sweeps"
    ),
    peers: Annotated[bool, typer.Option("--peers/--no-peers", help="timm's models too.")] = True,
    json: AsJson = False,
) -> None:
    """Count every published figure we can express; exit 1 when a difference is unexplained."""
    from evnas.measure.verify import verify as verified
    from evnas.sweep import load_sweep

    loaded = [load_sweep(path) for path in sorted(sweeps.glob("*.yaml"))]
    checks = verified([sweep for sweep in loaded if sweep.spec.published], peers=peers)
    keys = ("paper", "table", "row", "model", "quantity", "printed")
    rows = [(*(getattr(c, key) for key in keys), f"{c.counted:.4g}", c.verdict) for c in checks]
    data = [
        {**{key: getattr(c, key) for key in keys}, "counted": c.counted, "verdict": c.verdict}
        for c in checks
    ]
    matching = sum(c.matches for c in checks)
    open_ones = sum(c.unexplained for c in checks)
    last = f"{matching} of {len(checks)} match, {open_ones} differ unexplained"
    emit(data, f"{columns((*keys, 'counted', 'verdict'), rows)}\n{last}", json)
    if open_ones:
        raise typer.Exit(1)


def train(
    arch: ArchName,
    data: Annotated[Path, typer.Option("--data", help="A folder with train/ and val/.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Checkpoints and curve.")],
    epochs: Annotated[int, typer.Option("--epochs", min=1)] = 300,
    warmup_epochs: Annotated[int, typer.Option("--warmup-epochs", min=0)] = 20,
    cooldown_epochs: Annotated[int, typer.Option("--cooldown-epochs", min=0)] = 10,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1)] = 256,
    accumulate: Annotated[int, typer.Option("--accumulate", min=1)] = 8,
    resolution: Annotated[int | None, typer.Option("--resolution", min=8)] = None,
    precision: Annotated[Literal["float32", "bfloat16"], typer.Option("--precision")] = "float32",
    teacher: Annotated[
        Path | None, typer.Option("--teacher-weights", help="RegNetY-160's; for _dist models.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    workers: Annotated[int, typer.Option("--workers", min=0, help="Image loaders.")] = 8,
    device: Device = "auto",
    json: AsJson = False,
) -> None:
    """Train an architecture by EfficientViM's recipe, or go on with a training."""
    from evnas.measure.target import Target
    from evnas.train.recipe import Recipe, Teacher, TrainConfig
    from evnas.train.training import train as trained

    known = catalogued(arch)
    result = trained(
        TrainConfig(
            arch=arch_named(arch),
            data=data,
            output=output,
            resolution=resolution or (known.resolution if known else 224),
            recipe=Recipe(
                epochs=epochs,
                warmup_epochs=warmup_epochs,
                cooldown_epochs=cooldown_epochs,
                batch_size=batch_size,
                accumulate=accumulate,
                precision=precision,
            ),
            teacher=None if teacher is None else Teacher(weights=teacher),
            seed=seed,
            device=Target(device=device).resolved().device,
            workers=workers,
        )
    )
    best = result.best("top1_percent")
    found = {"status": result.status, "epochs": result.epochs, "top1_percent": best}
    emit(found | {"output": str(output)}, f"{result.status}, best top-1 {best} %: {output}", json)


def doctor(json: AsJson = False) -> None:
    """Say what is here: devices, versions, kernels and runtimes that run, data."""
    from evnas.commands.checkup import checkup, checkup_text

    found = checkup()
    emit(found, checkup_text(found), json)
    if found["advice"] and not json:
        talk("\n".join(found["advice"]))


def _plain(name: str) -> dict[str, object]:
    """An architecture as a record keeps it."""
    if name.startswith("timm:"):
        return {"timm": name.removeprefix("timm:")}
    return arch_named(name).to_dict()
