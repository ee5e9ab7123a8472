"""What is registered of a mixer, and the table of them. Nothing here imports torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evnas.mixers.spec import MixerSpec
from evnas.registry import ModuleRegistry, PluginError


@dataclass(frozen=True, slots=True)
class Mixer:
    """A mixer: what it can be set to, and where to find what needs torch.

    A place is `package.module:attribute`, imported on first use, or the thing itself.
    """

    spec: type[MixerSpec]
    """Its fields; the default of `kind` names it."""
    module: str | type[Any]
    """Place of its nn.Module class, (B, C, H, W) -> the same shape on any H x W. The constructor
    takes `dim`, then by keyword the fields of the spec but `kind`, then `norms` and `impl`."""
    hidden_states: bool = False
    """The forward returns the states of (B, C_h, N) too, and the module has C_h as its
    `hidden_width`; `head.fusion: hidden` takes it then."""
    deployment: Any = None
    """Place of its `evnas.blocks.deployment.rule.Deployment`. Without one the deployed model
    keeps the module just as it is."""
    prices: Any = None
    """Place of a mapping, convention -> rules (`evnas.measure.counting.pricing.Rule`): what the
    convention
    counts of operators within the mixer, where that is not what it counts anywhere."""

    @property
    def kind(self) -> str:
        """Its name in architectures."""
        name: str = self.spec.model_fields["kind"].default
        return name

    def fields(self) -> dict[str, Any]:
        """Field name -> default, `kind` included."""
        return {name: field.default for name, field in self.spec.model_fields.items()}


class MixerRegistry(ModuleRegistry[Mixer]):
    """The mixers by kind."""

    def __init__(self, builtin: Mapping[str, str]) -> None:
        super().__init__("mixer", builtin, of="evnas.mixers.mixer:Mixer")

    def _fitting(self, name: str, thing: Any) -> Mixer:
        """Refuse a mixer of another kind than its name."""
        mixer = super()._fitting(name, thing)
        if mixer.kind != name:
            raise PluginError(f"mixer {name!r} has the kind {mixer.kind!r}; the two must be equal")
        return mixer

    def with_hidden_states(self) -> tuple[str, ...]:
        """Kinds that compress the tokens into states, (B, C, N)."""
        return tuple(mixer.kind for mixer in self.usable().values() if mixer.hidden_states)
