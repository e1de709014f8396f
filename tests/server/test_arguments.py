"""Arguments of clients against the parameters of a function."""

from typing import Annotated, Any

import pytest
from pydantic import Field, Strict

from mcp_ollama.server.arguments import InvalidArgumentsError, Parameters

ADDED = ("_meta", "toolCallId", "tool_call_id", "sessionId", "session_id", "action", "chatInput", "random_string")
"""Arguments that clients are known to add."""


def sample(
    name: str,
    flag: bool = False,
    amount: Annotated[float | None, Field(description="How much.")] = None,
    words: Annotated[list[str] | None, Field(description="Some words.")] = None,
    targets: Annotated[list[str] | None, Strict()] = None,
    options: dict[str, Any] | None = None,
) -> None:
    """Do nothing."""


def with_action(action: str = "") -> None:
    """Do nothing."""


PARAMETERS = Parameters(sample)


def test_schema_names_each_parameter_without_titles_and_null() -> None:
    schema = PARAMETERS.json_schema
    assert schema == {
        "type": "object",
        "additionalProperties": False,
        "required": ["name"],
        "properties": {
            "name": {"type": "string"},
            "flag": {"type": "boolean", "default": False},
            "amount": {"type": "number", "description": "How much."},
            "words": {"type": "array", "items": {"type": "string"}, "description": "Some words."},
            "targets": {"type": "array", "items": {"type": "string"}},
            "options": {"type": "object", "additionalProperties": True},
        },
    }


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ({"name": "a"}, {"name": "a"}),
        ({"name": "a", "flag": None, "words": None}, {"name": "a"}),
        ({"name": "a", "flag": "", "amount": "", "words": "", "targets": " ", "options": ""}, {"name": "a"}),
        ({"name": ""}, {"name": ""}),
        ({"name": "a", "flag": True, "amount": "2.5"}, {"name": "a", "flag": True, "amount": 2.5}),
        ({"name": "[1]", "words": '["b", "c"]'}, {"name": "[1]", "words": ["b", "c"]}),
        ({"name": "a", "words": "b"}, {"name": "a", "words": ["b"]}),
        ({"name": "a", "words": "[b"}, {"name": "a", "words": ["[b"]}),
        ({"name": "a", "options": ' {"x": 1}'}, {"name": "a", "options": {"x": 1}}),
        ({"name": "a", "targets": ["b"]}, {"name": "a", "targets": ["b"]}),
        ({"name": "a"} | dict.fromkeys(ADDED, "x"), {"name": "a"}),
    ],
    ids=repr,
)
def test_arguments_that_fit_are_taken(given: dict[str, Any], taken: dict[str, Any]) -> None:
    assert PARAMETERS.validate(given) == taken


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "sample was not called: the argument 'name' is missing."),
        ({"name": None}, "sample was not called: name should be a valid string."),
        ({"name": "a", "flag": "yes"}, "sample was not called: flag should be a valid boolean."),
        ({"name": "a", "flag": 1}, "sample was not called: flag should be a valid boolean."),
        ({"name": "a", "amount": True}, "sample was not called: amount should be a number, not true or false."),
        ({"name": "a", "targets": "b"}, "sample was not called: targets should be a valid list."),
        ({"name": "a", "options": "x"}, "sample was not called: options should be a valid dictionary."),
        (
            {"name": "a", "sessionid": "x"},
            "sample was not called: there is no argument 'sessionid' (there is: name, flag, amount, words, ",
        ),
    ],
    ids=repr,
)
def test_arguments_that_do_not_fit_are_explained(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidArgumentsError) as refused:
        PARAMETERS.validate(given)
    assert str(refused.value).startswith(sentence)


def test_client_argument_that_a_function_has_is_passed_on() -> None:
    assert Parameters(with_action).validate({"action": "x", "sessionId": "y"}) == {"action": "x"}
