"""Answers that name their host: a label where one host answered, rows and errors of all where all were asked."""

from typing import Any, cast

from pydantic import BaseModel
from pydantic_core import to_json

from mcp_ollama.models.hosts import HostAnswers, NamedHosts
from mcp_ollama.server.host_argument import HOST
from mcp_ollama.server.results import MAX_DEFAULT_TEXT
from mcp_ollama.tools.spec import ToolSpec

_SENTENCES = frozenset(("detail", "error", "fix", "next_step", "notes", "reason", "warnings"))
"""The fields with sentences of this server; all other texts come from models and servers."""


def label_answer(answer: BaseModel, named: NamedHosts, host: str) -> dict[str, Any]:
    """Return the answer of a named host; with its name where there are several."""
    data = _dump(answer, named, host)
    return {HOST: host, **data} if named.are_several else data


def join_answers(spec: ToolSpec, named: NamedHosts, answers: HostAnswers[Any]) -> dict[str, Any]:
    """Return the answers of all hosts as one.

    Args:
        spec: The tool. The rows in its field `rows` are joined, in the order of the hosts, each with its `host`; all
            else is in `hosts`, one object per host.
        named: The hosts.
        answers: By host; a host without one is in `errors`.
    """
    each = {host: _dump(answer, named, host) for host, answer in answers.answers.items()}
    joined: dict[str, Any] = {}
    if spec.rows:
        joined[spec.rows] = [{HOST: host, **row} for host, data in each.items() for row in data.pop(spec.rows)]
    joined["hosts"] = [{HOST: host, **data} for host, data in each.items()]
    if answers.errors:
        joined["errors"] = [{HOST: host, "error": named.adapt_advice(error)} for host, error in answers.errors.items()]
    if answers.next_offset is not None:
        joined["next_offset"] = answers.next_offset
    if not spec.rows and len(to_json(joined)) > MAX_DEFAULT_TEXT:
        _keep_problems(joined["hosts"])
    return joined


def _dump(answer: BaseModel, named: NamedHosts, host: str) -> dict[str, Any]:
    data = adapt(answer.model_dump(mode="json", exclude_none=True), named)
    if named.are_several and "next_step" in data:
        data["next_step"] += f' Pass host="{host}" there.'
    return data


def adapt(value: Any, named: NamedHosts, *, is_sentence: bool = False) -> Any:
    """Return JSON with the advice in its sentences adapted to named hosts."""
    match value:
        case dict():
            fields = cast("dict[str, Any]", value)
            return {name: adapt(one, named, is_sentence=name in _SENTENCES) for name, one in fields.items()}
        case list():
            return [adapt(one, named, is_sentence=is_sentence) for one in cast("list[Any]", value)]
        case str() if is_sentence:
            return named.adapt_advice(value)
        case _:
            return value


def _keep_problems(reports: list[dict[str, Any]]) -> None:
    """Remove the checks of reports that need no attention."""
    for report in reports:
        report["checks"] = [check for check in report["checks"] if check["status"] not in ("ok", "unknown")]
