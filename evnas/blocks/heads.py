"""Stage maps and hidden states to logits."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from evnas.blocks import init
from evnas.blocks.layers import GlobalPool, StatePool
from evnas.blocks.norms import Norms


class Classifier(nn.Linear):
    """A linear layer with bias, truncated normal of std 0.02."""

    def reset_parameters(self) -> None:
        """Truncated normal of std 0.02, zero bias."""
        init.linear_(self.weight, self.bias)


class PooledHead(nn.Module):
    """Norm, mean over pixels, classifier: VSSD, VMamba, and EfficientViM without fusion.

    With `distillation`, a second classifier: training returns both logits, evaluation their mean.

    Source: VMamba, arXiv 2401.10166; VSSD, arXiv 2407.18559; EfficientViM,
    arXiv 2411.15241, supplement, Table C row H.
    """

    def __init__(
        self, dim: int, num_classes: int, *, norms: Norms, distillation: bool = False
    ) -> None:
        super().__init__()
        self.norm = norms.token(dim)
        self.pool = GlobalPool()
        self.drop = nn.Dropout(0.0)
        self.classifier: nn.Module = Classifier(dim, num_classes)
        self.classifier_dist: nn.Module | None = (
            Classifier(dim, num_classes) if distillation else None
        )

    def forward(
        self, maps: Sequence[Tensor], states: Sequence[Tensor | None]
    ) -> Tensor | tuple[Tensor, Tensor]:
        """The last map (B, C, H, W) -> (B, classes), or a pair of them."""
        return self.classified([self.drop(self.pool(self.norm(maps[-1])))])

    def classified(self, features: Sequence[Tensor]) -> Tensor | tuple[Tensor, Tensor]:
        """Pooled features, one (B, C), -> (B, classes), or a pair of them."""
        logits: Tensor = self.classifier(features[0])
        if self.classifier_dist is None:
            return logits
        return _both(logits, self.classifier_dist(features[0]), training=self.training)

    def set_classifiers(self, classifier: nn.Module, dist: nn.Module | None) -> None:
        """Put others in their place."""
        self.classifier, self.classifier_dist = classifier, dist


class FusionHead(nn.Module):
    """The weighted mean of a classifier a source, the weights a softmax of parameters.

    Sources are hidden states and the last map (`hidden`), or every stage's map (`features`). Each
    is normalized, then pooled, over states or pixels.

    Args:
        state_dims: channels of each stage's hidden states; empty for `features`.
        map_dims: channels of the stage maps used, which are the last ones.
        num_classes: logits.
        norms: which layer normalizes what.
        distillation: a second set of weights and classifiers on the same features.

    Source: EfficientViM, arXiv 2411.15241, Figure 4 (multi-stage hidden state fusion); the
    supplement's Table C, row G, for `features`, where the last stage's map is the final one and
    there is no fourth classifier, which is what its printed parameters say.
    """

    def __init__(
        self,
        state_dims: Sequence[int],
        map_dims: Sequence[int],
        num_classes: int,
        *,
        norms: Norms,
        distillation: bool = False,
    ) -> None:
        super().__init__()
        dims = [*state_dims, *map_dims]
        self.n_states, self.n_maps = len(state_dims), len(map_dims)
        self.weights = nn.Parameter(torch.ones(len(dims)))
        self.weights_dist = nn.Parameter(torch.ones(len(dims))) if distillation else None
        self.norms = nn.ModuleList(
            [*(norms.state(d) for d in state_dims), *(norms.token(d) for d in map_dims)]
        )
        self.state_pool, self.pool = StatePool(), GlobalPool()
        self.drop = nn.Dropout(0.0)
        self.classifiers = nn.ModuleList(Classifier(d, num_classes) for d in dims)
        self.classifiers_dist = (
            nn.ModuleList(Classifier(d, num_classes) for d in dims) if distillation else None
        )

    def forward(
        self, maps: Sequence[Tensor], states: Sequence[Tensor | None]
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Maps (B, C_s, H_s, W_s) and states (B, C_s, N_s) -> (B, classes), or a pair."""
        sources = [*states[: self.n_states], *maps[len(maps) - self.n_maps :]]
        pools = [self.state_pool] * self.n_states + [self.pool] * self.n_maps
        features = [
            self.drop(pool(norm(source)).to(maps[-1].dtype))  # states are float32 in any model
            for pool, norm, source in zip(pools, self.norms, sources, strict=True)
        ]
        return self.classified(features)

    def classified(self, features: Sequence[Tensor]) -> Tensor | tuple[Tensor, Tensor]:
        """Pooled features, (B, C_s) each, -> (B, classes), or a pair."""
        logits = _fused(self.weights, self.classifiers, features)
        if self.weights_dist is None or self.classifiers_dist is None:
            return logits
        dist = _fused(self.weights_dist, self.classifiers_dist, features)
        return _both(logits, dist, training=self.training)


def _fused(weights: Tensor, classifiers: nn.ModuleList, features: Sequence[Tensor]) -> Tensor:
    shares = torch.softmax(weights, dim=0)
    logits = [c(f) for c, f in zip(classifiers, features, strict=True)]  # each (B, classes)
    return (shares[:, None, None] * torch.stack(logits)).sum(0)


def _both(logits: Tensor, dist: Tensor, *, training: bool) -> Tensor | tuple[Tensor, Tensor]:
    return (logits, dist) if training else (logits + dist) / 2
