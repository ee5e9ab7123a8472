"""A backbone for detection and segmentation code: images in, stage maps out."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn

from evnas.arch.spec import ArchSpec
from evnas.blocks.stage import Stage, run_stages


@dataclass(frozen=True, slots=True)
class StageInfo:
    """One map that a `FeatureBackbone` returns."""

    num_chs: int
    reduction: int
    module: str


@dataclass(frozen=True, slots=True)
class FeatureInfo:
    """What the maps are: timm's `feature_info`, as far as code that takes backbones asks it."""

    infos: tuple[StageInfo, ...]
    """Of all stages up to the last one wanted."""
    out_indices: tuple[int, ...]

    def channels(self, idx: int | None = None) -> Any:
        """Channels of all maps, or of the stage of this number."""
        return self._of(idx, "num_chs")

    def reduction(self, idx: int | None = None) -> Any:
        """Stride on the image, before rounding, of all maps, or of one."""
        return self._of(idx, "reduction")

    def module_name(self, idx: int | None = None) -> Any:
        """The module whose output a map is, of all maps, or of one."""
        return self._of(idx, "module")

    def _of(self, idx: int | None, name: str) -> Any:
        """Of the maps returned, or of one stage by its number, as timm counts."""
        if idx is None:
            return [getattr(self.infos[i], name) for i in self.out_indices]
        return getattr(self.infos[idx], name)

    def get_dicts(self) -> list[dict[str, str | int]]:
        """All of it as plain data, a dict per map."""
        return [asdict(self.infos[i]) | {"index": i} for i in self.out_indices]


class FeatureBackbone(nn.Module):
    """Stem and stages. Children are named as in `Backbone`, so its weights load here."""

    def __init__(
        self,
        stem: nn.Module,
        stages: Sequence[Stage],
        out_indices: tuple[int, ...],
        infos: Sequence[StageInfo],
        arch: ArchSpec | None = None,
    ) -> None:
        super().__init__()
        self.arch = arch
        self.stem = stem
        self.stages = nn.ModuleList(stages)
        self.feature_info = FeatureInfo(tuple(infos), out_indices)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Images (B, 3, H, W) -> the chosen stages' maps, (B, C_s, H_s, W_s), shallow first."""
        maps, _ = run_stages(self.stem(x), self.stages)
        return [maps[i] for i in self.feature_info.out_indices]
