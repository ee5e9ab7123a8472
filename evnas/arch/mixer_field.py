"""The field `mixer` of a stage: its spec is looked up by kind when it is validated."""

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
        """Validate by the kind's own spec, and write out all of its fields."""
        return core_schema.no_info_plain_validator_function(
            _validated,
            serialization=core_schema.plain_serializer_function_ser_schema(
                _plain, info_arg=True, return_schema=core_schema.any_schema()
            ),
        )

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
    # by the spec's own validator, and a dict first: a search does this for each of its draws
    if isinstance(value, dict | Mapping):
        kind = value.get("kind")
        if not isinstance(kind, str) or kind not in MIXERS:
            raise ValueError(unknown_kind(kind))
        spec: MixerSpec = MIXERS.get(kind).spec.__pydantic_validator__.validate_python(value)
        return spec
    if isinstance(value, MixerSpec):
        return value
    raise PydanticKnownError("model_attributes_type")


def _plain(spec: MixerSpec, info: core_schema.SerializationInfo) -> dict[str, Any]:
    raw: dict[str, Any] = spec.__pydantic_serializer__.to_python(spec, mode=info.mode)
    return raw
