"""What a model's token mixers do before any training: how far they reach, how much they keep.

Two figures per mixer. *Mixing entropy*: how widely one output token looks over the input tokens.
*Effective rank*: how many directions its output tokens take. A mixer that copies scores 0 in the
first, one that averages all tokens scores 0 in the second; `reach` wants both.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from evnas.blocks.inres import InResBlock
from evnas.blocks.stage import Stage
from evnas.proxy.scores.undisturbed import as_in_training

MIXER_NAMES = ("attn", "token_mixer", "mixer")
"""What models of timm call the module that mixes tokens."""


@dataclass(frozen=True, slots=True)
class TokenMixer:
    """A part of a model that mixes tokens."""

    path: str
    watched: nn.Module
    """Whose input is the mixer's."""
    run: Callable[..., Any]
    """Takes what `watched` was called with."""


@dataclass(frozen=True, slots=True)
class Mixing:
    """What one mixer does to the tokens of one batch."""

    path: str
    entropy: float
    """Of an output token's gradient over the L input tokens, over log L: 0 copies, 1 averages."""
    log_rank: float
    """Natural logarithm of the effective rank of the output tokens."""
    log_gain: float
    """Natural logarithm of the outputs' standard deviation over the inputs'."""


def token_mixers(model: nn.Module) -> list[TokenMixer]:
    """The mixers of a model, in its order.

    Of ours, the mixer of each block, and of an `inres` block its branch. Of any other model the
    modules called `attn`, `token_mixer` or `mixer`; where there are none, the convolutions that
    keep channels and size with a kernel over 1.
    """
    if any(isinstance(module, Stage) for module in model.modules()):
        return _of_stages(model)
    named = [
        TokenMixer(path, module, module)
        for path, module in model.named_modules()
        if path.rpartition(".")[2] in MIXER_NAMES and any(True for _ in module.parameters())
    ]
    outer = [m for m in named if not any(m.path.startswith(f"{n.path}.") for n in named)]
    return outer or [
        TokenMixer(path, module, module)
        for path, module in model.named_modules()
        if isinstance(module, nn.Conv2d) and _mixes(module)
    ]


def _of_stages(model: nn.Module) -> list[TokenMixer]:
    found = []
    for path, stage in model.named_modules():
        if not isinstance(stage, Stage):
            continue
        for i, block in enumerate(stage.blocks):
            place = f"{path}.blocks.{i}"
            if isinstance(block, InResBlock):
                found.append(TokenMixer(place, block, block.branch))
            elif isinstance(mixer := getattr(block, "mixer", None), nn.Module):
                found.append(TokenMixer(f"{place}.mixer", mixer, mixer))
    return found


def _mixes(conv: nn.Conv2d) -> bool:
    same = conv.in_channels == conv.out_channels and set(conv.stride) == {1}
    return same and max(conv.kernel_size) > 1


def mixing(model: nn.Module, images: Tensor) -> list[Mixing]:
    """Entropy and effective rank of each mixer of a model.

    Each image has an output token and signs over channels of its own, drawn from torch's global
    generator on the CPU: seed it for the same figures. They go to the images in the order of
    their sums, so that the order they come in does not matter. The model is run in training mode,
    and is left as it was.

    Args:
        images: (B, 3, H, W) float, normalised.

    Returns:
        A figure a mixer, means over the images. A mixer of a single token has entropy 0.

    Source: effective rank, O. Roy and M. Vetterli, EUSIPCO 2007, eq. 1 to 4, here of the
    eigenvalues of the tokens' covariance; the entropy is defined here.
    """
    mixers = token_mixers(model)
    images = images[images.flatten(1).double().sum(1).argsort()]
    inputs: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {}
    handles = [
        m.watched.register_forward_pre_hook(_keep(inputs, m.path), with_kwargs=True)
        for m in mixers
    ]
    with as_in_training(model):
        try:
            with torch.no_grad():
                model(images)
        finally:
            for handle in handles:
                handle.remove()
        return [_measured(m, *inputs.pop(m.path), len(images)) for m in mixers if m.path in inputs]


def _keep(inputs: dict[str, Any], path: str) -> Callable[..., None]:
    def keep(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        inputs.setdefault(path, (args, kwargs))

    return keep


def _measured(
    mixer: TokenMixer, args: tuple[Any, ...], kwargs: dict[str, Any], count: int
) -> Mixing:
    x = args[0].detach().requires_grad_()
    with torch.enable_grad():
        y = mixer.run(x, *args[1:], **kwargs)
        y = y[0] if isinstance(y, tuple) else y
        outputs = _tokens(mixer, y, count)
        length, channels = outputs.shape[1:]
        tokens = torch.randint(length, (count,))
        signs = (torch.randint(2, (count, channels)) * 2 - 1).to(outputs)
        looked_at = outputs[torch.arange(count), tokens.to(outputs.device)]
        (gradient,) = torch.autograd.grad((looked_at * signs).sum(), x)
    return Mixing(
        mixer.path,
        entropy_over_tokens(_tokens(mixer, gradient, count)),
        log_effective_rank(outputs.detach()),
        _log_gain(outputs.detach(), x.detach()),
    )


def _log_gain(outputs: Tensor, inputs: Tensor) -> float:
    spreads = [max(t.double().std().item(), 1e-12) for t in (outputs, inputs)]
    return math.log(spreads[0] / spreads[1])


def _tokens(mixer: TokenMixer, x: Tensor, count: int) -> Tensor:
    """A map (B, C, H, W), or the tokens (B * windows, ..., C) of images in turn, as (B, L, C)."""
    if x.ndim == 4 and not _channels_last(mixer.watched, x):
        return x.flatten(2).transpose(1, 2)
    return x.reshape(count, -1, x.shape[-1])


def _channels_last(module: nn.Module, x: Tensor) -> bool:
    """Whether the last axis of (B, ?, ?, ?) is the channels: that of the module's linears."""
    widths = {m.in_features for m in module.modules() if type(m) is nn.Linear}
    return x.shape[-1] in widths and x.shape[1] not in widths


def entropy_over_tokens(gradient: Tensor) -> float:
    """Entropy of how a gradient is spread over tokens, over log L; the mean over images.

    Args:
        gradient: (B, L, C); a token's share is the sum of its absolute values.

    Returns:
        0 where one token has all of it, 1 where all L have alike; 0 of a single token.
    """
    length = gradient.shape[1]
    if length == 1:
        return 0.0
    shares = gradient.abs().sum(2).double()
    shares = shares / shares.sum(1, keepdim=True)
    return float(torch.special.entr(shares).sum(1).mean()) / math.log(length)


def log_effective_rank(tokens: Tensor) -> float:
    """Entropy of the normalised eigenvalues of the tokens' covariance; the mean over images.

    Args:
        tokens: (B, L, C); centred here, within each image.

    Returns:
        log k of k equal eigenvalues; 0 where all tokens are alike.
    """
    centred = (tokens - tokens.mean(1, keepdim=True)).double()
    wide = centred.shape[1] > centred.shape[2]
    gram = centred.mT @ centred if wide else centred @ centred.mT
    values = torch.linalg.eigvalsh(gram).clamp(min=0)
    total = values.sum(-1, keepdim=True)
    shares = torch.where(total > 0, values / total.clamp(min=1e-300), 0.0)
    return float(torch.special.entr(shares).sum(-1).mean())


@dataclass(frozen=True, slots=True)
class MixerScore:
    """A score that is made from the mixings of a model; random draws as in `mixing`."""

    of: Callable[[list[Mixing]], float]
    """Of at least one."""

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor) -> float:
        """The score of a model. Raises ValueError where it has no mixer."""
        return self.of(at_least_one(mixing(model, images)))


def at_least_one(found: list[Mixing]) -> list[Mixing]:
    """The same. Raises ValueError where there is none."""
    if not found:
        raise ValueError("a score of mixers needs a model with one, this has none")
    return found


REACH = MixerScore(lambda found: math.fsum(m.entropy * m.log_rank for m in found))
"""Sum over mixers of mixing entropy times log effective rank."""
EFFECTIVE_RANK = MixerScore(lambda found: math.fsum(m.log_rank for m in found))
"""Sum over mixers of the log effective rank."""
MIXING_ENTROPY = MixerScore(lambda found: math.fsum(m.entropy for m in found) / len(found))
"""Mean over mixers of the mixing entropy."""
MIXER_GAIN = MixerScore(lambda found: math.fsum(m.log_gain for m in found) / len(found))
"""Mean over mixers of the log gain."""
MIXERS = MixerScore(lambda found: float(len(found)))
"""How many there are."""
