"""Learning rate, decay groups and order of images: pure functions of the step."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from evnas.proxy.budget import ProxyBudget
from evnas.proxy.seeding import stream


def learning_rate(step: int, total: int, budget: ProxyBudget) -> float:
    """Rate of step 0 to total - 1: a linear rise to `lr`, then one cosine down to `lr_floor`."""
    warmup = math.ceil(budget.warmup_fraction * total)
    if step < warmup:
        return budget.lr * (step + 1) / warmup
    done = (step - warmup) / max(1, total - warmup)
    span = max(0.0, budget.lr - budget.lr_floor)
    return budget.lr_floor + span * 0.5 * (1 + math.cos(math.pi * done))


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups: what is not decayed are vectors, scalars, names ending in `bias`, and the
    names of the model's `no_weight_decay()`, if it has one (a `Backbone`'s scans: A and D).

    Source: timm's rule, which the released training codes share; VMamba's exempts A and D so.
    Deviations, both from how parameters are held: gammas of channel norms are vectors here and
    exempt, EfficientViM's release holds them as (1, C, 1) and decays them; `dt_bias` (K, D) is
    exempt by its name, VMamba's release decays it.
    """
    named: set[str] = getattr(model, "no_weight_decay", set)()
    decayed: list[nn.Parameter] = []
    exempt: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_exempt = parameter.ndim <= 1 or name.endswith("bias") or name in named
            (exempt if is_exempt else decayed).append(parameter)
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": exempt, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def adamw(model: nn.Module, budget: ProxyBudget) -> torch.optim.AdamW:
    """AdamW of the recipe (betas 0.9 and 0.999, eps 1e-8), its fused form."""
    groups = decay_groups(model, budget.weight_decay)
    return torch.optim.AdamW(groups, lr=budget.lr, betas=(0.9, 0.999), eps=1e-8, fused=True)


def epoch_order(seed: int, epoch: int, *, images: int, train_images: int) -> Tensor:
    """Indices (images,) int64 that epoch `epoch` shows: a window of one endless shuffle.

    The shuffle strings together one permutation of the training set after another, so epochs
    shorter than the set show different images until all were shown.
    """
    start, parts = epoch * images, list[Tensor]()
    for passage in range(start // train_images, (start + images - 1) // train_images + 1):
        generator = stream(seed, "order", passage)
        parts.append(torch.randperm(train_images, generator=generator))
    first = start % train_images
    return torch.cat(parts)[first : first + images]


def chunks(steps: int, points: int, *, longest: int) -> Iterator[tuple[range, bool]]:
    """Steps of an epoch in runs of at most `longest`, and whether a curve point ends the run."""
    start = 0
    for point in range(1, points + 1):
        stop = round(point * steps / points)
        while start < stop:
            end = min(start + longest, stop)
            yield range(start, end), end == stop
            start = end
