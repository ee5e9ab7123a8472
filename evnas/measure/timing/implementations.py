"""Which implementation of each state-space operator a model runs on a device."""

from contextlib import nullcontext

import torch
from torch import nn

from evnas.kernels.dispatch import noted
from evnas.measure.runtimes.torch_eager import autocast
from evnas.measure.target import Target


def implementations(
    model: nn.Module, images: torch.Tensor, target: Target | None = None
) -> dict[str, str]:
    """Operator -> implementation, of those that one call on `images` takes.

    Where dispatch chooses differently for maps of different size, both stand: `cpu+reference`.

    Args:
        model: takes `images`, in eager mode; run as for evaluation, and left in its mode.
        images: (B, 3, H, W); one of them is run, for its maps' sizes.
        target: how the calls run; None means a forward in eager mode.
    """
    training = model.training
    region = (
        nullcontext()
        if target is None
        else autocast(
            images, target, mixed=target.form == "plain" and target.precision != "float32"
        )
    )
    try:
        model.eval()  # one image is too few for batch norms that learn
        with torch.inference_mode(), region, noted() as questions:
            model(images[:1])
    finally:
        model.train(training)
    found: dict[str, set[str]] = {}
    for question in questions:
        work = question.work._replace(elements=question.work.elements * len(images))
        if target is not None:
            whole = work.whole or target.runtime == "compile"
            work = work._replace(training=target.mode == "training", whole=whole)
        ran = question._replace(work=work).answer(images.device)
        found.setdefault(question.op_name, set()).add(ran)
    return {name: "+".join(sorted(ran)) for name, ran in sorted(found.items())}
