"""An objective of another package: a function of an architecture."""

from evnas import ArchSpec


def channels(arch: ArchSpec) -> float:
    """Channels of all blocks."""
    return float(sum(stage.dim * stage.depth for stage in arch.stages))
