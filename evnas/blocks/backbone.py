"""An ArchSpec becomes a module here, and nowhere else: every layer below takes plain arguments.

`build` makes a whole model; `build_stem`, `build_block`, `build_downsample` and `build_head` make
one part of it, so that costs can be counted part by part.
"""

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from evnas.arch.spec import ArchSpec, StageSpec
from evnas.blocks.downsample import DOWNSAMPLES
from evnas.blocks.features import FeatureBackbone, StageInfo
from evnas.blocks.heads import FusionHead, PooledHead
from evnas.blocks.norms import norms
from evnas.blocks.stage import Stage, run_stages
from evnas.blocks.stems import STEMS
from evnas.kernels import Impl
from evnas.mixers import MIXERS
from evnas.registry import place_of
from evnas.sweep.named import Arch, arch_of
from evnas.tables import BLOCKS


class Backbone(nn.Module):
    """Stem, stages and a classifier.

    Children are `stem`, `stages.{i}.blocks.{j}`, `stages.{i}.downsample` and `head`.
    """

    def __init__(
        self, arch: ArchSpec, stem: nn.Module, stages: Sequence[Stage], head: nn.Module
    ) -> None:
        super().__init__()
        self.arch = arch
        self.stem = stem
        self.stages = nn.ModuleList(stages)
        self.head = head

    @property
    def num_classes(self) -> int:
        """Logits."""
        return self.arch.num_classes

    def no_weight_decay(self) -> set[str]:
        """Names of what the releases exempt from weight decay beside vectors: the scans' A and D.

        timm's optimizer factory asks models for this.
        """
        names = [name for name, _ in self.named_parameters()]
        return {name for name in names if name.endswith(("ssm.A_log", "ssm.D"))}

    def forward_features(self, x: Tensor) -> tuple[list[Tensor], list[Tensor | None]]:
        """Images (B, 3, H, W) to each stage's map, (B, C_s, H_s, W_s), and hidden states.

        The states are those of a stage's last mixer, (B, C_s, N_s), or None.
        """
        return run_stages(self.stem(x), self.stages)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Images (B, 3, H, W) to logits (B, classes).

        With distillation, training gives the pair (logits, logits_dist); evaluation their mean.
        """
        maps, states = self.forward_features(x)
        logits: Tensor | tuple[Tensor, Tensor] = self.head(maps, states)
        return logits


def build(
    arch: Arch,
    *,
    features_only: bool = False,
    out_indices: Sequence[int] | None = None,
    impl: Impl = "auto",
    drop_path: float = 0.0,
    in_chans: int = 3,
    seed: int | None = None,
) -> nn.Module:
    """Build a model with fresh parameters, in training mode, on torch's default device.

    Args:
        arch: an `ArchSpec`, or what means one: a name, a path, a mapping.
        features_only: a `FeatureBackbone` that returns stage maps, instead of a classifier.
        out_indices: with `features_only`, the stages wanted; None for all. Later ones are left
            out, and negative indices count from the last.
        impl: which implementation of the state-space operators runs, see `evnas.kernels`.
        drop_path: stochastic depth of the last block; earlier ones rise to it linearly from 0.
            Blocks of kind efficientvim have none, as published.
        in_chans: channels of the images.
        seed: initialize from this seed and leave torch's CPU generator as it was; None draws from
            it.

    Returns:
        A `Backbone`, or a `FeatureBackbone`.

    Raises:
        ValueError: an index in `out_indices` that is no stage, or a rate outside [0, 1).
        SpecError: there is no such architecture.
    """
    arch = arch_of(arch)
    if not 0 <= drop_path < 1:
        raise ValueError(f"drop_path must be in [0, 1), got {drop_path}")
    wanted = _stage_indices(out_indices, len(arch.stages)) if features_only else ()
    count = max(wanted) + 1 if features_only else len(arch.stages)
    with _seeded(seed):
        stem = build_stem(arch, impl=impl, in_chans=in_chans)
        stages = [
            _build_stage(arch, i, last=i == count - 1, impl=impl, drop_path=drop_path)
            for i in range(count)
        ]
        if features_only:
            infos = [
                StageInfo(arch.stages[i].dim, arch.reduction[i], f"stages.{i}")
                for i in range(count)
            ]
            return FeatureBackbone(stem, stages, wanted, infos, arch)
        return Backbone(arch, stem, stages, build_head(arch, impl=impl))


def build_stem(arch: ArchSpec, *, impl: Impl = "auto", in_chans: int = 3) -> nn.Module:
    """The stem: (B, 3, H, W) -> (B, C_0, H', W')."""
    stem = STEMS[arch.stem.kind]
    return stem(arch.stages[0].dim, arch.stem.stride, in_chans=in_chans, impl=impl)


def build_block(
    arch: ArchSpec, stage: int, *, impl: Impl = "auto", drop_path: float = 0.0
) -> nn.Module:
    """One block of a stage; they are all alike. (B, C, H, W) -> (the same, states or None)."""
    spec, table = arch.stages[stage], norms(arch.norm, impl=impl)
    block = BLOCKS.get(spec.block)
    mixer = (build_mixer(arch, stage, impl=impl),) if block.mixer else ()
    rate = {"drop_path": drop_path} if block.drop_path else {}
    kind = place_of(block.module)
    module: nn.Module = kind(spec.dim, *mixer, mlp_ratio=spec.mlp_ratio, norms=table, **rate)
    return module


def build_mixer(arch: ArchSpec, stage: int, *, impl: Impl = "auto") -> nn.Module:
    """The token mixer of a stage that has one.

    Raises:
        ValueError: the stage's blocks have no mixer.
    """
    spec = arch.stages[stage]
    if spec.mixer is None:
        raise ValueError(f"stages[{stage}] has no mixer: its block is {spec.block}")
    fields = spec.mixer.model_dump(exclude={"kind"})
    kind = place_of(MIXERS.get(spec.mixer.kind).module)
    mixer: nn.Module = kind(spec.dim, **fields, norms=norms(arch.norm, impl=impl), impl=impl)
    return mixer


def build_downsample(arch: ArchSpec, stage: int, *, impl: Impl = "auto") -> nn.Module:
    """What stands between `stage` and the next: (B, C, H, W) -> (B, C', H/2, W/2), rounded up."""
    dims = arch.stages[stage].dim, arch.stages[stage + 1].dim
    return DOWNSAMPLES[arch.downsample](*dims, impl=impl)


def build_head(arch: ArchSpec, *, impl: Impl = "auto") -> nn.Module:
    """The classifier: all stage maps and hidden states -> logits."""
    table, distillation = norms(arch.norm, impl=impl), arch.head.distillation
    dims = [s.dim for s in arch.stages]
    if arch.head.fusion == "none":
        return PooledHead(dims[-1], arch.num_classes, norms=table, distillation=distillation)
    hidden = arch.head.fusion == "hidden"
    state_dims = [_hidden_width(arch, i) for i in range(len(dims))] if hidden else []
    map_dims = dims[-1:] if hidden else dims
    return FusionHead(
        state_dims, map_dims, arch.num_classes, norms=table, distillation=distillation
    )


def _hidden_width(arch: ArchSpec, stage: int) -> int:
    with torch.device("meta"):  # asked of the mixer itself, without its weights
        width = build_mixer(arch, stage).hidden_width
    assert isinstance(width, int)  # ArchSpec refuses hidden fusion without hidden states
    return width


def _build_stage(arch: ArchSpec, stage: int, *, last: bool, impl: Impl, drop_path: float) -> Stage:
    rates = drop_path_rates(arch.stages, drop_path)[stage]
    blocks = [build_block(arch, stage, impl=impl, drop_path=rate) for rate in rates]
    return Stage(blocks, None if last else build_downsample(arch, stage, impl=impl))


def drop_path_rates(stages: Sequence[StageSpec], rate: float) -> list[list[float]]:
    """0 at the first block, `rate` at the last, linear between; a list per stage."""
    total = sum(s.depth for s in stages)
    flat = iter([rate * i / max(total - 1, 1) for i in range(total)])
    return [[next(flat) for _ in range(s.depth)] for s in stages]


def _stage_indices(wanted: Sequence[int] | None, count: int) -> tuple[int, ...]:
    indices = tuple(range(count)) if wanted is None else tuple(wanted)
    if not indices or any(not -count <= i < count for i in indices):
        raise ValueError(f"out_indices must name some of {count} stages, got {list(indices)}")
    return tuple(sorted({i % count for i in indices}))


@contextlib.contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
