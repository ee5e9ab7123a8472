"""`evnas show`: an architecture part by part."""

from evnas.commands.named import ArchName, arch_named, catalogued
from evnas.commands.options import Resolution
from evnas.commands.output import AsJson, columns, emit


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


def _stages(arch: dict[str, object]) -> list[str]:
    from evnas.report.architecture import stages

    head = ("stage", "depth", "dim", "block", "mixer", "its knobs", "mlp_ratio")
    keys = ("depth", "dim", "block", "mixer", "knobs", "mlp_ratio")
    rows = [[i, *(s[key] for key in keys)] for i, s in enumerate(stages(arch))]
    ends = [f"{part}: {arch[part]}" for part in ("stem", "downsample", "norm", "head")]
    return ["", columns(head, rows), *ends]
