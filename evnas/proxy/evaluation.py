"""Held-out top-1: which images a model gets right, as bits that can be compared later."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from evnas.proxy.augment import evaluation_batch
from evnas.proxy.data import ProxyData
from evnas.sweep.parts import ProxyPrecision

EVALUATION_BATCH = 100


def right_answers(
    model: nn.Module,
    data: ProxyData,
    *,
    images: int,
    resolution: int,
    precision: ProxyPrecision = "float32",
    device_lock: Callable[[], AbstractContextManager[object]],
) -> Tensor | None:
    """Whether each of the first `images` held-out images is named right: (images,) bool, CPU.

    None when a logit is not finite. The model is left in evaluation mode; `device_lock` is
    entered for one batch at a time.
    """
    model.eval()
    right: list[Tensor] = []
    for start in range(0, images, EVALUATION_BATCH):
        stop = min(start + EVALUATION_BATCH, images)
        with device_lock(), torch.inference_mode():
            batch = evaluation_batch(data, start, stop, resolution=resolution)
            with autocast(batch.device, precision):
                logits = model(batch)
            if not logits.isfinite().all():
                return None
            right.append((logits.argmax(1) == data.held_out.labels[start:stop]).cpu())
    return torch.cat(right)


def autocast(device: torch.device, precision: ProxyPrecision) -> torch.autocast:
    """bfloat16 where asked for, otherwise nothing."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def to_hex(right: Tensor) -> str:
    """Bits (N,) as hexadecimal digits, first image highest, padded with zeros to whole digits."""
    bits = "".join("1" if hit else "0" for hit in right.tolist())
    bits += "0" * (-len(bits) % 4)
    return f"{int(bits, 2):0{len(bits) // 4}x}" if bits else ""
