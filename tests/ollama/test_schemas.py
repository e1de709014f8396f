"""Responses of servers from the newest to the oldest, with every field that may be missing."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from mcp_ollama.ollama.schemas import (
    InstalledModel,
    InstalledModels,
    Layer,
    Manifest,
    ModelDetails,
    ModelInfo,
    OllamaResponse,
    Progress,
    Recommendation,
    Recommendations,
    RunningModel,
    RunningModels,
    Version,
)

DIGEST = f"sha256:{'ab' * 32}"
NEEDED: dict[type[OllamaResponse], dict[str, Any]] = {
    ModelDetails: {},
    InstalledModel: {"name": "m:latest"},
    RunningModel: {"name": "m:latest"},
    ModelInfo: {},
    Progress: {},
    Recommendation: {"model": "m"},
}
EMPTY: tuple[object, ...] = (None, "", 0, [], ModelDetails())


@pytest.mark.parametrize("answer", NEEDED, ids=lambda answer: answer.__name__)
def test_omitted_and_null_fields_are_empty(answer: type[OllamaResponse]) -> None:
    needed = NEEDED[answer]
    nulls = {name: None for name in answer.model_fields if name not in needed}
    assert answer.model_validate(needed) == answer.model_validate(needed | nulls)
    optional = dict(answer.model_validate(needed))
    assert all(optional[name] in EMPTY for name in nulls)


@pytest.mark.parametrize("answer", NEEDED, ids=lambda answer: answer.__name__)
def test_unknown_fields_are_ignored(answer: type[OllamaResponse]) -> None:
    new = {"model_new": 1, "copy": [True], "model_config": {"a": None}}
    parsed = answer.model_validate(NEEDED[answer] | new)
    assert parsed == answer.model_validate(NEEDED[answer])
    assert not new.keys() & parsed.model_dump().keys()


@pytest.mark.parametrize(
    ("answer", "field"), [(InstalledModels, "models"), (RunningModels, "models"), (Recommendations, "recommendations")]
)
def test_a_list_may_be_null_but_not_missing(answer: type[OllamaResponse], field: str) -> None:
    assert dict(answer.model_validate({field: None})) == {field: None}
    with pytest.raises(ValidationError):
        answer.model_validate({})


def test_an_installed_model_of_a_new_server_is_read_in_full() -> None:
    model = InstalledModel.model_validate_json(
        """{"name":"m:latest","model":"m:latest","modified_at":"2026-11-22T16:20:15.233550099Z","size":5000000000,
        "digest":"abababababab","details":{"parent_model":"","format":"gguf","family":"llama","families":null,
        "parameter_size":"8.0B","quantization_level":"Q4_K_M","context_length":131072,"embedding_length":4096},
        "capabilities":["completion","tools"]}"""
    )
    assert (model.name, model.size, model.digest) == ("m:latest", 5_000_000_000, "abababababab")
    assert model.details.families == []
    assert (model.details.parameter_size, model.details.context_length) == ("8.0B", 131_072)
    assert model.capabilities == ["completion", "tools"]
    assert (model.remote_model, model.remote_host) == ("", "")


def test_two_models_without_details_do_not_share_them() -> None:
    first, second = InstalledModel(name="a"), InstalledModel(name="b")
    first.details.families.append("llama")
    assert second.details.families == []


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-22T16:20:15.233550099Z", datetime(2026, 11, 22, 16, 20, 15, 233550, UTC)),
        ("2026-11-22T16:20:15Z", datetime(2026, 11, 22, 16, 20, 15, tzinfo=UTC)),
        ("2026-11-22T16:20:15.9+02:00", datetime(2026, 11, 22, 14, 20, 15, 900_000, UTC)),
        ("2026-11-22T16:20:15.999999999-07:30", datetime(2026, 11, 22, 23, 50, 15, 999_999, UTC)),
        ("2319-03-04T16:08:52.03434329Z", datetime(2319, 3, 4, 16, 8, 52, 34343, UTC)),
        ("0001-01-01T00:00:00Z", None),
        ("2026-11-22T16:20:15", datetime(2026, 11, 22, 16, 20, 15, tzinfo=UTC)),
        ("0001-01-01T00:00:00+02:00", None),
        ("9999-12-31T23:59:59-12:00", None),
        ("9999-12-31T23:59:59.999999999Z", datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)),
        (None, None),
    ],
)
def test_times_are_read_as_go_writes_them(text: str | None, time: datetime | None) -> None:
    assert RunningModel.model_validate({"name": "m", "expires_at": text}).expires_at == time
    assert InstalledModel.model_validate({"name": "m", "modified_at": text}).modified_at == time
    assert ModelInfo.model_validate({"modified_at": text}).modified_at == time


@pytest.mark.parametrize("licence", ["MIT", ["MIT", "Apache"], None])
def test_a_licence_is_one_text_or_several(licence: object) -> None:
    assert ModelInfo.model_validate({"license": licence}).license == licence


def test_model_info_may_contain_nulls_and_uint64() -> None:
    text = '{"model_info":{"tokenizer.ggml.tokens":null,"big":18446744073709551615},"messages":[{"role":"user"}]}'
    info = ModelInfo.model_validate_json(text)
    assert info.model_info == {"tokenizer.ggml.tokens": None, "big": 2**64 - 1}
    assert [(message.role, message.content) for message in info.messages or []] == [("user", "")]


def test_a_development_build_has_a_version_too() -> None:
    assert Version.model_validate_json('{"version":"0.0.0"}').version == "0.0.0"


def layer(digit: str, size: int, kind: str = "vnd.ollama.image.model") -> dict[str, object]:
    return {"mediaType": f"application/{kind}", "digest": f"sha256:{digit * 64}", "size": size}


def test_a_manifest_counts_each_digest_once_and_its_config_last() -> None:
    layers = [layer("b", 10), layer("a", 5, "vnd.ollama.image.params"), layer("b", 10)]
    config = layer("c", 1, "vnd.docker.container.image.v1+json")
    manifest = Manifest.model_validate({"schemaVersion": 2, "config": config, "layers": layers})
    assert [digest[-1] for digest in manifest.blobs] == ["b", "a", "c"]
    assert manifest.total_bytes == 16


@pytest.mark.parametrize(
    ("media_type", "kind"),
    [
        ("application/vnd.ollama.image.model", "model"),
        ("application/vnd.ollama.image.projector", "projector"),
        ("application/vnd.ollama.image.messages+json", "messages"),
        ("", ""),
    ],
)
def test_the_kind_of_a_layer_is_the_last_word_of_its_type(media_type: str, kind: str) -> None:
    assert Layer(digest=DIGEST, size=1, mediaType=media_type).kind == kind


@pytest.mark.parametrize("size", [-1, None, "many", 1.5])
def test_a_layer_has_a_size(size: object) -> None:
    with pytest.raises(ValidationError):
        Layer.model_validate({"digest": DIGEST, "size": size})


@pytest.mark.parametrize("digest", ["", "ab", DIGEST[:-1], f"{DIGEST}0", f"{DIGEST}\n", DIGEST.upper(), "../../x"])
def test_a_layer_has_a_whole_digest(digest: str) -> None:
    with pytest.raises(ValidationError):
        Layer.model_validate({"digest": digest, "size": 1})
