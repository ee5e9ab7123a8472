"""timm's optimizer and schedule from a recipe."""

from typing import Any

import torch
from timm.optim import (  # type: ignore[attr-defined]  # exported, not by __all__
    create_optimizer_v2,
    get_optimizer_info,
    list_optimizers,
    param_groups_layer_decay,
)
from timm.scheduler.cosine_lr import CosineLRScheduler
from timm.utils.agc import adaptive_clip_grad
from torch import nn

from evnas.errors import SpecError, nearest
from evnas.proxy.schedule import decay_groups
from evnas.train.recipe import Recipe

_FUSED = ("adamw", "adam")


def optimizer_of(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer over what is to be trained.

    Raises:
        SpecError: timm has none of that name, or nothing is left to train.
    """
    known = [str(name) for name in list_optimizers()]
    if recipe.optimizer not in known:
        raise SpecError(
            f"must be one of timm's optimizers{nearest(recipe.optimizer, known)}, got "
            f"{recipe.optimizer!r}",
            "recipe.optimizer",
        )
    groups = _groups(model, recipe)
    if not groups:
        raise SpecError("must leave something to train, all weights are frozen", "frozen")
    info = get_optimizer_info(recipe.optimizer)
    chosen: dict[str, Any] = {}
    if info.has_betas:
        chosen["betas"] = recipe.betas
    if info.has_eps:
        chosen["eps"] = recipe.eps
    if recipe.optimizer in _FUSED:
        chosen["fused"] = True
    made: torch.optim.Optimizer = create_optimizer_v2(
        groups,
        opt=recipe.optimizer,
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
        momentum=recipe.momentum,
        **chosen,
    )
    return made


def _groups(model: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    plain = decay_groups(model, recipe.weight_decay)
    if recipe.layer_decay == 1:
        return plain
    exempt = {id(p) for g in plain if g["weight_decay"] == 0 for p in g["params"]}
    found: list[dict[str, Any]] = param_groups_layer_decay(
        model,
        weight_decay=recipe.weight_decay,
        no_weight_decay_list=[name for name, p in model.named_parameters() if id(p) in exempt],
        layer_decay=recipe.layer_decay,
    )
    return found


def scheduler(
    optimizer: torch.optim.Optimizer, recipe: Recipe, *, updates_per_epoch: int
) -> CosineLRScheduler:
    """Linear warm-up, then one cosine to the floor, an update per step; the floor afterwards."""
    warmup = recipe.warmup_epochs * updates_per_epoch
    return CosineLRScheduler(
        optimizer,
        t_initial=recipe.epochs * updates_per_epoch - warmup,
        lr_min=recipe.lr_floor,
        warmup_t=warmup,
        warmup_lr_init=recipe.warmup_lr,
        warmup_prefix=True,
        t_in_epochs=False,
    )


def clip(model: nn.Module, recipe: Recipe) -> None:
    """Bound the gradients, which are of their true size."""
    if not recipe.clip:
        return
    trained = [(n, p) for n, p in model.named_parameters() if p.grad is not None]
    parameters = [p for _, p in trained]
    if recipe.clip_mode == "norm":
        nn.utils.clip_grad_norm_(parameters, recipe.clip)
    elif recipe.clip_mode == "value":
        nn.utils.clip_grad_value_(parameters, recipe.clip)
    else:
        # the classifiers are left as they are: arXiv 2102.06171, Section 4.1
        body = [p for name, p in trained if not name.startswith("head.classifier")]
        adaptive_clip_grad(body, clip_factor=recipe.clip)  # type: ignore[no-untyped-call]
