"""A truth value is no number: `workers: yes` is refused, and not taken for 1."""

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationInfo, field_validator
from pydantic_core import PydanticKnownError


class NumbersAreNumbers(BaseModel):
    """Fields that hold numbers take no true or false, which pydantic would make 1 and 0 of."""

    @field_validator("*", mode="before")
    @classmethod
    def _is_no_truth_value(cls, value: Any, info: ValidationInfo) -> Any:
        found = value if isinstance(value, list | tuple) else (value,)
        if any(isinstance(one, bool) for one in found) and info.field_name is not None:
            kinds = set(_leaves(cls.model_fields[info.field_name].annotation))
            if kinds & {int, float} and not kinds & {bool, Any}:
                raise PydanticKnownError("int_type" if int in kinds else "float_type")
        return value


def _leaves(annotation: Any) -> Iterator[Any]:
    inner = get_args(annotation)
    if not inner:
        yield annotation
    for one in inner:
        yield from _leaves(one)
