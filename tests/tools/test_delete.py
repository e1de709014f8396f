"""`delete_model`: nothing goes without consent, and what is said to be freed is freed."""

import json
from typing import Any

import anyio
import pytest
from anyio import to_thread

from mcp_ollama.models.app import Timeouts
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.simulator import Fail, Silence, Simulator, Stall
from mcp_ollama.simulator.manifests import Manifest
from tests.conftest import Connect
from tests.support.client import Host


async def consent(host: Host, model: str) -> str:
    """Ask for a deletion, as a user's yes would have to follow."""
    answer = await host("delete_model", model=model)
    assert not answer["deleted"]
    return answer["confirmation"]


def deletions(simulator: Simulator) -> int:
    return len(simulator.asked("/api/delete"))


async def test_a_first_call_deletes_nothing_and_says_what_would_be_freed(
    simulator: Simulator, connect: Connect
) -> None:
    simulator.install("llama3.2:3b", size_bytes=2_000_000_000)
    manifest = simulator.model("llama3.2:3b").manifest
    async with connect() as host:
        answer = await host("delete_model", model="llama3.2:3b")
    assert len(answer.pop("confirmation")) >= 8
    assert answer == {
        "model": "llama3.2:3b",
        "deleted": False,
        "reason": "needs_confirmation",
        "frees_bytes": manifest.size,
        "shared_with": [],
        "was_loaded": False,
        "next_step": f"Nothing is deleted yet. Ask the user whether to delete llama3.2:3b ({manifest.digest[:12]}), "
        "which frees 2.0 GB. If they agree, call delete_model again with this confirmation.",
    }
    assert not deletions(simulator)


async def test_a_confirmed_deletion_frees_what_it_said(simulator: Simulator, connect: Connect) -> None:
    size = simulator.install("llama3.2:3b").manifest.size
    simulator.install("other")
    async with connect() as host:
        token = await consent(host, "llama3.2:3b")
        answer = await host("delete_model", model="LLAMA3.2:3B", confirm=token)
    assert answer == {
        "model": "llama3.2:3b",
        "deleted": True,
        "frees_bytes": size,
        "shared_with": [],
        "was_loaded": False,
    }
    assert not simulator.is_installed("llama3.2:3b")
    assert simulator.is_installed("other")


async def test_a_confirmation_is_good_for_one_deletion_of_one_model(
    simulator: Simulator, connect: Connect, subtests: pytest.Subtests
) -> None:
    simulator.install("a")
    simulator.install("b")
    async with connect() as host:
        used, for_b = [await consent(host, name) for name in ("a", "b")]
        await host("delete_model", model="b", confirm=used)
        token = await consent(host, "a")
        for wrong in ("nonsense", used, for_b, f" {token}", token.swapcase()):
            with subtests.test(wrong):
                answer = await host("delete_model", model="a", confirm=wrong)
                token = answer["confirmation"]
                assert (answer["deleted"], answer["reason"]) == (False, "needs_confirmation")
                assert answer["next_step"].startswith("That confirmation is wrong, used, older than 10 minutes, or")
        assert not deletions(simulator)
        assert (await host("delete_model", model="a", confirm=token))["deleted"]
        simulator.install("a")
        assert not (await host("delete_model", model="a", confirm=token))["deleted"]
    assert deletions(simulator) == 1


async def test_a_stale_confirmation_deletes_nothing(simulator: Simulator, connect: Connect) -> None:
    simulator.install("a")
    async with connect(timeouts=Timeouts(confirmation_ttl=0)) as host:
        answer = await host("delete_model", model="a", confirm=await consent(host, "a"))
    assert (answer["deleted"], answer["reason"]) == (False, "needs_confirmation")
    assert not deletions(simulator)
    assert Timeouts().confirmation_ttl == 600


async def test_a_confirmation_does_not_hold_for_what_took_the_name_meanwhile(
    simulator: Simulator, connect: Connect
) -> None:
    simulator.install("a")
    async with connect() as host:
        token = await consent(host, "a")
        simulator.install("a", size_bytes=2_000_000)
        answer = await host("delete_model", model="a", confirm=token)
    assert (answer["deleted"], answer["reason"]) == (False, "needs_confirmation")
    assert simulator.model("a").manifest.digest[:12] in answer["next_step"]
    assert not deletions(simulator)


@pytest.mark.parametrize("change", ["replaced", "deleted"])
async def test_a_model_that_changes_under_our_hands_is_not_deleted(
    change: str, simulator: Simulator, connect: Connect
) -> None:
    simulator.install("a")
    simulator.install("alike")
    looking = simulator.faults.add("alike", Silence(), operation="show")
    answers: list[dict[str, Any]] = []

    async def delete(host: Host) -> None:
        answers.append(await host("delete_model", model="a"))

    async with connect(confirm_delete=False) as host, anyio.create_task_group() as group:
        group.start_soon(delete, host)
        await to_thread.run_sync(looking.wait)
        simulator.library.remove(simulator.model("a"))
        if change == "replaced":
            simulator.install("a", size_bytes=2_000_000)
        looking.release()
    (answer,) = answers
    assert (answer["deleted"], answer["reason"]) == (False, "changed")
    assert answer["next_step"].startswith("a:latest was changed or deleted by another client meanwhile")
    assert not deletions(simulator)


async def test_a_model_that_is_gone_at_the_last_moment_was_not_deleted_by_us(
    simulator: Simulator, connect: Connect
) -> None:
    simulator.install("a")
    simulator.respond("/api/delete", status=404, body='{"error":"model \'a\' not found"}')
    async with connect(confirm_delete=False) as host:
        answer = await host("delete_model", model="a")
    assert (answer["deleted"], answer["reason"]) == (False, "changed")


async def test_advice_that_cannot_be_followed_here_says_so(simulator: Simulator, connect: Connect) -> None:
    async with connect(access="read-only") as host:
        assert await host.refusal("show_model", model="a") == (
            "The model a:latest is not installed. No model is installed yet: pull one with pull_model. "
            "pull_model is disabled by the operator (MCP_OLLAMA_ACCESS=read-only)."
        )


async def test_disabled_confirmation_is_stated_in_the_description(simulator: Simulator, connect: Connect) -> None:
    simulator.install("a")
    async with connect(confirm_delete=False) as host:
        (description,) = [
            tool.description for tool in (await host.client.list_tools()).tools if tool.name == "delete_model"
        ]
        assert description is not None
        assert description.startswith(
            "Delete installed models from the server's disk at once, without asking the user."
        )
        assert (await host("delete_model", model="a", confirm="whatever"))["deleted"]
    assert not simulator.is_installed("a")


async def freed(simulator: Simulator, connect: Connect) -> tuple[int | None, list[str], str]:
    async with connect() as host:
        answer = await host("delete_model", model="a")
    return answer.get("frees_bytes"), answer["shared_with"], answer["next_step"]


async def test_a_copy_frees_nothing(simulator: Simulator, connect: Connect) -> None:
    simulator.install("a")
    simulator.copy("a", "z")
    simulator.copy("a", "b")
    frees, shared, sentence = await freed(simulator, connect)
    assert (frees, shared) == (0, ["b:latest", "z:latest"])
    assert "frees nothing, since b:latest, z:latest keep the same weights. " in sentence


async def test_a_derived_model_frees_nothing_while_its_weights_are_used(simulator: Simulator, connect: Connect) -> None:
    simulator.install("a", weights="shared")
    simulator.install("mario", weights="shared", system="You are Mario.")
    simulator.install("alike", weights="its own")
    frees, shared, sentence = await freed(simulator, connect)
    assert (frees, shared) == (0, ["mario:latest"])
    assert "frees nothing, since mario:latest keeps the same weights. " in sentence


async def test_all_local_models_are_compared_by_weights(simulator: Simulator, connect: Connect) -> None:
    size = simulator.install("a").manifest.size
    simulator.install("alike")
    simulator.install("bigger", parameter_size="8B")
    simulator.install("finer", quantization="F16")
    simulator.install("foreign", family="qwen3")
    simulator.install("distant", remote_host="https://ollama.com")
    assert (await freed(simulator, connect))[:2] == (size, [])
    asked = [request.body for request in simulator.asked("/api/show")]
    assert len(asked) == 5
    assert all({"model": f"{name}:latest"} in asked for name in ("a", "alike", "bigger", "finer", "foreign"))


async def test_variant_whose_stated_size_differs_shares_the_weights(simulator: Simulator, connect: Connect) -> None:
    whole = simulator.install("base", parameter_size="300K").manifest
    stating = Manifest.build(whole.layers, whole.settings | {"model_type": "148K"})
    simulator.library.add(ModelName.parse("base"), stating, simulator.now())
    async with connect() as host:
        made = await host("create_model", model="variant", from_model="base", system="Be brief.")
        # Ollama reads the size again from the weights, whatever the configuration of the base states.
        assert made["details"]["parameter_size"] == "300K"
        for name, other in (("base", "variant"), ("variant", "base")):
            asked = await host("delete_model", model=name)
            assert (asked["frees_bytes"], asked["shared_with"]) == (0, [f"{other}:latest"])


@pytest.mark.parametrize("unreadable", ["alike", "a"])
async def test_what_becomes_free_is_left_out_where_a_look_alike_cannot_be_read(
    unreadable: str, simulator: Simulator, connect: Connect
) -> None:
    simulator.install("a", size_bytes=2_000_000_000)
    simulator.install("alike", size_bytes=2_000_000_000)
    simulator.faults.add(unreadable, Fail(text="unexpected EOF"), operation="show")
    frees, shared, sentence = await freed(simulator, connect)
    assert (frees, shared) == (None, [])
    assert f"frees up to 2.0 GB (unknown, since {unreadable}:latest could not be read). " in sentence


async def test_a_cloud_model_frees_its_few_bytes(simulator: Simulator, connect: Connect) -> None:
    size = simulator.install("a", remote_host="https://ollama.com").manifest.size
    simulator.install("b", remote_host="https://ollama.com", remote_model="b")
    assert (await freed(simulator, connect))[:2] == (size, [])


async def test_a_loaded_model_is_unloaded_first(simulator: Simulator, connect: Connect) -> None:
    simulator.install("a")
    simulator.load("a")
    async with connect() as host:
        token = await consent(host, "a")
        assert simulator.runners.listed()["models"]
        answer = await host("delete_model", model="a", confirm=token)
    assert (answer["deleted"], answer["was_loaded"]) == (True, True)
    assert not simulator.runners.listed()["models"]
    changes = [
        (request.path, request.body)
        for request in simulator.requests
        if request.path in ("/api/generate", "/api/delete")
    ]
    assert changes == [
        ("/api/generate", {"model": "a:latest", "keep_alive": 0}),
        ("/api/delete", {"model": "a:latest"}),
    ]


@pytest.mark.parametrize("way", ["in use", "silent"])
async def test_a_model_that_cannot_be_unloaded_is_not_deleted(way: str, simulator: Simulator, connect: Connect) -> None:
    simulator.install("a")
    simulator.load("a")
    if way == "in use":
        simulator.respond("/api/generate", body=json.dumps({"done": True}))
    else:
        simulator.delay("/api/generate", 30)
    async with connect(confirm_delete=False, timeouts=Timeouts(unload=0.1)) as host:
        sentence = await host.refusal("delete_model", model="a")
    assert sentence == (
        "a:latest is in use and could not be unloaded within 0.1 s, so it was not deleted. "
        "Let the request that uses it end, then call again."
    )
    assert not deletions(simulator)
    assert Timeouts().unload == 10


async def test_confirmation_holds_until_the_deletion_is_done(simulator: Simulator, connect: Connect) -> None:
    simulator.install("a")
    simulator.load("a")
    simulator.respond("/api/generate", body=json.dumps({"done": True}))
    async with connect(timeouts=Timeouts(unload=0.1)) as host:
        token = await consent(host, "a")
        assert "is in use" in await host.refusal("delete_model", model="a", confirm=token)
        simulator.restore("/api/generate")
        assert (await host("delete_model", model="a", confirm=token))["deleted"]
        simulator.install("a")
        assert not (await host("delete_model", model="a", confirm=token))["deleted"]


async def test_a_model_that_is_being_pulled_is_not_deleted(simulator: Simulator, connect: Connect) -> None:
    simulator.install("a")
    simulator.registry.publish("a", size_bytes=9_000_000)
    stalled = simulator.faults.add("a", Stall(at=0.5))
    async with connect(confirm_delete=False) as host:
        await host("pull_model", model="a", wait_seconds=0)
        await to_thread.run_sync(stalled.wait)
        sentence = await host.refusal("delete_model", model="A:latest")
        assert not deletions(simulator)
        stalled.release()
        assert (await host("pull_model", model="a"))["state"] == "done"
        assert (await host("delete_model", model="a"))["deleted"]
    assert sentence == "a:latest is being pulled. Call cancel_pull first, or let it end."


async def test_a_model_that_is_being_pushed_is_neither_deleted_nor_overwritten(
    simulator: Simulator, connect: Connect
) -> None:
    simulator.install("me/a", size_bytes=9_000_000)
    simulator.install("b")
    simulator.registry.withdraw("me/a")
    simulator.registry.blobs.clear()
    stalled = simulator.faults.add("me/a", Stall(at=0.5), operation="push")
    async with connect(confirm_delete=False, allow_push=True) as host:
        await host("push_model", model="me/a", wait_seconds=0)
        await to_thread.run_sync(stalled.wait)
        sentence = "me/a:latest is being pushed. Call cancel_pull with kind push first, or let it end."
        assert await host.refusal("delete_model", model="me/a") == sentence
        assert await host.refusal("copy_model", source="b", destination="me/a", overwrite=True) == sentence
        stalled.release()
        assert (await host("push_model", model="me/a"))["state"] == "done"
        assert (await host("delete_model", model="me/a"))["deleted"]


async def test_push_in_progress_is_waited_for_even_when_its_model_is_gone(
    simulator: Simulator, connect: Connect
) -> None:
    simulator.install("me/a", size_bytes=9_000_000)
    simulator.registry.withdraw("me/a")
    simulator.registry.blobs.clear()
    stalled = simulator.faults.add("me/a", Stall(at=0.5), operation="push")
    async with connect(allow_push=True) as host:
        await host("push_model", model="me/a", wait_seconds=0)
        await to_thread.run_sync(stalled.wait)
        simulator.library.remove(simulator.model("me/a"))
        stalled.release()
        assert (await host("push_model", model="me/a"))["state"] == "done"


@pytest.mark.parametrize(
    ("access", "tool", "arguments"),
    [
        ("no-delete", "delete_model", {"model": "a"}),
        ("read-only", "delete_model", {"model": "a"}),
        ("read-only", "pull_model", {"model": "b"}),
        ("read-only", "cancel_pull", {"model": "b"}),
    ],
)
async def test_disabled_delete_is_not_listed_and_refused_with_its_setting(
    access: str, tool: str, arguments: dict[str, Any], simulator: Simulator, connect: Connect
) -> None:
    simulator.install("a")
    async with connect(access=access) as host:
        listed = {one.name for one in (await host.client.list_tools()).tools}
        sentence = await host.refusal(tool, **arguments)
        assert tool not in (host.client.instructions or "")
    assert tool not in listed
    assert {"list_models", "show_model", "list_pulls", "health"} <= listed
    assert sentence == f"{tool} is disabled by the operator (MCP_OLLAMA_ACCESS={access})."
    assert not simulator.requests
