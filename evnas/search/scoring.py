"""Training-free scores of a candidate, on the images and in the form that the proxy trains."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from evnas.errors import MeasurementError
from evnas.proxy.augment import training_batch
from evnas.proxy.data import ProxyData
from evnas.proxy.scores import SCORES
from evnas.proxy.seeding import seeded
from evnas.search.models import proxy_model


def scored(
    arch: Mapping[str, Any],
    proxy: Mapping[str, Any],
    data: ProxyData,
    *,
    names: Sequence[str],
    seed: int,
) -> dict[str, float]:
    """Scores of the untrained model on one batch of training images.

    Args:
        arch: `ArchSpec.to_dict()`, or `{"timm": NAME}`.
        proxy: `ProxySpec` as plain data; width, resolution and batch size are taken from it.
        names: of `evnas.proxy.scores.SCORES`.
        seed: of the parameters and of the images' crops.

    Raises:
        MeasurementError: a score is not finite, or not defined for this model.
    """
    device = data.train.images.device
    with seeded(seed, "init"):
        model = proxy_model(arch, proxy, classes=len(data.classes)).to(device)
    indices = torch.arange(min(proxy["batch_size"], len(data.train)))
    views = torch.Generator().manual_seed(seed)
    images, labels = training_batch(data, indices, resolution=proxy["resolution"], generator=views)
    found = {}
    for name in names:
        try:
            found[name] = SCORES[name](model, images, labels)
        except ValueError as e:  # such as naswot's, of a model without activations
            raise MeasurementError(str(e)) from None
        if not math.isfinite(found[name]):
            raise MeasurementError(f"{name} of this candidate is {found[name]}")
    return found
