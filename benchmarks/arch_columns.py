"""What the tables of searches say of an architecture: its stages, blocks and parameters."""

from evnas.arch.spec import ArchSpec, StageSpec
from evnas.measure.counting.flops import count


def stages_of(arch: ArchSpec) -> str:
    """Blocks and mixer of each stage: `1 hsm_ssd, 3 nc_ssd`."""
    return ", ".join(f"{stage.depth} {mixer_of(stage)}" for stage in arch.stages)


def mixer_of(stage: StageSpec) -> str:
    """Its kind; the block's name where it has none."""
    return stage.mixer.kind if stage.mixer is not None else stage.block


def blocks_of(arch: ArchSpec) -> int:
    """Blocks of all stages together."""
    return sum(stage.depth for stage in arch.stages)


def millions_of(arch: ArchSpec) -> float:
    """Parameters in millions."""
    return count(arch).params / 1e6
