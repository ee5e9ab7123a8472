"""What `evnas space FILE` says of a space: axes, size, valid share, samples, the catalogue."""

import random
from dataclasses import asdict
from typing import Any

from evnas.arch.catalog import catalog
from evnas.errors import SpecError
from evnas.space.axes import Axis
from evnas.space.dead import dead_values
from evnas.space.size import size_of
from evnas.space.space import SearchSpace


def space_report(space: SearchSpace, *, samples: int = 10, seed: int = 0) -> dict[str, Any]:
    """Plain data: `axes`, `size`, `samples` (points and digests), `catalogue` (name -> "inside"
    or the reason it lies outside), `empty` (a sentence, or ""), `dead` (values that no
    architecture has, each with the reason)."""
    rng = random.Random(seed)
    size = size_of(space)
    empty, drawn = "", []
    try:
        drawn = [space.sample(rng) for _ in range(samples)]
    except SpecError as e:
        empty = str(e)
    lies = {name: space.encode(entry.arch) for name, entry in catalog().items()}
    return {
        "axes": [_axis(axis) for axis in space.axes],
        "size": asdict(size),
        "samples": [{"digest": arch.digest, "point": point} for point, arch in drawn],
        "catalogue": {
            n: where if isinstance(where, str) else "inside" for n, where in lies.items()
        },
        "empty": empty,
        "dead": [asdict(dead) | {"text": str(dead)} for dead in dead_values(space)],
    }


def _axis(axis: Axis) -> dict[str, Any]:
    holds = " or ".join(sorted(map(str, axis.parent_values)))
    return {
        "axis": axis.key,
        "values": axis.domain.spell(),
        "count": len(axis.domain),
        "exists_where": f"{axis.parent} is {holds}" if axis.parent else "",
    }


def report_lines(report: dict[str, Any]) -> list[str]:
    """The same as text for a terminal."""
    size = report["size"]
    lines = ["axes"]
    for axis in report["axes"]:
        where = f"  (where {axis['exists_where']})" if axis["exists_where"] else ""
        lines.append(f"  {axis['axis']}: {axis['values']}{where}")
    spelt = (
        f"{size['mid']:.0f}, counted"
        if size["exact"]
        else f"about {size['mid']:.3g} ({size['low']:.3g} to {size['high']:.3g}, 95 %)"
    )
    lines.append(f"distinct valid architectures: {spelt}; points: {size['points']:.6g}")
    lines.append(f"valid share of even random draws: {100 * size['valid_share']:.1f} %")
    lines += [dead["text"] for dead in report["dead"]]
    if report["empty"]:
        return [*lines, report["empty"]]
    lines.append("samples")
    for sample in report["samples"]:
        point = ", ".join(f"{key}={value}" for key, value in sample["point"].items())
        lines.append(f"  {sample['digest']}  {point}")
    lines.append("published architectures")
    lines += [f"  {name}: {where}" for name, where in report["catalogue"].items()]
    return lines
