"""A `Backbone` that keeps timm's contract for image models."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from evnas.arch.paths import edit
from evnas.arch.spec import ArchSpec
from evnas.blocks.backbone import Backbone, build, drop_path_rates
from evnas.blocks.efficientvim import EfficientVimBlock
from evnas.blocks.fill import under_our_names
from evnas.blocks.heads import Classifier, FusionHead, PooledHead
from evnas.blocks.stage import Stage, run_stages

EVERY_LAYER = (99999,)
"""What timm's grouping by layer reads as: with the last group."""


class TimmBackbone(Backbone):
    """A classifier as `timm.create_model` gives it, with the names and weights of a `Backbone`.

    Args:
        arch: the architecture; its `num_classes` is not looked at.
        num_classes: logits; 0 for pooled features.
        in_chans: channels of the images.
        global_pool: `avg`; `''` for what stands before pooling, with `num_classes` 0.
        drop_rate: dropout before the classifiers, in training.
        drop_path_rate: stochastic depth of the last block, rising from 0.

    Raises:
        ValueError: another pooling, or one that leaves a classifier without its input.
    """

    def __init__(
        self,
        arch: ArchSpec,
        *,
        num_classes: int = 1000,
        in_chans: int = 3,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ) -> None:
        arch = edit(arch, {"num_classes": max(num_classes, 1)})
        made = build(arch, in_chans=in_chans, drop_path=drop_path_rate)
        assert isinstance(made, Backbone)
        stages = [stage for stage in made.stages if isinstance(stage, Stage)]
        super().__init__(arch, made.stem, stages, made.head)
        for stage, rates in zip(stages, drop_path_rates(arch.stages, drop_path_rate), strict=True):
            for block, rate in zip(stage.blocks, rates, strict=True):
                if isinstance(block, EfficientVimBlock):
                    block.drop_path.rate = rate  # which the release has not, and timm has
        self.in_chans, self.drop_rate = in_chans, drop_rate
        self.classes, self.global_pool = num_classes, ""
        self.distilled_training = False
        self.feature_info = [
            {"num_chs": spec.dim, "reduction": reduction, "module": f"stages.{i}"}
            for i, (spec, reduction) in enumerate(zip(arch.stages, arch.reduction, strict=True))
        ]
        widths = [c.in_features for c in self.head.modules() if isinstance(c, nn.Linear)]
        self._widths = widths[: len(widths) // (2 if arch.head.distillation else 1)]
        self.num_features = self.head_hidden_size = sum(self._widths)
        self._set_pool(global_pool)
        if num_classes == 0:
            self.reset_classifier(0)
        self._head.drop.p = drop_rate

    @property
    def num_classes(self) -> int:
        """Logits; 0 where there is no classifier."""
        return self.classes

    @property
    def _head(self) -> PooledHead | FusionHead:
        assert isinstance(self.head, PooledHead | FusionHead)
        return self.head

    def _set_pool(self, global_pool: str) -> None:
        if global_pool not in ("avg", "") or (not global_pool and self.classes):
            raise ValueError(
                "global_pool must be 'avg', or '' with num_classes=0, got "
                f"{global_pool!r} with num_classes={self.classes}"
            )
        self.global_pool = global_pool

    def forward(self, x: Tensor) -> Any:
        """Images (B, in_chans, H, W) -> (B, classes); without classes what stands before them."""
        if self.classes == 0:
            return self.forward_head(self.forward_features(x))
        logits = self.head(*run_stages(self.stem(x), self.stages))
        if isinstance(logits, tuple) and not self.distilled_training:
            return (logits[0] + logits[1]) / 2
        return logits

    def forward_features(self, x: Tensor) -> Any:
        """Images -> the normalized last map (B, C, H, W); with a fusion head all of its sources,
        (B, C_s, L_s) each, as timm's efficientvim does."""
        maps, states = run_stages(self.stem(x), self.stages)
        return self._features(maps, states)

    def _features(self, maps: Sequence[Tensor], states: Sequence[Tensor | None]) -> Any:
        head = self._head
        if isinstance(head, PooledHead):
            return head.norm(maps[-1])
        sources = [*states[: head.n_states], *maps[len(maps) - head.n_maps :]]
        return [norm(source).flatten(2) for norm, source in zip(head.norms, sources, strict=True)]

    def forward_head(self, x: Any, pre_logits: bool = False) -> Any:
        """What `forward_features` gives -> (B, classes); pooled features (B, num_features) with
        `pre_logits` or no classes."""
        if not self.global_pool:
            return x
        head = self._head
        sources = x if isinstance(x, list) else [x]
        pooled = [head.drop(source.flatten(2).mean(2)) for source in sources]
        if pre_logits or self.classes == 0:
            return torch.cat(pooled, dim=1)
        logits = head.classified(pooled)
        if isinstance(logits, tuple) and not self.distilled_training:
            return (logits[0] + logits[1]) / 2
        return logits

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | Sequence[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> Any:
        """Stages' maps, (B, C_s, H_s, W_s), and unless `intermediates_only` the features before.

        Args:
            indices: stages wanted; an int for the last of so many, None for all.
            norm: normalize the last stage's map, whose norm alone is one of maps.
            stop_early: leave stages out that no wanted map needs.

        Raises:
            ValueError: another format, or a stage that is not there.
        """
        if output_fmt != "NCHW":
            raise ValueError(f"output_fmt must be 'NCHW', got {output_fmt!r}")
        taken = self._taken(indices)
        count = max(taken) + 1 if stop_early else len(self.stages)
        maps, states = run_stages(self.stem(x), list(self.stages)[:count])
        found = [maps[i] for i in sorted(taken)]
        if norm and len(maps) - 1 in taken and count == len(self.arch.stages):
            found[-1] = self._last_norm()(maps[-1])
        if intermediates_only:
            return found
        whole = count == len(self.stages)
        return (self._features(maps, states) if whole else maps[-1]), found

    def _last_norm(self) -> nn.Module:
        head = self._head
        norm: nn.Module = head.norm if isinstance(head, PooledHead) else head.norms[-1]
        return norm

    def _taken(self, indices: int | Sequence[int] | None) -> list[int]:
        count = len(self.stages)
        if indices is None:
            return list(range(count))
        wanted = range(count - indices, count) if isinstance(indices, int) else indices
        if not wanted or any(not -count <= i < count for i in wanted):
            raise ValueError(f"indices must name some of {count} stages, got {indices}")
        return [i % count for i in wanted]

    def prune_intermediate_layers(
        self,
        indices: int | Sequence[int] = 1,
        prune_norm: bool = False,
        prune_head: bool = True,
    ) -> list[int]:
        """Drop the stages after the last wanted, and the head; the indices of those wanted."""
        taken = self._taken(indices)
        last = max(taken)
        if last + 1 < len(self.stages):
            self.stages = self.stages[: last + 1]
            self.feature_info = self.feature_info[: last + 1]
            stage = self.stages[last]
            assert isinstance(stage, Stage)
            stage.downsample = None
        if prune_head:
            self.reset_classifier(0)
            if prune_norm:
                self.head = nn.Identity()
        return taken

    def get_classifier(self) -> Any:
        """The classifiers: a layer, or a list of them; a pair of those with distillation."""
        head = self._head
        if isinstance(head, PooledHead):
            pair = (head.classifier, head.classifier_dist)
        else:
            pair = (head.classifiers, head.classifiers_dist)
        return pair[0] if pair[1] is None else pair

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """New classifiers for so many classes; none for 0."""
        head, like = self._head, next(self.stem.parameters())
        self.classes = num_classes
        self._set_pool(self.global_pool if global_pool is None else global_pool)

        def fresh() -> list[nn.Module]:
            layers = (
                Classifier(width, num_classes) if num_classes else nn.Identity()
                for width in self._widths
            )
            return [layer.to(like.device, like.dtype).train(self.training) for layer in layers]

        distilled = self.arch.head.distillation
        if isinstance(head, PooledHead):
            head.set_classifiers(fresh()[0], fresh()[0] if distilled else None)
        else:
            head.classifiers = nn.ModuleList(fresh())
            head.classifiers_dist = nn.ModuleList(fresh()) if distilled else None
        if num_classes:
            self.arch = edit(self.arch, {"num_classes": num_classes})

    def set_distilled_training(self, enable: bool = True) -> None:
        """Whether training gives the pair (logits, logits_dist) instead of their mean."""
        self.distilled_training = enable

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute blocks in the backward instead of keeping what is inside them."""
        for stage in self.stages:
            assert isinstance(stage, Stage)
            stage.grad_checkpointing = enable

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Patterns of timm's grouping by depth: layer decay and freezing."""
        fine = [
            (r"^stages\.(\d+)\.blocks\.(\d+)", None),
            (r"^stages\.(\d+)\.downsample", EVERY_LAYER),
            (r"^head\.norms?\b", EVERY_LAYER),
        ]
        return {"stem": r"^stem", "blocks": r"^stages\.(\d+)" if coarse else fine}

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """As torch's; official names are taken too, which is what `checkpoint_path` may hold."""
        own = self.state_dict().keys()
        if own and state_dict.keys() - own:
            state_dict = under_our_names(self.arch, state_dict, own=self.state_dict())
        return super().load_state_dict(state_dict, strict=strict, assign=assign)
