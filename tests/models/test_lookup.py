"""Conclusions from Ollama's answers, as tables."""

from typing import Any

import pytest

from mcp_ollama.models.disk import FreedSpace, freed_space
from mcp_ollama.models.facts import (
    Facts,
    configured_context,
    facts_of,
    license_name,
    parameter_count,
    parse_parameters,
    trained_context,
)
from mcp_ollama.models.lookup import find_case_variant, find_model, key_of, nearest_names
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.schemas import InstalledModel, ModelDetails, ModelInfo

W1, W2 = "a" * 64, "b" * 64


def installed(name: str, digest: str = "", **fields: Any) -> InstalledModel:
    details = ModelDetails(family="llama", parameter_size="3.2B", quantization_level="Q4_K_M")
    known = {"name": name, "digest": digest or name, "size": 100, "details": details}
    return InstalledModel.model_validate(known | fields)


def facts(weights: str | None) -> Facts:
    return Facts(("completion",), 4096, weights)


def names(models: list[InstalledModel]) -> list[str]:
    return [model.name for model in models]


@pytest.mark.parametrize(
    ("modelfile", "weights"),
    [
        (f"# a comment\nFROM /models/blobs/sha256-{W1}\nTEMPLATE x", W1),
        (f"FROM C:\\models\\blobs\\sha256-{W1} \n", W1),
        (f"FROM @sha256:{W1}", W1),
        (f"# FROM /models/blobs/sha256-{W1}\nFROM llama3.2", None),
        (f"FROM /models/blobs/sha256-{W1[:-1]}", None),
        ("", None),
    ],
)
def test_the_weights_are_read_from_the_modelfile(modelfile: str, weights: str | None) -> None:
    assert facts_of(ModelInfo(modelfile=modelfile)).weights == weights


def test_the_facts_are_capabilities_context_and_weights() -> None:
    info = ModelInfo(
        capabilities=["tools", "completion"],
        model_info={"general.architecture": "llama", "llama.context_length": 131_072},
    )
    assert facts_of(info) == Facts(("completion", "tools"), 131_072, None)


@pytest.mark.parametrize(
    ("info", "length"),
    [
        ({"general.architecture": "qwen3", "qwen3.context_length": 40_960, "llama.context_length": 1}, 40_960),
        ({"llama.context_length": 8192}, None),
        ({"general.architecture": "llama", "llama.context_length": 0}, None),
        ({"general.architecture": "llama", "llama.context_length": "many"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_the_trained_context_is_the_architectures(info: dict[str, Any] | None, length: int | None) -> None:
    assert trained_context(ModelInfo(model_info=info)) == length


@pytest.mark.parametrize(
    ("info", "count"),
    [({"general.parameter_count": 7}, 7), ({"general.parameter_count": 0}, None), ({"x": 7}, None), (None, None)],
)
def test_parameters_are_counted_where_the_model_says(info: dict[str, Any] | None, count: int | None) -> None:
    assert parameter_count(ModelInfo(model_info=info)) == count


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("", {}),
        ("num_ctx                        4096", {"num_ctx": "4096"}),
        ('stop    "<|end|>"\nstop "a"\nstop "b"', {"stop": ["<|end|>", "a", "b"]}),
        ("temperature 0.5\n\nlonely\n  top_k 40  ", {"temperature": "0.5", "top_k": "40"}),
        ('system "two words"', {"system": "two words"}),
        (r'stop "a\nb"', {"stop": "a\nb"}),
        (r'stop "<\x00>"', {"stop": r"<\x00>"}),
        ('stop "', {"stop": '"'}),
        ('stop ""', {"stop": ""}),
        # Ollama's order is that of a Go map.
        ("b 1\na 2", {"a": "2", "b": "1"}),
    ],
)
def test_parameters_are_read_from_their_text(text: str, parameters: dict[str, Any]) -> None:
    assert parse_parameters(text) == parameters
    assert list(parse_parameters(text)) == sorted(parameters)


@pytest.mark.parametrize(
    ("parameters", "length"),
    [
        ({"num_ctx": "8192"}, 8192),
        ({"num_ctx": "1e+06"}, 1_000_000),
        ({"num_ctx": "1.048576e+06"}, 1_048_576),
        ({"num_ctx": "1e-05"}, None),
        ({"num_ctx": "-1"}, None),
        ({"num_ctx": ["1", "2"]}, None),
        ({}, None),
    ],
)
def test_the_configured_context_is_num_ctx(parameters: dict[str, Any], length: int | None) -> None:
    assert configured_context(parameters) == length


@pytest.mark.parametrize(
    ("text", "known", "name"),
    [
        ("MIT License\n\nCopyright", None, "MIT License"),
        ("\n   \n  Apache License  \nVersion 2.0", {}, "Apache License"),
        ("whatever", {"general.license": "apache-2.0"}, "apache-2.0"),
        ("MIT", {"general.license": ""}, "MIT"),
        ("MIT", {"general.license": 3}, "MIT"),
        (["", "LLAMA 3.2 COMMUNITY LICENSE", "Acceptable Use"], None, "LLAMA 3.2 COMMUNITY LICENSE"),
        ("x" * 200, None, "x" * 80),
        ("", None, None),
        ([], None, None),
        (None, None, None),
    ],
)
def test_a_licence_has_a_short_name(
    text: str | list[str] | None, known: dict[str, Any] | None, name: str | None
) -> None:
    assert license_name(ModelInfo(license=text, model_info=known)) == name


@pytest.mark.parametrize(
    ("name", "found"),
    [("llama3.2", "llama3.2:latest"), ("Llama3.2:LATEST", "llama3.2:latest"), ("llama3.2:3b", None), ("odd", None)],
)
def test_a_model_is_found_as_ollama_finds_it(name: str, found: str | None) -> None:
    model = find_model(ModelName.parse(name), [installed("what is this?"), installed("llama3.2:latest")])
    assert (model and model.name) == found


def test_name_that_no_parser_accepts_still_has_a_key() -> None:
    assert key_of("What Is This?") == "what is this?"
    assert key_of("Llama3.2") == "registry.ollama.ai/library/llama3.2:latest"


@pytest.mark.parametrize(
    ("wanted", "nearest"),
    [
        ("llama3.2", ["llama3.2:3b", "llama3.2:1b"]),
        ("LLAMA3.2:70b", ["llama3.2:3b", "llama3.2:1b"]),
        ("lama3.2:3b", ["llama3.2:3b", "llama3.2:1b"]),
        ("qwen3:80b", ["Qwen3:8b"]),
        ("mistral", []),
    ],
)
def test_the_nearest_names_are_other_tags_then_alike_ones(wanted: str, nearest: list[str]) -> None:
    models = [installed(name) for name in ("llama3.2:3b", "llama3.2:1b", "Qwen3:8b")]
    assert nearest_names(ModelName.parse(wanted), models) == nearest


def test_few_names_are_near() -> None:
    models = [installed(f"llama3.2:{number}b") for number in range(9)]
    assert len(nearest_names(ModelName.parse("llama3.2"), models)) == 3


OTHER = ModelDetails(family="qwen3", parameter_size="8B", quantization_level="Q4_K_M")


@pytest.mark.parametrize(
    ("others", "known", "freed"),
    [
        ([], {}, FreedSpace(100, ())),
        ([installed("z", "a"), installed("b", "a")], {}, FreedSpace(0, ("b", "z"))),
        ([installed("b")], {"a": facts(W1), "b": facts(W1)}, FreedSpace(0, ("b",))),
        ([installed("b")], {"a": facts(W1), "b": facts(W2)}, FreedSpace(100, ())),
        ([installed("b"), installed("c")], {"a": facts(W1), "b": None, "c": facts(W2)}, FreedSpace(None, (), ("b",))),
        ([installed("b"), installed("c")], {"a": facts(W1), "b": None, "c": facts(W1)}, FreedSpace(0, ("c",))),
        ([installed("b")], {"a": None, "b": facts(W1)}, FreedSpace(None, (), ("a",))),
        ([installed("b")], {"a": facts(None), "b": facts(None)}, FreedSpace(None, (), ("a", "b"))),
    ],
    ids=["alone", "copies", "derived", "alike", "unread", "unread but shared", "itself unread", "nothing reported"],
)
def test_what_is_freed_depends_on_who_shares(
    others: list[InstalledModel], known: dict[str, Facts | None], freed: FreedSpace
) -> None:
    assert freed_space([installed("a")], others, known) == freed


def test_shared_weights_of_several_models_count_once() -> None:
    known: dict[str, Facts | None] = {"a": facts(W1), "b": facts(W1), "c": facts(W2), "d": facts(W2)}
    models = [installed(name) for name in "abc"]
    assert freed_space(models, [installed("d")], known) == FreedSpace(100, ("d",))
    assert freed_space(models, [], known) == FreedSpace(200, ())


def test_weights_decide_over_what_the_configuration_claims() -> None:
    known: dict[str, Facts | None] = {"a": facts(W1), "b": facts(W1)}
    variant = installed("b").model_copy(update={"details": ModelDetails(parameter_size="148K")})
    assert freed_space([installed("a")], [variant], known) == FreedSpace(0, ("b",))


def test_a_model_that_names_no_weights_matters_only_to_its_kind() -> None:
    known: dict[str, Facts | None] = {"a": facts(W1), "b": facts(None)}
    image = installed("b").model_copy(update={"details": ModelDetails(family="image")})
    assert freed_space([installed("a")], [image], known) == FreedSpace(100, ())


def test_case_twins_are_found_in_the_spelling_asked_for() -> None:
    twins = [InstalledModel(name="Qwen3:latest"), InstalledModel(name="qwen3:latest")]
    for name in ("Qwen3", "qwen3"):
        found = find_model(ModelName.parse(name), twins)
        assert found is not None
        assert found.name == f"{name}:latest"


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        (["tiny:latest", "other:q"], None),
        (["other:q", "Tiny:q"], "Tiny:q"),
        (["big:LATEST"], "big:LATEST"),
        (["Library/other:q"], "Library/other:q"),
        (["Registry.ollama.ai/library/other:q"], None),
        (["what is this?"], None),
    ],
)
def test_name_that_differs_only_in_case_is_found(listed: list[str], found: str | None) -> None:
    models = [InstalledModel(name=name) for name in listed]
    other = find_case_variant(ModelName.parse("tiny"), models)
    assert (other.name if other else None) == found
