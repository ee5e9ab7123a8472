"""An architecture's stages as a table for a terminal."""

from typing import Any

from evnas.commands.output import columns
from evnas.report.frame.architecture import list_stages


def stage_lines(arch: dict[str, Any]) -> list[str]:
    """A line a stage, then the parts around them.

    Args:
        arch: `ArchSpec.to_dict()`.
    """
    head = ("stage", "depth", "dim", "block", "mixer", "its knobs", "mlp_ratio")
    keys = ("depth", "dim", "block", "mixer", "knobs", "mlp_ratio")
    rows = [[i, *(s[key] for key in keys)] for i, s in enumerate(list_stages(arch))]
    ends = [f"{part}: {arch[part]}" for part in ("stem", "downsample", "norm", "head")]
    return ["", columns(head, rows), *ends]
