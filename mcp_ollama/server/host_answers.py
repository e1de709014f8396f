"""Answers that name their host: a label where one host answered, rows and errors of all where all were asked."""

from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json

from mcp_ollama.models.hosts import HostAnswers
from mcp_ollama.server.host_argument import HOST
from mcp_ollama.server.results import MAX_DEFAULT_TEXT
from mcp_ollama.tools.spec import ToolSpec

ADVICE = {
    "MCP_OLLAMA_BASE_URL": "its url where the hosts are named",
    "MCP_OLLAMA_API_KEY": "its token_env",
    "MCP_OLLAMA_HEADERS": "its headers_env",
}
"""The settings of a single server that sentences advise to set, and what they are for one of several hosts."""

_SENTENCES = ("error", "detail", "fix")


def adapt_advice(sentence: str) -> str:
    """Return a sentence with the keys of a host instead of the settings of a single server."""
    for variable, key in ADVICE.items():
        sentence = sentence.replace(variable, key)
    return sentence


def label_answer(answer: BaseModel, host: str) -> dict[str, Any]:
    """Return the answer of one of several hosts with its name."""
    data = _dump(answer)
    if "next_step" in data:
        data["next_step"] += f' Pass host="{host}" there.'
    return {HOST: host, **data}


def join_answers(spec: ToolSpec, answers: HostAnswers[Any]) -> dict[str, Any]:
    """Return the answers of all hosts as one.

    Args:
        spec: The tool. The rows in its field `rows` are joined, in the order of the hosts, each with its `host`; all
            else is in `hosts`, one object per host.
        answers: By host; a host without one is in `errors`.
    """
    each = {host: _dump(answer) for host, answer in answers.answers.items()}
    joined: dict[str, Any] = {}
    if spec.rows:
        joined[spec.rows] = [{HOST: host, **row} for host, data in each.items() for row in data.pop(spec.rows)]
    joined["hosts"] = [{HOST: host, **data} for host, data in each.items()]
    if answers.errors:
        joined["errors"] = [{HOST: host, "error": adapt_advice(error)} for host, error in answers.errors.items()]
    if answers.next_offset is not None:
        joined["next_offset"] = answers.next_offset
    if not spec.rows and len(to_json(joined)) > MAX_DEFAULT_TEXT:
        _keep_problems(joined["hosts"])
    return joined


def _dump(answer: BaseModel) -> dict[str, Any]:
    data = answer.model_dump(mode="json", exclude_none=True)
    for check in data.get("checks", ()):
        check |= {name: adapt_advice(check[name]) for name in _SENTENCES if name in check}
    return data


def _keep_problems(reports: list[dict[str, Any]]) -> None:
    """Remove the checks of reports that need no attention."""
    for report in reports:
        report["checks"] = [check for check in report["checks"] if check["status"] not in ("ok", "unknown")]
