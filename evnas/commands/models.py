"""`evnas show`, `diff`, `models`, `export` and `convert`: architectures and their weights."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from evnas.commands.named import ArchName, arch_named, catalogued
from evnas.commands.output import AsJson, columns, emit

Resolution = Annotated[
    int | None, typer.Option("--resolution", min=8, help="Side of the images in pixels.")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    for command in (show, diff, models, export, convert):
        app.command()(command)


def show(arch: ArchName, resolution: Resolution = None, json: AsJson = False) -> None:
    """Print an architecture part by part, with parameters and FLOPs."""
    from evnas.measure.flops import count

    spec, known = arch_named(arch), catalogued(arch)
    side = resolution or (known.resolution if known else 224)
    convention = known.family if known else "exact"
    counts = count(spec, side)
    rows = [
        (part.path, part.params, part.macs("exact"), part.macs(convention))
        for part in counts.parts
    ]
    total = ("total", counts.params, counts.macs["exact"], counts.macs[convention])
    head = ("part", "params", "MACs, exact", f"FLOPs as {convention} counts")
    data = {
        "name": arch,
        "digest": spec.digest,
        "resolution": side,
        "convention": convention,
        "arch": spec.to_dict(),
        "parts": [
            dict(zip(("path", "params", "macs_exact", "macs"), row, strict=True)) for row in rows
        ],
        "params": counts.params,
        "macs_exact": counts.macs["exact"],
        "macs": counts.macs[convention],
    }
    lines = [f"{arch} ({spec.digest}) at {side}x{side}", *_stages(spec.to_dict())]
    text = columns(head, [(row[0], *(f"{n:,}" for n in row[1:])) for row in (*rows, total)])
    emit(data, "\n".join([*lines, "", text]), json)


def diff(left: ArchName, right: ArchName, json: AsJson = False) -> None:
    """Print where two architectures differ, path by path."""
    from evnas.space.paths import diff as paths_that_differ

    found = paths_that_differ(arch_named(left), arch_named(right))
    data = [{"path": path, "left": a, "right": b} for path, a, b in found]
    text = columns(("path", left, right), found) if found else "they are one architecture"
    emit(data, text, json)


def models(json: AsJson = False) -> None:
    """List the published architectures: parameters, FLOPs as their paper counts, top-1."""
    from evnas.measure.flops import count
    from evnas.space.catalog import catalog
    from evnas.space.published import published_top1

    data: list[dict[str, Any]] = []
    for known in catalog().values():
        counts = count(known.arch, known.resolution)
        data.append(
            {
                "name": known.name,
                "alias": known.alias,
                "family": known.family,
                "resolution": known.resolution,
                "params": counts.params,
                "macs": counts.macs[known.family],
                "published_top1_percent": published_top1(known.published_top1 or known.published),
                "official": known.official,
                "digest": known.arch.digest,
            }
        )
    head = ("name", "alias", "resolution", "params (M)", "FLOPs (G)", "published top-1", "weights")
    rows = [
        (
            row["name"],
            row["alias"],
            row["resolution"],
            f"{row['params'] / 1e6:.2f}",
            f"{row['macs'] / 1e9:.3f}",
            row["published_top1_percent"] or "",
            "released" if row["official"] else "none",
        )
        for row in data
    ]
    emit(data, columns(head, rows), json)


def export(
    arch: ArchName,
    output: Annotated[Path, typer.Option("--output", "-o", help="FILE.pt2 or FILE.onnx.")],
    weights: Annotated[
        Path | None, typer.Option("--weights", help="A state dict of ours or of the release.")
    ] = None,
    resolution: Resolution = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1)] = 1,
    form: Annotated[
        Literal["plain", "deployed"], typer.Option("--form", help="deployed folds batch norms.")
    ] = "deployed",
    json: AsJson = False,
) -> None:
    """Write a model as torch.export's .pt2 or as ONNX."""
    from evnas.commands.exporting import write_export

    known = catalogued(arch)
    written = write_export(
        arch_named(arch),
        output,
        weights=weights,
        resolution=resolution or (known.resolution if known else 224),
        batch_size=batch_size,
        form=form,
    )
    emit(written, f"{output}: {written['bytes']:,} bytes, {form}", json)


def convert(
    arch: Annotated[str, typer.Argument(metavar="NAME", help="A name of `evnas models`.")],
    source: Annotated[Path, typer.Argument(metavar="FROM", help="A state dict's file.")],
    output: Annotated[Path, typer.Argument(metavar="TO", help="The file to write.")],
    to: Annotated[
        Literal["ours", "official"], typer.Option("--to", help="Whose names TO has.")
    ] = "ours",
    json: AsJson = False,
) -> None:
    """Turn released weights into ours, or ours into the release's names."""
    from evnas.commands.exporting import convert_weights

    tensors = convert_weights(arch, source, output, to=to)
    data = {"output": str(output), "tensors": tensors, "names": to}
    emit(data, f"{output}: {tensors} tensors under {to} names", json)


def _stages(arch: dict[str, object]) -> list[str]:
    from evnas.report.frame.architecture import list_stages

    head = ("stage", "depth", "dim", "block", "mixer", "its knobs", "mlp_ratio")
    keys = ("depth", "dim", "block", "mixer", "knobs", "mlp_ratio")
    rows = [[i, *(s[key] for key in keys)] for i, s in enumerate(list_stages(arch))]
    ends = [f"{part}: {arch[part]}" for part in ("stem", "downsample", "norm", "head")]
    return ["", columns(head, rows), *ends]
