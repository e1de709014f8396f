"""Recorded shapes of Hugging Face's API, put on a mocked wire."""

import json
from pathlib import Path
from typing import Any

import httpx

FOLDER = Path(__file__).parents[1] / "data" / "finding"


def exchanges(name: str) -> list[dict[str, Any]]:
    """Read the exchanges of one file."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["exchanges"]


def reply(exchange: dict[str, Any]) -> httpx.Response:
    """Build the response of an exchange."""
    recorded = exchange["response"]
    body = recorded["body"]
    text = body if isinstance(body, str) else json.dumps(body)
    return httpx.Response(recorded["status"], headers=recorded["headers"], text=text)


def noted(name: str, start: str) -> httpx.Response:
    """Build the response of the exchange whose note starts in a certain way."""
    return reply(next(one for one in exchanges(name) if one.get("note", "").startswith(start)))


class Clock:
    """Time that only a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now
