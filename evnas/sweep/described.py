"""The JSON schema of a model with what its fields' docstrings say, so that editors teach the file.

Docstrings are read from the source when a schema is asked for, and not by each start of a command.
"""

import ast
import inspect
import itertools
import textwrap
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema


class DescribedSchema(GenerateJsonSchema):
    """Adds a `description` to each property: the string below its field."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """As pydantic has it, less the titles that only repeat a key's name."""
        found = super().model_schema(schema)
        texts = field_docstrings(schema["cls"])
        for name, value in found.get("properties", {}).items():
            value.pop("title", None)
            if name in texts:
                value["description"] = texts[name]
        return found


def field_docstrings(model: type[BaseModel]) -> Mapping[str, str]:
    """Field -> the docstring below it, in one line, of a class and those that it is made from."""
    found: dict[str, str] = {}
    for of in reversed(model.__mro__):
        if issubclass(of, BaseModel) and of is not BaseModel:
            found |= _own(of)
    return found


def _own(of: type[Any]) -> dict[str, str]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(of)))
    except (OSError, TypeError):  # made at run time, by a package that keeps no source
        return {}
    (body,) = (node.body for node in tree.body if isinstance(node, ast.ClassDef))
    return {
        field.target.id: " ".join(below.value.value.split())
        for field, below in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    }
