"""`evnas models`: the published architectures."""

from typing import Any

from evnas.commands.output import ABOUT_FLOPS, AsJson, columns, emit


def models(json: AsJson = False) -> None:
    """List the published architectures: parameters, FLOPs as their paper counts, top-1.

    \b
    Examples:
      evnas models
      evnas models --json
    """
    from evnas.arch.catalog import catalog
    from evnas.arch.catalog_counts import counted
    from evnas.papers.published import published_top1

    data: list[dict[str, Any]] = []
    for known in catalog().values():
        counts = counted(known)
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
    head = (
        "name",
        "alias",
        "pixels",
        "params (M)",
        "FLOPs (G)",
        "top-1 in print (%)",
        "weights",
    )
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
    emit(data, f"{columns(head, rows)}\n\n{ABOUT_FLOPS}", json)
