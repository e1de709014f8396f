"""Parameters of a function as a JSON schema, and arguments of a client checked against them."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from inspect import Parameter, signature
from typing import Annotated, Any, cast, get_args, get_origin, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Strict, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_core import from_json

from mcp_ollama.server.json_schema import CompactJsonSchema

_MAX_PROBLEMS = 5

CLIENT_ARGUMENTS = frozenset(
    ("_meta", "toolCallId", "tool_call_id", "sessionId", "session_id", "action", "chatInput", "random_string")
)
"""Arguments that clients add by themselves: n8n, LangChain and others. They are dropped where a tool has none of the
name; any other unknown argument is an error, since a model may have meant something by it."""
_CONTEXT_ARGUMENTS = frozenset(
    ("context", "context_length", "context_size", "context_window", "ctx", "n_ctx", "num_ctx")
)
_CONTEXT_HINT = " For another context length: create_model with the parameter num_ctx, then use that model."


class _Arguments(BaseModel):
    # Built when a tool is first listed or called, since that takes 1 ms per tool of the server's start.
    model_config = ConfigDict(extra="forbid", defer_build=True)


class InvalidArgumentsError(ValueError):
    """Arguments that do not fit the parameters; the text is a sentence for the model."""


class Parameters:
    """The parameters of a function that clients fill in.

    Args:
        function: Its annotations are types that pydantic knows, with `Field` for descriptions and limits.
        skip: Number of leading parameters that the server fills in.
    """

    def __init__(self, function: Callable[..., object], *, skip: int = 0) -> None:
        self._function = function
        self._skip = skip

    @cached_property
    def json_schema(self) -> dict[str, Any]:
        """The schema of the arguments, an object without further properties."""
        schema = self._model.model_json_schema(schema_generator=CompactJsonSchema)
        schema.setdefault("properties", {})
        return schema

    def validate(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments as the function takes them, without those that are left out.

        Raises:
            InvalidArgumentsError: Some are unknown, missing or malformed.
        """
        fields = self._model.model_fields
        given = {
            name: _decoded(value, fields[name]) if name in fields else value
            for name, value in arguments.items()
            if not _is_absent(name, value, fields)
        }
        try:
            checked = self._model.model_validate(given)
        except ValidationError as error:
            raise InvalidArgumentsError(_explain(error, self._function.__name__, list(fields))) from error
        return {name: getattr(checked, name) for name in checked.model_fields_set}

    @cached_property
    def _model(self) -> type[BaseModel]:
        hints = get_type_hints(self._function, include_extras=True)
        parameters = list(signature(self._function).parameters.values())[self._skip :]
        fields = {
            one.name: (_exact(hints[one.name]), ... if one.default is Parameter.empty else one.default)
            for one in parameters
        }
        return create_model(self._function.__name__, __base__=_Arguments, **cast("dict[str, Any]", fields))


def _exact(hint: Any) -> Any:
    """Return a type that keeps booleans and numbers apart: pydantic takes "yes" and 1 for true, and true for 1."""
    if _is(hint, bool):
        return Annotated[hint, Strict()]
    # A size has a validator of its own, which asks for a text.
    is_number = (_is(hint, int) or _is(hint, float)) and not any(
        isinstance(one, BeforeValidator) for one in get_args(hint)
    )
    return Annotated[hint, BeforeValidator(_refuse_boolean)] if is_number else hint


def _refuse_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("should be a number, not true or false")  # noqa: TRY004 - pydantic expects a ValueError
    return value


def _is(hint: Any, kind: type) -> bool:
    """Return whether a type is this one, with or without metadata, None and parameters."""
    base = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return any((get_origin(one) or one) is kind for one in (base, *get_args(base)))


def _is_absent(name: str, value: Any, fields: Mapping[str, FieldInfo]) -> bool:
    """Return whether an argument counts as left out."""
    if name not in fields:
        return name in CLIENT_ARGUMENTS
    # Clients send null for what they leave out; a required argument stays, and is refused.
    return value is None and not fields[name].is_required()


def _decoded(value: Any, field: FieldInfo) -> Any:
    """Return a list or object for a text, where the parameter takes one.

    Claude Desktop sends them as texts of JSON; models send the only item of a list without the list. `Strict` marks
    a list that has to be one.
    """
    if field.annotation is str or not isinstance(value, str):
        return value
    if value.lstrip()[:1] in ("[", "{"):
        with suppress(ValueError):
            return from_json(value)
    is_strict = any(isinstance(one, Strict) for one in field.metadata)
    return [value] if _is(field.annotation, list) and not is_strict else value


def _explain(error: ValidationError, function: str, known: list[str]) -> str:
    """Return one line about the arguments that do not fit, and their possible values."""
    problems: list[str] = []
    unknown: set[str] = set()
    for problem in error.errors(include_url=False, include_input=False, include_context=False)[:_MAX_PROBLEMS]:
        where = ".".join(str(part)[:60] for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            unknown.add(where)
            problems.append(f"there is no argument {where!r}")
        elif problem["type"] == "missing":
            problems.append(f"the argument {where!r} is missing")
        else:
            text = problem["msg"].removeprefix("Input ").removeprefix("Value error, ").rstrip(".")
            problems.append(f"{where} {text[:1].lower()}{text[1:]}")
    hint = f" (there is: {', '.join(known) or 'none'})" if unknown else ""
    context = _CONTEXT_HINT if unknown & _CONTEXT_ARGUMENTS else ""
    return f"{function} was not called: {'; '.join(problems)}{hint}.{context}"
