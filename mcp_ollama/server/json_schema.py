"""JSON schemas for a model's context: all tools together have 22 KB there."""

from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

_JSON_TYPES = (
    (str, "string"),
    (bool, "boolean"),
    (int, "integer"),
    (float, "number"),
    (list, "array"),
    (tuple, "array"),
)


class CompactJsonSchema(GenerateJsonSchema):
    """Generator of schemas without titles, and without null: an absent argument is left out."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        """Return False: the name of a field says as much."""
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """Return the schema of a model without its title, the name of a class."""
        compact = super().model_schema(schema)
        compact.pop("title", None)
        return compact

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """Return the schema of `X | None` as that of X."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Return the schema without a default of null."""
        compact = super().default_schema(schema)
        if compact.get("default", ...) is None:
            del compact["default"]
        return compact


def summary_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of a result that names its fields and their types, and nothing below them."""
    fields = model.model_fields
    return {
        "type": "object",
        "properties": {name: {"type": _json_type(field.annotation)} for name, field in fields.items()},
    }


def _json_type(annotation: Any) -> str:
    if NoneType in get_args(annotation):
        # Results use only `X | None`, and an absent field is left out.
        annotation = next(one for one in get_args(annotation) if one is not NoneType)
    if get_origin(annotation) is Literal:
        return "string"
    kind = get_origin(annotation) or annotation
    return next((name for base, name in _JSON_TYPES if issubclass(kind, base)), "object")
