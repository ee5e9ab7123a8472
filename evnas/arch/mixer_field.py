"""The field `mixer` of a stage: its spec is looked up by kind when it is validated."""

import functools
from collections.abc import Mapping
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticKnownError, core_schema

from evnas.errors import nearest
from evnas.mixers import MIXERS, MixerSpec


class LookedUpByKind:
    """Annotates a `MixerSpec`: any registered mixer, also one that is registered later."""

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Validate by the kind's own spec; all of its fields are written out, as it is of no
        type that is known here."""
        return core_schema.no_info_plain_validator_function(_validated)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """One of the mixers that are known now."""
        choices: dict[Any, core_schema.CoreSchema] = {
            name: mixer.spec.__pydantic_core_schema__ for name, mixer in MIXERS.usable().items()
        }
        return handler(core_schema.tagged_union_schema(choices, discriminator="kind"))


def unknown_kind(kind: object) -> str:
    """What to say of a kind that nobody registered."""
    known = MIXERS.names()
    return f"mixer kind must be one of {known}, got {kind!r}{nearest(str(kind), known)}"


def _validated(value: Any) -> MixerSpec:
    if isinstance(value, (dict, Mapping)):  # a dict first: a search asks this of all its draws
        kind = value.get("kind")
        if not isinstance(kind, str) or kind not in MIXERS:
            raise ValueError(unknown_kind(kind))
        spec = MIXERS.get(kind).spec
        try:
            return _known(spec, tuple(value), *value.values())
        except TypeError:  # a list or a mapping among the values
            return _of_plain(spec, value)
    if isinstance(value, MixerSpec):
        return value
    raise PydanticKnownError("model_attributes_type")


@functools.lru_cache(maxsize=4096, typed=True)
def _known(spec: type[MixerSpec], names: tuple[str, ...], *values: Any) -> MixerSpec:
    """A mixer of these settings. A search draws the same ones over and over, and they are frozen;
    `typed`, since 1, 1.0 and True are equal and need not mean the same."""
    return _of_plain(spec, dict(zip(names, values, strict=True)))


def _of_plain(spec: type[MixerSpec], value: Any) -> MixerSpec:
    found: MixerSpec = spec.__pydantic_validator__.validate_python(value)
    return found
