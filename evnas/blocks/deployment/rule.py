"""What a rule is, which rules a model goes by, and what they may be used on."""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field

from torch import Tensor, nn

from evnas.blocks.deployment.shapes import is_standard
from evnas.mixers import MIXERS
from evnas.registry import place_of
from evnas.tables import BLOCKS

Convert = Callable[[nn.Module], nn.Module]
Rule = Callable[[nn.Module, Convert], nn.Module]
"""Makes the inference form of one module out of the module, used up."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """What deployment may do with a mixer, or a block."""

    rules: Mapping[type[nn.Module], Rule] = field(default_factory=dict)
    """For its class, and classes of its own inside. `convert_children` is the rule of a
    module whose forward calls its children and reads nothing else of them."""
    channels_last: Mapping[type[nn.Module], Rule] = field(default_factory=dict)
    """In place of those, for maps in channels-last memory format."""
    entry: str = ""
    """A mixer's 1x1 convolution that alone reads its input, so it may take in the norm before."""
    kept_precise: Mapping[type[nn.Module], tuple[str, ...]] = field(default_factory=dict)
    """Of deployed modules: parameters that a `dtype` leaves alone; `*` for all."""


class RowMixer(nn.Module):
    """The inference form of a mixer whose last product can add its result to a map.

    Abstract: such a mixer's `Deployment` says how.
    """

    def added_to(self, total: Tensor, x: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        """total + share * y, and the hidden states; `total` may hold the sum afterwards.

        Args:
            total: (B, H, W, C), read by nobody else.
            x: (B, H, W, C).
            share: (C,).
        """
        raise NotImplementedError


def deployment_of(module: nn.Module) -> Deployment | None:
    """Of a mixer or block exactly as it was registered; None of any other module, and where it
    has none."""
    thing = MIXERS.of_module(type(module)) or BLOCKS.of_module(type(module))
    if thing is None or thing.deployment is None:
        return None
    found: Deployment = place_of(thing.deployment)
    return found


def deployments_in(model: nn.Module) -> tuple[Deployment, ...]:
    """Of the mixers and blocks of a model, each once."""
    kinds = {type(module): module for module in model.modules()}
    found = (deployment_of(module) for module in kinds.values())
    return tuple({id(d): d for d in found if d is not None}.values())


def converter(
    rules: Mapping[type[nn.Module], Rule], leaves: Set[type[nn.Module]] = frozenset()
) -> Convert:
    """Convert by the rule for a module's own type; what has none is kept as it is.

    A rule reads children of a module and drops them, so it is used where all of them are of types
    known here, with no hooks and no forward of their own. Elsewhere the module is kept whole. The
    mixer of a block is converted by itself, so it may be of any type.

    Args:
        rules: by exact type.
        leaves: types without a rule that rules know how to read.
    """
    known = frozenset(rules) | leaves

    def convert(module: nn.Module) -> nn.Module:
        rule = rules.get(type(module))
        if rule is None or "forward" in vars(module):
            return module
        if rule is not convert_children and not _is_as_known(module, known):
            return module
        return rule(module, convert)

    return convert


def _is_as_known(module: nn.Module, known: Set[type[nn.Module]]) -> bool:
    children = [child for name, child in module.named_children() if name != "mixer"]
    return is_plain(module, known) and all(_is_as_known(child, known) for child in children)


def is_plain(module: nn.Module, known: Set[type[nn.Module]]) -> bool:
    """Whether a module's forward is that of its class, a known one, in a form that rules know, and
    nothing is hooked on."""
    hooks = module._forward_hooks or module._forward_pre_hooks
    ours = type(module) in known and "forward" not in vars(module)
    return ours and not hooks and is_standard(module)


def convert_children(module: nn.Module, convert: Convert) -> nn.Module:
    """Convert every child in place."""
    for name, child in module.named_children():
        setattr(module, name, convert(child))
    return module


def replace_child(module: nn.Module, name: str, child: nn.Module) -> None:
    """Set a child to a module of another type than its class declares."""
    setattr(module, name, child)
