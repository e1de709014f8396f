"""Hostile Ollama servers and registries: large, compressed, endless and absurd answers to each tool."""

import gzip
import json
import os
import sys
from collections.abc import Callable, Generator
from typing import Any

import pytest

from mcp_ollama.ollama.schemas import MAX_INSTALLED, MAX_ROWS
from tests.attack.measure import GROWTH_LIMIT_MEGABYTES, Record, Victim, victim
from tests.support.wire import call, request

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc")
full = pytest.mark.skipif(not os.environ.get("ATTACK"), reason="make attack runs it")

HUGE = "1" + "0" * 400
DIGEST = "a" * 64
ROW = f'{{"name":"a%d:latest","modified_at":"2026-01-01T00:00:00Z","size":1,"digest":"{DIGEST}","details":{{}}}}'
PATHS = ("/api/tags", "/api/ps", "/api/show", "/api/version")
TOOLS = ("list_models", "list_running_models", "health", "show_model")


def listing(*rows: str) -> str:
    return f'{{"models":[{",".join(rows)}]}}'


def numbered_rows(count: int) -> str:
    return listing(*(ROW % number for number in range(count)))


SHAPES: dict[str, Callable[[], str]] = {
    "100,000 rows": lambda: listing(*['{"name":"a"}'] * 100_000),
    "49,000 rows": lambda: listing(*['{"name":"a"}'] * 49_000),
    "20,000 rows": lambda: numbered_rows(20_000),
    "16 MB of [] in an unknown field": lambda: f'{{"models":[],"x":[{",".join(["[]"] * 5_300_000)}]}}',
    "290,000 texts in an unknown field": lambda: f'{{"models":[],"x":[{",".join([json.dumps("")] * 290_000)}]}}',
    "290,000 unknown fields": lambda: json.dumps({"models": []} | dict.fromkeys(map(str, range(290_000)), 1)),
    "huge numbers": lambda: listing(f'{{"name":"a:latest","size":{HUGE},"digest":"{DIGEST}"}}'),
    "deep nesting": lambda: "[" * 100_000,
    "newlines": lambda: "\n" * 1_000_000,
}
QUICK = "100,000 rows"


@pytest.fixture
def attacked(record_property: Record) -> Generator[Victim]:
    with victim(record_property) as found:
        found.start_pull()
        yield found


@pytest.mark.parametrize("shape", [QUICK, *(pytest.param(shape, marks=full) for shape in SHAPES if shape != QUICK)])
def test_answer_of_ollama_costs_bounded_memory_and_time(attacked: Victim, shape: str):
    body = SHAPES[shape]()
    for path in PATHS:
        attacked.ollama.simulator.respond(path, body=body, content_type="application/json")
    _call_all(attacked)
    # Four at once; parsed, each may take ten times its size.
    growth_limit = max(GROWTH_LIMIT_MEGABYTES, 10 * len(body) / 2**20)
    attacked.assert_within_limits(f"Ollama: {shape}", growth_limit=growth_limit)


@full
def test_longest_lists_that_are_read_cost_bounded_memory_and_time(attacked: Victim):
    answers = {"/api/tags": numbered_rows(MAX_INSTALLED), "/api/ps": numbered_rows(MAX_ROWS)}
    for path, body in answers.items():
        attacked.ollama.simulator.respond(path, body=body, content_type="application/json")
    listed, running, *_ = _call_all(attacked)
    assert listed["total_count"] == MAX_INSTALLED
    assert running["models"]
    attacked.assert_within_limits(f"Ollama: {MAX_INSTALLED:,} models of one digest, {MAX_ROWS:,} loaded")


def test_compressed_answers_of_ollama_are_refused(attacked: Victim):
    body = gzip.compress(b"\n" * 100_000_000, compresslevel=1)
    for encoding in ("gzip", "br", "deflate"):
        for path in PATHS:
            attacked.ollama.simulator.respond(path, body=body, headers={"content-encoding": encoding})
        _call_all(attacked)
    attacked.assert_within_limits("Ollama: gzip, br, deflate of 100 MB")


def _call_all(attacked: Victim) -> list[dict[str, Any]]:
    """Call all tools at once, and return their results; then a ping has to be answered, too."""
    calls = [call(tool, tool, modern=True, **({"model": "kept"} if tool == "show_model" else {})) for tool in TOOLS]
    attacked.wire.send(*calls)
    answers = attacked.wire.answers(*TOOLS)
    assert attacked.wire.ask(request("after", "ping"))["result"] == {}
    return [answer["result"].get("structuredContent", {}) for answer in answers]


@full
def test_size_in_a_manifest_that_no_disk_could_hold_harms_no_other_tool(attacked: Victim):
    for size in (HUGE, "-1", "1e999", '"text"', "null"):
        layer = f'{{"mediaType":"application/vnd.ollama.image.model","digest":"sha256:{DIGEST}","size":{size}}}'
        body = f'{{"schemaVersion":2,"config":{layer},"layers":[{layer}]}}'
        attacked.ollama.simulator.respond("/v2/library/evil/manifests/latest", body=body)
        attacked.wire.send(
            call("plan", "plan_pull", model="evil", modern=True),
            call("evil", "pull_model", model="evil", wait_seconds=0, modern=True),
        )
        plan, _ = attacked.wire.answers("plan", "evil")
        assert HUGE not in json.dumps(plan)
        listed = attacked.wire.ask(call("list", "list_pulls", modern=True))["result"]
        assert "pulled" in json.dumps(listed)
        assert not listed.get("isError")
        attacked.wire.ask(call("cancel", "cancel_pull", model="evil", modern=True))
    attacked.assert_within_limits("registry: sizes that no disk could hold")
