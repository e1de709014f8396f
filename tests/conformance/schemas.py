"""The published JSON schemas of the protocol, where `make conformance` has installed them (from 2025-03-26 on)."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema.protocols import Validator
from jsonschema.validators import validator_for

FOLDER = Path(__file__).parent / "node_modules/.schemas"

_RESULTS = {
    "initialize": "InitializeResult",
    "server/discover": "DiscoverResult",
    "ping": "EmptyResult",
    "tools/list": "ListToolsResult",
    "tools/call": "CallToolResult",
    "resources/list": "ListResourcesResult",
    "resources/templates/list": "ListResourceTemplatesResult",
    "resources/read": "ReadResourceResult",
    "prompts/list": "ListPromptsResult",
    "prompts/get": "GetPromptResult",
    "completion/complete": "CompleteResult",
    "subscriptions/listen": "SubscriptionsListenResult",
}


def check(frame: dict[str, Any], revisions: tuple[str, ...], method: str = "") -> None:
    """Hold a message of the server against the schema of its revision; of several, one has to fit.

    Args:
        frame: The message.
        revisions: Which it may belong to.
        method: What it answers.
    """
    known = [revision for revision in dict.fromkeys(revisions) if (FOLDER / f"{revision}.json").is_file()]
    complaints = [_complaint(frame, revision, method) for revision in known]
    assert not complaints or None in complaints, f"{complaints}\n{json.dumps(frame)[:2000]}"


def _complaint(frame: dict[str, Any], revision: str, method: str) -> str | None:
    name, value = _part(frame, revision, method)
    error = next(_validator(revision, name).iter_errors(value), None)  # pyright: ignore[reportUnknownMemberType]
    return f"{revision} {name}: {error.json_path} {error.message[:500]}" if error else None


def _part(frame: dict[str, Any], revision: str, method: str) -> tuple[str, Any]:
    """Return the most specific part of a message, and the name of its schema."""
    if "method" in frame:
        return ("ServerRequest" if "id" in frame else "ServerNotification"), frame
    if "error" in frame:
        # JSON-RPC wants a null where the schema wants nothing.
        answer = {key: value for key, value in frame.items() if value is not None}
        return ("JSONRPCErrorResponse" if revision >= "2025-11-25" else "JSONRPCError"), answer
    asks = frame["result"].get("resultType") == "input_required"
    return ("InputRequiredResult" if asks else _RESULTS.get(method, "Result")), frame["result"]


@cache
def _validator(revision: str, name: str) -> Validator:
    schema: dict[str, Any] = json.loads((FOLDER / f"{revision}.json").read_text(encoding="utf-8"))
    home = "$defs" if "$defs" in schema else "definitions"
    chosen = {key: schema[key] for key in ("$schema", home)} | {"allOf": [{"$ref": f"#/{home}/{name}"}]}
    return validator_for(chosen)(chosen)
