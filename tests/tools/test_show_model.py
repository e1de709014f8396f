"""`show_model`, and the names that it and other tools accept, as a host sees them."""

import json

import pytest

from mcp_ollama.simulator import Simulator
from tests.conftest import Connect
from tests.support.client import text_of

JULY = 1_783_000_000.75
"""2026-07-02T13:46:40.75Z."""


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
async def test_listed_model_without_files_is_reported_as_damaged_or_unknown(
    remote: str, sentence: str, simulator: Simulator, connect: Connect
) -> None:
    simulator.install("bad", remote_host=remote)
    simulator.respond("/api/show", status=404, body='{"error":"model \'bad\' not found"}')
    simulator.respond("/api/generate", status=404, body='{"error":"model \'bad\' not found"}')
    async with connect() as host:
        assert await host.refusal("show_model", model="bad") == sentence
        if not remote:
            assert await host.refusal("load_model", model="bad") == f"bad:latest could not be loaded. {sentence}"


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
    spellings = ["llama3.2", "LLAMA3.2:Latest", " llama3.2 ", "library/llama3.2", "ollama:llama3.2:latest"]
    async with connect() as host:
        for name in [*spellings, "registry.ollama.ai/library/llama3.2:latest"]:
            with subtests.test(name):
                answer = await host(tool, model=name)
                assert answer.get("name", answer.get("model")) == "llama3.2:latest"


@pytest.mark.parametrize("tool", ["show_model", "delete_model"])
async def test_missing_model_is_reported_with_the_nearest_names(
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
    expected = {"kind": "ModelNotFoundError", "status_code": 404, "model": "llama3.2:latest"}
    assert result.meta["io.github.mcp-ollama-manager/error"] == expected


@pytest.mark.parametrize("tool", ["show_model", "delete_model", "pull_model", "cancel_pull"])
async def test_a_bad_name_never_reaches_the_server(
    tool: str, simulator: Simulator, connect: Connect, subtests: pytest.Subtests
) -> None:
    # A blank text counts as left out, where a name may be.
    blank = ("", "   ") if tool in ("show_model", "pull_model") else ()
    async with connect() as host:
        for name in (
            *blank,
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
