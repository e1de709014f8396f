"""`list_models` and `show_model`, as a host sees them."""

import json
from typing import Any

import pytest

from mcp_ollama.simulator import Fail, Silence, Simulator
from tests.conftest import Connect
from tests.support.client import Host, text_of

JULY = 1_783_000_000.75
"""2026-07-02T13:46:40.75Z."""


def digest_of(simulator: Simulator, name: str) -> str:
    return simulator.model(name).manifest.digest


async def names(host: Host, **arguments: Any) -> list[str]:
    return [model["name"] for model in (await host("list_models", **arguments))["models"]]


async def test_a_listed_model_has_all_its_fields(simulator: Simulator, connect: Connect) -> None:
    simulator.install(
        "llama3.2:3b",
        size_bytes=2_000_000_000,
        modified_at=JULY,
        family="llama",
        parameter_size="3.2B",
        quantization="Q4_K_M",
        context_length=131_072,
        capabilities=("completion", "tools"),
    )
    manifest = simulator.model("llama3.2:3b").manifest
    async with connect() as host:
        assert await host("list_models") == {
            "models": [
                {
                    "name": "llama3.2:3b",
                    "size_bytes": manifest.size,
                    "modified_at": "2026-07-02T13:46:40Z",
                    "digest": manifest.digest[:12],
                    "family": "llama",
                    "parameter_size": "3.2B",
                    "quantization": "Q4_K_M",
                    "context_length": 131_072,
                    # /api/tags misses the tools here: only the weights' own template shows them.
                    "capabilities": ["completion", "tools"],
                    "loaded": False,
                    "remote": False,
                }
            ],
            "total_count": 1,
            "matched_count": 1,
            "total_size_bytes": manifest.size,
        }


async def test_an_empty_server_gives_an_empty_list(connect: Connect) -> None:
    async with connect() as host:
        assert await host("list_models") == {
            "models": [],
            "total_count": 0,
            "matched_count": 0,
            "total_size_bytes": 0,
        }


async def test_each_digest_is_shown_once_and_remembered(simulator: Simulator, connect: Connect) -> None:
    simulator.install("a")
    simulator.copy("a", "b")
    simulator.install("c")
    async with connect() as host:
        first = await host("list_models")
        asked = len(simulator.asked("/api/show"))
        assert await host("list_models") == first
    assert asked == 2
    assert len(simulator.asked("/api/show")) == asked


async def test_an_updated_model_is_shown_anew(simulator: Simulator, connect: Connect) -> None:
    simulator.install("a", capabilities=("completion",))
    async with connect() as host:
        assert (await host("list_models"))["models"][0]["capabilities"] == ["completion"]
        simulator.install("a", size_bytes=2_000_000, capabilities=("embedding",))
        assert (await host("list_models"))["models"][0]["capabilities"] == ["embedding"]


async def test_the_total_counts_each_digest_once(simulator: Simulator, connect: Connect) -> None:
    size = simulator.install("a", size_bytes=5_000_000).manifest.size
    simulator.copy("a", "b")
    async with connect() as host:
        listed = await host("list_models", contains="nothing like it")
    assert listed == {"models": [], "total_count": 2, "matched_count": 0, "total_size_bytes": size}


LATEST_FIRST = ["new:latest", "mid:latest", "Old:latest"]
SELECTIONS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, LATEST_FIRST),
    ({"sort": "modified"}, LATEST_FIRST),
    ({"sort": "size"}, ["mid:latest", "Old:latest", "new:latest"]),
    ({"sort": "name"}, ["Old:latest", "mid:latest", "new:latest"]),
    ({"contains": "OLD"}, ["Old:latest"]),
    ({"contains": "latest", "sort": "name", "limit": 1}, ["Old:latest"]),
    ({"contains": "", "capability": ""}, LATEST_FIRST),
    ({"capability": "Tools"}, ["new:latest", "Old:latest"]),
    ({"capability": "tools", "contains": "new"}, ["new:latest"]),
    ({"capability": "embedding"}, ["mid:latest"]),
    ({"capability": "telepathy"}, []),
    ({"offset": 3}, []),
    ({"contains": None, "capability": None, "sort": None, "limit": None, "offset": None}, LATEST_FIRST),
    # Hosts and models send numbers as texts, and texts that look like JSON.
    ({"limit": "1"}, ["new:latest"]),
    ({"contains": '["new"]'}, []),
]


async def test_models_are_filtered_sorted_and_paged(
    simulator: Simulator, connect: Connect, subtests: pytest.Subtests
) -> None:
    simulator.install("new", modified_at=JULY, size_bytes=1_000, capabilities=("completion", "tools"))
    simulator.install("Old", modified_at=JULY - 9e6, size_bytes=2_000, capabilities=("completion", "tools"))
    simulator.install("mid", modified_at=JULY - 9, size_bytes=3_000, capabilities=("embedding",))
    async with connect() as host:
        for arguments, expected in SELECTIONS:
            with subtests.test(**arguments):
                assert await names(host, **arguments) == expected


async def test_pages_cover_every_model_once_in_a_steady_order(simulator: Simulator, connect: Connect) -> None:
    for number in range(7):
        simulator.install(f"model{number}", modified_at=JULY)
    seen: list[str] = []
    async with connect() as host:
        offset: int | None = 0
        while offset is not None:
            page = await host("list_models", limit=3, offset=offset)
            seen += [model["name"] for model in page["models"]]
            assert page["matched_count"] == 7
            offset = page.get("next_offset")
    assert seen == [f"model{number}:latest" for number in range(7)]


async def test_a_loaded_model_is_said_to_be(simulator: Simulator, connect: Connect) -> None:
    simulator.install("a")
    simulator.install("b")
    simulator.load("b")
    async with connect() as host:
        loaded = {model["name"]: model["loaded"] for model in (await host("list_models"))["models"]}
    assert loaded == {"a:latest": False, "b:latest": True}


async def test_a_cloud_model_is_listed_without_asking_after_it(simulator: Simulator, connect: Connect) -> None:
    simulator.install(
        "gpt-oss:120b-cloud",
        remote_host="https://ollama.com",
        remote_model="gpt-oss:120b",
        capabilities=("completion", "tools"),
        context_length=131_072,
    )
    async with connect() as host:
        (model,) = (await host("list_models", capability="tools"))["models"]
    assert model["remote"] is True
    assert (model["capabilities"], model["context_length"]) == (["completion", "tools"], 131_072)
    assert not simulator.asked("/api/show")


@pytest.mark.parametrize("fault", [Fail(text="unexpected EOF"), Silence()], ids=["damaged", "silent"])
async def test_a_model_that_cannot_be_shown_is_listed_all_the_same(
    fault: Fail | Silence, simulator: Simulator, connect: Connect
) -> None:
    simulator.install("good", capabilities=("completion", "tools"))
    simulator.install("bad", size_bytes=3_000, template="{{ .Prompt }}", capabilities=("completion",))
    simulator.faults.add("bad", fault, operation="show")
    async with connect(timeout=0.6) as host:
        answer = await host("list_models", capability="completion")
    simulator.faults.clear()
    assert sorted(one["name"] for one in answer["models"]) == ["bad:latest", "good:latest"]
    assert answer["next_step"] == "What bad:latest can do could not be read in full: call again, or see health."
    # Once is enough, though both the filter and the answer need it.
    assert len(simulator.asked("/api/show")) == 2


async def test_a_capability_that_no_model_has_is_told_with_those_there_are(
    simulator: Simulator, connect: Connect
) -> None:
    async with connect() as host:
        assert "There are: none." in (await host("list_models", capability="tools"))["next_step"]
        simulator.install("chat", size_bytes=1, capabilities=("completion", "tools"))
        simulator.install("embed", size_bytes=2, capabilities=("embedding",))
        answer = await host("list_models", capability="embeddings")
        assert answer["next_step"] == ("None has the capability 'embeddings'. There are: completion, embedding, tools.")
        assert "next_step" not in await host("list_models", capability=" Embedding ")


async def test_of_many_models_that_cannot_be_read_a_few_are_named(simulator: Simulator, connect: Connect) -> None:
    for number in range(7):
        simulator.install(f"m{number}", size_bytes=number + 1)
    simulator.respond("/api/show", status=500)
    async with connect() as host:
        assert ", m4:latest and 2 more can do" in (await host("list_models", capability="tools"))["next_step"]


@pytest.mark.parametrize(
    ("remote", "sentence"),
    [
        (
            "",
            (
                "bad:latest is listed, but its files are damaged or missing. pull_model repairs one that comes from a "
                "registry; delete_model removes it."
            ),
        ),
        (
            "https://ollama.com:443",
            "bad:latest is listed, but https://ollama.com:443 does not know it any more. delete_model removes it.",
        ),
    ],
)
async def test_a_model_that_is_listed_and_cannot_be_found_is_told_for_what_it_is(
    remote: str, sentence: str, simulator: Simulator, connect: Connect
) -> None:
    simulator.install("bad", remote_host=remote)
    simulator.respond("/api/show", status=404, body='{"error":"model \'bad\' not found"}')
    simulator.respond("/api/generate", status=404, body='{"error":"model \'bad\' not found"}')
    async with connect() as host:
        assert await host.refusal("show_model", model="bad") == sentence
        if not remote:
            assert await host.refusal("load_model", model="bad") == f"bad:latest could not be loaded. {sentence}"


async def test_a_name_that_our_parser_refuses_is_listed_all_the_same(simulator: Simulator, connect: Connect) -> None:
    simulator.respond("/api/tags", body=json.dumps({"models": [{"name": "what is this?"}]}))
    async with connect() as host:
        assert await names(host) == ["what is this?"]
    assert not simulator.asked("/api/show")


async def test_an_old_server_without_capabilities_and_nulls_everywhere_is_understood(
    simulator: Simulator, connect: Connect
) -> None:
    row: dict[str, Any] = {"name": "a:latest", "modified_at": None, "size": 5, "digest": None}
    simulator.respond("/api/tags", body=json.dumps({"models": [row | {"details": {"family": None}}, {"name": "b:1"}]}))
    simulator.respond("/api/ps", body='{"models":null}')
    simulator.respond("/api/show", body='{"modelfile":"","parameters":null,"license":null,"details":{}}')
    bare: dict[str, Any] = {"digest": "", "capabilities": [], "loaded": False, "remote": False}
    async with connect() as host:
        assert await host("list_models") == {
            "models": [{"name": "a:latest", "size_bytes": 5, **bare}, {"name": "b:1", "size_bytes": 0, **bare}],
            "total_count": 2,
            "matched_count": 2,
            "total_size_bytes": 5,
        }
        assert await host("show_model", model="a") == {"name": "a:latest", "size_bytes": 5, "parameters": {}, **bare}


async def test_two_hundred_models_fit_into_one_answer(simulator: Simulator, connect: Connect) -> None:
    simulator.install(
        "somebody/model0:7b-instruct-q4_K_M", size_bytes=4_000_000_000, capabilities=("completion", "tools")
    )
    for number in range(1, 201):
        simulator.copy("somebody/model0:7b-instruct-q4_K_M", f"somebody/model{number}:7b-instruct-q4_K_M")
    async with connect() as host:
        result = await host.result("list_models", limit=200)
    assert result.structured_content is not None
    assert len(result.structured_content["models"]) == result.structured_content["next_offset"] == 200
    assert len(text_of(result)) < 60_000


async def test_a_shown_model_has_all_its_fields(simulator: Simulator, connect: Connect) -> None:
    simulator.install(
        "mario",
        size_bytes=2_000_000_000,
        modified_at=JULY,
        parameter_size="3.2B",
        context_length=131_072,
        capabilities=("tools", "completion"),
        license="\n  Apache License  \nVersion 2.0, January 2004",
        system="You are Mario.",
        requires="0.12.0",
        parameters={"num_ctx": 8192, "stop": ["<|end|>", "a\nb"], "temperature": 0.5},
    )
    simulator.load("mario", context_length=4096)
    manifest = simulator.model("mario").manifest
    async with connect() as host:
        assert await host("show_model", model="mario") == {
            "name": "mario:latest",
            "size_bytes": manifest.size,
            "modified_at": "2026-07-02T13:46:40Z",
            "digest": manifest.digest,
            "family": "llama",
            "parameter_size": "3.2B",
            "quantization": "Q4_K_M",
            "context_length": 131_072,
            "capabilities": ["completion", "tools"],
            "loaded": True,
            "remote": False,
            "parameter_count": 3_200_000_000,
            "configured_context_length": 8192,
            "loaded_context_length": 4096,
            "parameters": {"num_ctx": "8192", "stop": ["<|end|>", "a\nb"], "temperature": "0.5"},
            "license_name": "Apache License",
            "requires": "0.12.0",
        }


async def test_a_cloud_model_is_shown_with_where_it_runs(simulator: Simulator, connect: Connect) -> None:
    simulator.install("gpt-oss:120b-cloud", remote_host="https://ollama.com", remote_model="gpt-oss:120b")
    async with connect() as host:
        shown = await host("show_model", model="gpt-oss:120b:cloud")
    assert (shown["remote"], shown["remote_host"]) == (True, "https://ollama.com")


async def test_a_derived_model_names_its_parent(simulator: Simulator, connect: Connect) -> None:
    simulator.respond(
        "/api/show",
        body=json.dumps({"details": {"parent_model": "/models/blobs/sha256-" + "0" * 200}, "requires": "x" * 200}),
    )
    simulator.install("mario")
    async with connect() as host:
        shown = await host("show_model", model="mario")
    assert shown["parent_model"] == "/models/blobs/sha256-" + "0" * 59
    assert shown["requires"] == "x" * 80


@pytest.mark.parametrize("tool", ["show_model", "delete_model"])
async def test_a_model_is_found_in_every_spelling_that_ollama_knows(
    tool: str, simulator: Simulator, connect: Connect, subtests: pytest.Subtests
) -> None:
    simulator.install("llama3.2")
    spellings = ["llama3.2", "LLAMA3.2:Latest", " llama3.2 ", "library/llama3.2"]
    async with connect() as host:
        for name in [*spellings, "registry.ollama.ai/library/llama3.2:latest"]:
            with subtests.test(name):
                answer = await host(tool, model=name)
                assert answer.get("name", answer.get("model")) == "llama3.2:latest"


@pytest.mark.parametrize("tool", ["show_model", "delete_model"])
async def test_a_missing_model_is_told_with_the_nearest_names(
    tool: str, simulator: Simulator, connect: Connect
) -> None:
    for name in ("llama3.2:3b", "llama3.2:1b", "qwen3:8b"):
        simulator.install(name, modified_at=JULY)
    async with connect() as host:
        result = await host.result(tool, model="llama3.2")
    assert result.is_error
    assert text_of(result) == (
        "The model llama3.2:latest is not installed. Did you mean llama3.2:1b or llama3.2:3b? "
        "See list_models, or pull it with pull_model."
    )
    assert result.meta is not None
    told = {"kind": "ModelNotFoundError", "status_code": 404, "model": "llama3.2:latest"}
    assert result.meta["io.github.mcp-ollama-manager/error"] == told


@pytest.mark.parametrize("tool", ["show_model", "delete_model", "pull_model", "cancel_pull"])
async def test_a_bad_name_never_reaches_the_server(
    tool: str, simulator: Simulator, connect: Connect, subtests: pytest.Subtests
) -> None:
    async with connect() as host:
        for name in (
            "",
            "   ",
            "no spaces please",
            "../../etc/passwd",
            "a:b:c:d",
            "x" * 5_000,
            "\x1b[31m",
            "a*",
        ):
            with subtests.test(name):
                said = await host.refusal(tool, model=name)
                assert 'A name looks like "llama3.2", "llama3.2:3b"' in said
                assert "\x1b" not in said
    assert not simulator.requests


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("granite4:tiny\u2011h", "Use 'granite4:tiny-h'. The nearest installed: granite4:tiny-h."),
        ("granite4:tlny\u2013h", "Use 'granite4:tlny-h'. The nearest installed: granite4:tiny-h."),
        ("gran\uff1ax", "Use 'gran:x'."),
    ],
)
async def test_look_alike_name_is_refused_with_the_nearest_installed(
    name: str, sentence: str, simulator: Simulator, connect: Connect
) -> None:
    simulator.install("granite4:tiny-h")
    async with connect() as host:
        for tool in ("show_model", "delete_model", "load_model"):
            assert (await host.refusal(tool, model=name)).endswith(sentence)


def install_a_wordy_model(simulator: Simulator) -> None:
    simulator.install(
        "wordy",
        template="{{ .Prompt }}" * 3_000,
        system="Be terse. " * 2_000,
        license="MIT License\n" + "word " * 8_000,
        messages=[{"role": "user", "content": "hm " * 4_000}],
        tensors=[(f"blk.{number}.attn_q.weight", "F16", [4096, 4096]) for number in range(300)],
        parameters={f"option{number}": "x" * 90 for number in range(50)} | {"stop": ["y" * 300] * 40, "zeta": 1},
    )


async def test_a_shown_model_is_short_however_much_there_is_to_say(simulator: Simulator, connect: Connect) -> None:
    install_a_wordy_model(simulator)
    async with connect() as host:
        result = await host.result("show_model", model="wordy")
    assert len(text_of(result)) <= 2_000
    assert result.structured_content is not None
    assert result.structured_content["license_name"] == "MIT License"
    # What is too long for the rest of the room is left out, what fits is not.
    assert result.structured_content["parameters"]["zeta"] == "1"


async def test_long_texts_come_when_asked_for_and_are_cut_with_a_mark(simulator: Simulator, connect: Connect) -> None:
    install_a_wordy_model(simulator)
    asked = ["modelfile", "template", "system", "license", "messages", "template"]
    async with connect() as host:
        texts = (await host("show_model", model="wordy", include=asked))["texts"]
    assert list(texts) == ["modelfile", "template", "system", "license", "messages"]
    for text in texts.values():
        assert text[8_000:].startswith("\n[cut here: ")
    assert texts["template"][8_000:] == "\n[cut here: 39,000 characters in all]"
    assert texts["system"].startswith("Be terse. ")
    assert texts["messages"].startswith("user: hm ")


async def test_short_texts_come_whole(simulator: Simulator, connect: Connect) -> None:
    simulator.install(
        "a", license="MIT", messages=[{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
    )
    async with connect() as host:
        shown = await host("show_model", model="a", include=["license", "messages", "model_info", "system"])
    texts = shown["texts"]
    assert (texts["license"], texts["messages"], texts["system"]) == ("MIT", "user: hi\nassistant: ho", "")
    info = json.loads(texts["model_info"])
    assert info["llama.context_length"] == 8192
    assert "tokenizer.ggml.tokens" not in info


@pytest.mark.parametrize(("licences", "text"), [(["MIT", "plus this"], "MIT\nplus this"), (None, "")])
async def test_several_licences_are_one_text(
    licences: list[str] | None, text: str, simulator: Simulator, connect: Connect
) -> None:
    simulator.install("a")
    simulator.respond("/api/show", body=json.dumps({"license": licences}))
    async with connect() as host:
        assert (await host("show_model", model="a", include=["license"]))["texts"] == {"license": text}
