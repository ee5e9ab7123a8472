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
        super().__init__("mixer", builtin)

    def _load(self, name: str) -> Mixer:
        """Refuse what another package registered and is no mixer of that kind."""
        mixer = super()._load(name)
        _refuse_misnamed(name, mixer)
        return mixer

    def add(self, name: str, thing: Mixer) -> Mixer:
        """Register a mixer of one's own.

        Raises:
            PluginError: the name is taken, or it is not the mixer's `kind`.
        """
        _refuse_misnamed(name, thing)
        return super().add(name, thing)

    def with_hidden_states(self) -> tuple[str, ...]:
        """Kinds that compress the tokens into states, (B, C, N)."""
        return tuple(mixer.kind for mixer in self.usable().values() if mixer.hidden_states)


def _refuse_misnamed(name: str, mixer: object) -> None:
    if not isinstance(mixer, Mixer):
        raise PluginError(f"mixer {name!r} must be an evnas.mixers.Mixer, got {mixer!r}")
    if mixer.kind != name:
        raise PluginError(f"mixer {name!r} has the kind {mixer.kind!r}; the two must be equal")
