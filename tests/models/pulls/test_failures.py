"""Faults that end a pull: one plain error with its next step."""

import pytest

from mcp_ollama.simulator import (
    Fail,
    FakeSuccess,
    Fault,
    Send,
    Simulator,
    Stall,
    digest_mismatch,
    no_space,
    registry_error,
)
from tests.conftest import Connect
from tests.support.downloads import BUSY, MODEL, SIZE
from tests.support.pulls import LATE, SOON, assert_there, pulls_asked, until_progress

PERMANENT: dict[str, tuple[Fault, str, str]] = {
    "no space": (no_space(), "disk of the Ollama server is full", "Free space there"),
    "digest mismatch": (digest_mismatch(), "does not match its digest", "Call again to download that layer"),
    "401": (registry_error(401, "unauthorized"), "requires authentication", "ollama signin"),
    "403": (registry_error(403, "denied"), "refuses llama3.2:1b to this server", "Check the name"),
    "404": (Fail(text="pull model manifest: file does not exist"), "The registry has no llama3.2:1b", "Check the name"),
    "412": (registry_error(412, "newer version of Ollama"), "needs a newer version of Ollama", "Update Ollama"),
    "429": (registry_error(429, "too many requests"), "refuses further requests for now", "Wait a few minutes"),
    "a garbage line": (
        Send(data=b"<html>oops</html>\n", at=0.5),
        "not Ollama's JSON",
        "no proxy changes its responses",
    ),
    "a line of 20 MB": (Send(data=b"x" * 20_000_000, at=0.5), "more than 8,000,000 bytes", "no proxy changes"),
    "a fake success": (FakeSuccess(), "but the model is not there", "Something between the server and the registry"),
    "an empty model": (FakeSuccess(empty=True), "but the model is empty", "delete the empty model"),
}


@pytest.mark.parametrize("name", PERMANENT)
async def test_permanent_fault_fails_at_once_with_its_next_step(
    simulator: Simulator, connect: Connect, name: str
) -> None:
    fault, problem, next_step = PERMANENT[name]
    simulator.faults.add(MODEL, fault)
    async with connect(stall_seconds=LATE) as host:
        result = await host.result("pull_model", model=MODEL)
        assert result.is_error
        assert result.meta is not None
        transfer = result.meta["io.github.mcp-ollama-manager/transfer"]
        assert problem in transfer["error"]
        assert next_step in transfer["next_step"]
        assert (transfer["state"], transfer["attempts"]) == ("failed", 1)
        assert pulls_asked(simulator) == 1
        assert (await host("list_pulls"))["transfers"] == [transfer]


async def test_after_a_failure_the_next_pull_goes_on_where_it_stopped(simulator: Simulator, connect: Connect) -> None:
    simulator.faults.add(MODEL, no_space(at=0.7), times=1)
    async with connect(stall_seconds=LATE) as host:
        await host.refusal("pull_model", model=MODEL)
        assert_there(simulator, await host("pull_model", model=MODEL))


async def test_a_model_whose_spelling_ollama_prefers_is_named(simulator: Simulator, connect: Connect) -> None:
    simulator.install("LLAMA3.2:mine")
    absent = Fail(text="pull model manifest: file does not exist")
    simulator.faults.add(MODEL, absent)
    simulator.faults.add("nosuch:MINE", absent)
    async with connect() as host:
        refusal = await host.refusal("pull_model", model=MODEL)
        assert "Check the name and the tag" in await host.refusal("pull_model", model="nosuch:MINE")
        simulator.respond("/api/tags", status=500)
        assert "Check the name and the tag" in await host.refusal("pull_model", model=MODEL)
        simulator.restore("/api/tags")
        simulator.library.remove(simulator.model("LLAMA3.2:mine"))
        assert "Check the name and the tag" in await host.refusal("pull_model", model=MODEL)
    assert refusal == (
        "The pull of llama3.2:1b failed: Ollama did not find llama3.2:1b, since it asks for it in the case of "
        "LLAMA3.2:mine, which is installed. Give that one another name (copy_model, then delete_model), and call again."
    )


async def test_unreachable_registry_fails_the_pull_after_five_attempts(simulator: Simulator, connect: Connect) -> None:
    simulator.registry.refusing_hosts.add("registry.ollama.ai")
    async with connect(stall_seconds=SOON) as host:
        refusal = await host.refusal("pull_model", model=MODEL)
    assert refusal.startswith("The pull of llama3.2:1b failed: The Ollama server cannot reach the registry: ")
    assert "Check the internet access of the machine of the Ollama server" in refusal
    assert pulls_asked(simulator) == 5


async def test_pull_without_any_server_fails_after_short_outage(connect: Connect, nowhere: str) -> None:
    async with connect(base_url=nowhere, stall_seconds=SOON) as host:
        refusal = await host.refusal("pull_model", model=MODEL)
        assert f"Nothing answers at {nowhere}." in refusal
        assert (await host("list_pulls"))["transfers"][0]["attempts"] == 1


async def test_without_the_registry_no_percentage_is_invented(simulator: Simulator, connect: Connect) -> None:
    simulator.lack("/v2/library/llama3.2/manifests/1b")
    half = simulator.faults.add(MODEL, Stall(at=0.5))
    async with connect(stall_seconds=LATE, timeouts=BUSY) as host:
        await host("pull_model", model=MODEL, wait_seconds=0)
        await simulator.until(lambda: half.struck == 1)
        await until_progress(host, "15 MB")
        transfer = (await host("list_pulls"))["transfers"][0]
        assert transfer["total_bytes"] <= SIZE
        assert "percent" not in transfer
        assert "eta_seconds" not in transfer
        half.release()
        assert_there(simulator, await host("pull_model", model=MODEL))
