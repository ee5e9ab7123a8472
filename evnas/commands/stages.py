"""An architecture's stages as a table for a terminal."""

from collections.abc import Mapping
from typing import Any

from evnas.commands.output import columns
from evnas.report.frame.architecture import list_stages, spelt


def stage_lines(arch: dict[str, Any]) -> list[str]:
    """A line a stage, then the parts around them.

    Args:
        arch: `ArchSpec.to_dict()`.
    """
    head = ("stage", "depth", "dim", "block", "mixer", "its knobs", "mlp_ratio")
    keys = ("depth", "dim", "block", "mixer", "knobs", "mlp_ratio")
    rows = [[i, *(s[key] for key in keys)] for i, s in enumerate(list_stages(arch))]
    ends = [f"{part}: {_in_words(arch[part])}" for part in ("stem", "downsample", "norm", "head")]
    return ["", columns(head, rows), *ends]


def _in_words(part: object) -> str:
    """`{"kind": "vssd", "stride": 4}` as `vssd, stride 4`."""
    if not isinstance(part, Mapping):
        return str(part)
    kind = [str(part["kind"])] if "kind" in part else []
    return ", ".join([*kind, *(spelt(name, part[name]) for name in part if name != "kind")])
