"""`evnas show`: an architecture part by part."""

from evnas.commands.named import ArchNameOrFrom, From, Pick, chosen
from evnas.commands.options import Resolution
from evnas.commands.output import ABOUT_FLOPS, AsJson, columns, emit
from evnas.commands.stages import stage_lines


def show(
    arch: ArchNameOrFrom = None,
    study: From = None,
    pick: Pick = None,
    resolution: Resolution = None,
    json: AsJson = False,
) -> None:
    """Print an architecture part by part, with parameters and FLOPs.

    \b
    Examples:
      evnas show efficientvim_m2
      evnas show results/mine/front/35.arch.yaml --resolution 256
    """
    found = chosen(arch, resolution, study=study, pick=pick)
    spec, side = found.arch, found.resolution
    from evnas.measure.counting.flops import count  # after the name: torch takes seconds to load

    convention = found.known.family if found.known else "exact"
    counts = count(spec, side)
    rows = [
        (part.path, part.params, part.macs("exact"), part.macs(convention))
        for part in counts.parts
    ]
    total = ("total", counts.params, counts.macs["exact"], counts.macs[convention])
    head = ("part", "params", "FLOPs, exact", f"FLOPs as {convention} counts")
    data = {
        "name": found.name,
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
    lines = [f"{found.name} ({spec.digest}) at {side}x{side}", *stage_lines(spec.to_dict())]
    text = columns(head, [(row[0], *(f"{n:,}" for n in row[1:])) for row in (*rows, total)])
    emit(data | found.origin, "\n".join([*lines, "", text, "", ABOUT_FLOPS]), json)
