"""What a rule is: it makes the inference form of one module out of the module, used up."""

from collections.abc import Callable, Mapping

from torch import nn

Convert = Callable[[nn.Module], nn.Module]
Rule = Callable[[nn.Module, Convert], nn.Module]


def converter(rules: Mapping[type[nn.Module], Rule]) -> Convert:
    """Convert by the rule for a module's own type; what has none keeps its forward, and its
    children are converted."""

    def convert(module: nn.Module) -> nn.Module:
        return rules.get(type(module), convert_children)(module, convert)

    return convert


def convert_children(module: nn.Module, convert: Convert) -> nn.Module:
    """Convert every child in place."""
    for name, child in module.named_children():
        setattr(module, name, convert(child))
    return module


def replace_child(module: nn.Module, name: str, child: nn.Module) -> None:
    """Set a child to a module of another type than its class declares."""
    setattr(module, name, child)
