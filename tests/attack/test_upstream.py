"""Hostile Ollama servers and registries: large, compressed, endless and absurd answers to each tool."""

import gzip
import json
import os
import sys
from collections.abc import Generator

import pytest

from tests.attack.measure import Victim, start_pull, victim
from tests.support.wire import call, request

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc"),
    pytest.mark.skipif(not os.environ.get("ATTACK"), reason="make attack runs it"),
]

HUGE = "1" + "0" * 400
DIGEST = "a" * 64
UNKNOWN_FIELD = '{"models":[],"x":[' + ",".join(['{"":0}'] * 2_300_000) + "]}"
SHAPES: dict[str, tuple[str, dict[str, str]]] = {
    "unknown field of 16 MB": (UNKNOWN_FIELD, {}),
    "100,000 rows": ('{"models":[' + ",".join(['{"name":"a"}'] * 100_000) + "]}", {}),
    "huge numbers": (f'{{"models":[{{"name":"a:latest","size":{HUGE},"digest":"{DIGEST}"}}]}}', {}),
    "deep nesting": ("[" * 100_000, {}),
    "newlines": ("\n" * 1_000_000, {}),
}
TOOLS = ("list_models", "list_running_models", "health", "show_model")


@pytest.fixture
def attacked() -> Generator[Victim]:
    with victim() as found:
        start_pull(found)
        yield found


@pytest.mark.parametrize("shape", SHAPES)
def test_answer_of_ollama_costs_bounded_memory_and_time(attacked: Victim, shape: str):
    body, headers = SHAPES[shape]
    for path in ("/api/tags", "/api/ps", "/api/show", "/api/version"):
        attacked.ollama.simulator.respond(path, body=body, content_type="application/json", headers=headers)
    _call_all(attacked, f"Ollama: {shape}", growth_limit=max(64, 10 * len(body) / 2**20))


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate"])
def test_compressed_answer_of_ollama_is_refused(attacked: Victim, encoding: str):
    body = gzip.compress(b"\n" * 100_000_000)
    for path in ("/api/tags", "/api/ps", "/api/show", "/api/version"):
        attacked.ollama.simulator.respond(path, body=body, headers={"content-encoding": encoding})
    _call_all(attacked, f"Ollama: {encoding} of 100 MB")


def _call_all(attacked: Victim, attack: str, growth_limit: float = 64) -> None:
    attacked.begin()
    calls = [call(tool, tool, modern=True, **({"model": "kept"} if tool == "show_model" else {})) for tool in TOOLS]
    attacked.wire.send(*calls)
    attacked.wire.answers(*TOOLS)
    assert attacked.wire.ask(request("after", "ping"))["result"] == {}
    attacked.assert_within_limits(attack, growth_limit=growth_limit)


@pytest.mark.parametrize("size", [HUGE, "-1", "1e999", '"text"', "null"])
def test_size_in_a_manifest_that_no_disk_could_hold_harms_no_other_tool(attacked: Victim, size: str):
    layer = f'{{"mediaType":"application/vnd.ollama.image.model","digest":"sha256:{DIGEST}","size":{size}}}'
    body = f'{{"schemaVersion":2,"config":{layer},"layers":[{layer}]}}'
    attacked.ollama.simulator.respond("/v2/library/evil/manifests/latest", body=body)
    attacked.begin()
    attacked.wire.send(
        call("plan", "plan_pull", model="evil", modern=True),
        call("evil", "pull_model", model="evil", wait_seconds=0, modern=True),
    )
    attacked.wire.answers("plan", "evil")
    listed = attacked.wire.ask(call("list", "list_pulls", modern=True))["result"]
    assert "pulled" in json.dumps(listed)
    assert not listed.get("isError")
    attacked.report(f"registry: a size of {size[:8]}")
    attacked.wire.ask(call("cancel", "cancel_pull", model="evil", modern=True))
