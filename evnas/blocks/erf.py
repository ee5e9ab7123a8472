"""The effective receptive field: how far each pixel moves the centre of the last map.

Drawing it is not done here.
"""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evnas.blocks.backbone import Backbone
from evnas.blocks.features import FeatureBackbone
from evnas.blocks.stage import run_stages


def effective_receptive_field(
    last_map: Callable[[Tensor], Tensor], batches: Iterable[Tensor]
) -> NDArray[np.float64]:
    """Mean over images of |d centre / d pixel|, summed over the colours.

    The centre is the sum over the channels of the last map at its pixel (H' // 2, W' // 2).

    Args:
        last_map: images (B, 3, H, W) -> (B, C, H', W'), such as `last_map_of(model)`; with batch
            norm in evaluation mode, so that images do not see one another.
        batches: images, (B, 3, H, W) each, normalized as the model wants them, all of one H x W.

    Returns:
        (H, W) float64, not negative, scaled so that the largest is 1 (all 0 if there is none). Its
        logarithm is what the papers draw.

    Raises:
        ValueError: no images, or a `last_map` that gives no map.

    Source: Luo et al., NeurIPS 2016, Section 3; drawn as EfficientViM's Figure C (arXiv
    2411.15241, supplement) and VMamba's Figures 6, 10, 13 and 14 (arXiv 2401.10166) are. The
    papers do not say how signs are treated: absolute values are our choice.
    """
    total, count = None, 0
    for images in batches:
        images = images.detach().requires_grad_()
        y = last_map(images)
        if y.ndim != 4:
            raise ValueError(f"last_map must give (B, C, H, W), got {tuple(y.shape)}")
        centre = y[:, :, y.shape[2] // 2, y.shape[3] // 2].sum()
        (gradient,) = torch.autograd.grad(centre, images)
        moved = gradient.double().abs().sum((0, 1))  # (H, W)
        total = moved if total is None else total + moved
        count += images.shape[0]
    if total is None or count == 0:
        raise ValueError("an effective receptive field needs at least one image, got none")
    field: NDArray[np.float64] = (total / count).cpu().numpy()
    peak = field.max()
    return field / peak if peak > 0 else field


def last_map_of(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """Images -> the map before the head of a model that evnas built, which is put in eval mode.

    Raises:
        ValueError: a model of another kind; give a function of images to its last map instead.
    """
    model.eval()
    if isinstance(model, Backbone):
        return lambda images: run_stages(model.stem(images), model.stages)[0][-1]
    if isinstance(model, FeatureBackbone):
        return lambda images: model(images)[-1]
    raise ValueError(f"last_map_of knows Backbone and FeatureBackbone, got {type(model).__name__}")
