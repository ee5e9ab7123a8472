"""What the settings of every mixer have in common."""

from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict


class MixerSpec(BaseModel):
    """What every mixer has: it maps (B, C, H, W) to the same shape, on any H x W."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    if (
        TYPE_CHECKING
    ):  # each mixer has it, as `kind: Literal["pool"] = "pool"`, at a place of its own
        kind: str

    def fitted(self, dim: int) -> Self:
        """Canonical for C = `dim`. Raises ValueError when it cannot stand at that width."""
        return self

    def replaced(self, name: str, value: object) -> Self:
        """A copy with one field set."""
        return self.model_copy(update={name: value})


def inner_width(ratio: float, dim: int, name: str) -> int:
    """ratio * dim as the whole number it must be."""
    width = ratio * dim
    if abs(width - round(width)) > 1e-9:
        raise ValueError(f"{name} * dim must be a whole number, got {ratio} * {dim} = {width}")
    return round(width)


def must_divide(heads: int, width: int, name: str) -> None:
    """Raise ValueError where heads do not split a width evenly."""
    if width % heads:
        raise ValueError(f"heads must divide {name}, got {heads} heads and {name} {width}")
