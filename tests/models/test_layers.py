"""Shapes of models, by the rules of their architectures."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_ollama.models.layers import Layer, Shape, UnknownArchitecture, read_shape
from mcp_ollama.sources.gguf import read_metadata
from tests.support.evidence import DATA, METADATA


def model(architecture: str, **keys: Any) -> dict[str, object]:
    """Build metadata of eight layers; `__` in a key stands for a dot."""
    shape = {"block_count": 8, "embedding_length": 64, "attention__head_count": 4, "feed_forward_length": 128, **keys}
    named = {f"{architecture}.{key.replace('__', '.')}": value for key, value in shape.items()}
    return {"general.architecture": architecture, **named}


SSM = {"ssm__conv_kernel": 4, "ssm__inner_size": 32, "ssm__state_size": 8, "ssm__group_count": 2}
STATE = 3 * (32 + 2 * 2 * 8) + 8 * 32


def slides(metadata: dict[str, object]) -> str:
    return "".join("s" if layer.slides else "f" for layer in read_shape(metadata).layers)


def kinds(metadata: dict[str, object]) -> str:
    """Return one letter per layer: attention, recurrent, both, or nothing."""
    letters = {(True, False): "a", (False, True): "r", (True, True): "b", (False, False): "-"}
    return "".join(letters[layer.key_row > 0, layer.state > 0] for layer in read_shape(metadata).layers)


@pytest.mark.parametrize("value", [10**400, -(10**400), float("inf"), float("nan"), -1])
@pytest.mark.parametrize("key", ["block_count", "embedding_length", "attention__head_count_kv", "vocab_size"])
def test_absurd_number_is_refused_with_a_sentence(key: str, value: float) -> None:
    with pytest.raises(UnknownArchitecture):
        read_shape(model("llama", **{key: value}))


def test_plain_model_has_one_row_of_keys_and_values_per_layer() -> None:
    shape = read_shape(model("llama", attention__head_count_kv=2, vocab_size=100, context_length=2048))

    assert shape == Shape(
        layers=(Layer(32, 32, slides=False, state=0),) * 8,
        window=0,
        context_length=2048,
        heads=4,
        embedding_length=64,
        inner_length=256,
        is_embedding=False,
        predicts_tokens=False,
        host_bytes=6800,
    )


@pytest.mark.parametrize(
    ("architecture", "keys", "expected"),
    [
        ("gemma2", {}, "sfsfsfsf"),
        ("gemma3", {"attention__sliding_window": 512}, "sssssfss"),
        ("gemma3", {}, "ffffffff"),
        ("gemma3n", {}, "ssssfsss"),
        ("gptoss", {}, "sfsfsfsf"),
        ("llama4", {}, "sssfsssf"),
        ("llama4", {"attention__sliding_window": 0}, "ffffffff"),
        ("olmo2", {}, "ffffffff"),
        ("phi3", {"attention__sliding_window": 2047}, "ffffffff"),
        ("mistral", {"attention__sliding_window": 4096}, "ffffffff"),
        (
            "gemma4",
            {"attention__sliding_window": 512, "attention__sliding_window_pattern": [True, False] * 4},
            "sfsfsfsf",
        ),
        ("laguna", {"attention__sliding_window": 512, "attention__sliding_window_pattern": 4}, "sssfsssf"),
    ],
)
def test_sliding_layers_follow_file_or_architecture(architecture: str, keys: dict[str, Any], expected: str) -> None:
    assert slides(model(architecture, **keys)) == expected


def test_window_of_llama4_is_fixed() -> None:
    assert read_shape(model("llama4", attention__sliding_window=99)).window == 8192


@pytest.mark.parametrize(
    ("architecture", "keys", "expected"),
    [
        ("qwen3next", SSM, "rrrarrra"),
        ("qwen35", {**SSM, "full_attention_interval": 2}, "rararara"),
        ("qwen35", {**SSM, "attention__recurrent_layers": [True] * 7 + [False]}, "rrrrrrra"),
        ("jamba", {**SSM, "attention__head_count_kv": [0, 2] * 4}, "rararara"),
        (
            "nemotron_h",
            {**SSM, "attention__head_count_kv": [0, 0, 2, 2] * 2, "feed_forward_length": [0, 9, 0, 9] * 2},
            "r-aar-aa",
        ),
        ("falcon-h1", SSM, "bbbbbbbb"),
        ("bert", {}, "--------"),
        ("gemma3", {"pooling_type": 1}, "--------"),
        ("qwen3", {"pooling_type": 1}, "aaaaaaaa"),
        ("gemma4", {"attention__shared_kv_layers": 3}, "aaaaa---"),
        ("gemma3n", {"attention__shared_kv_layers": 3.0}, "aaaaaaaa"),
        ("glm4moe", {"nextn_predict_layers": 1}, "aaaaaaa"),
    ],
)
def test_caches_and_states_follow_the_architecture(architecture: str, keys: dict[str, Any], expected: str) -> None:
    assert kinds(model(architecture, **keys)) == expected


def test_recurrent_state_is_convolution_and_memory() -> None:
    ssm = read_shape(model("falcon-h1", **SSM)).layers[0].state
    short = read_shape(model("lfm2", attention__head_count_kv=[0] * 8, shortconv__l_cache=3)).layers[0].state

    assert (ssm, short) == (STATE, 128)


def test_latent_attention_keeps_one_row_without_values() -> None:
    layer = read_shape(METADATA["deepseek-v3:671b (mla gguf)"]).layers[0]

    assert (layer.key_row, layer.value_row) == (576, 0)


def test_sliding_layers_can_have_shorter_rows() -> None:
    layers = read_shape(METADATA["gemma4:e4b"]).layers

    assert {(layer.slides, layer.key_row) for layer in layers if layer.key_row} == {(True, 512), (False, 1024)}


@pytest.mark.parametrize(
    ("metadata", "cause"),
    [
        ({}, "does not state its architecture"),
        ({"general.architecture": 3}, "does not state its architecture"),
        (model("llama", block_count=None), "'block_count' is missing or null"),
        (model("llama", block_count=5000), "not a valid number"),
        (model("llama", block_count=0), "zero"),
        (model("llama", embedding_length=0), "zero"),
        (model("llama", attention__head_count=0), "zero"),
        (model("llama", attention__head_count=float("nan")), "not a valid number"),
        (model("llama", attention__head_count=-1.0), "not a valid number"),
        (model("llama", attention__head_count="4"), "not a valid number"),
        (model("llama", attention__head_count=3), "not a multiple"),
        (model("llama", attention__head_count_kv=None), "missing or null"),
        (model("llama", attention__head_count_kv=[1, 2]), "fewer items"),
        (model("llama", nextn_predict_layers=8), "not a valid number"),
        (model("llama", block_count=513), "'block_count' is not a valid number"),
        (model("gemma4", attention__sliding_window=1, attention__sliding_window_pattern=None), "is null"),
        (model("llama", **SSM), "no rule covers the architecture 'llama'"),
        (model("glm-dsa"), "no rule covers the architecture 'glm-dsa'"),
        (model("qwen35"), "'ssm.conv_kernel' is missing"),
    ],
)
def test_insufficient_metadata_are_unknown_architectures(metadata: dict[str, object], cause: str) -> None:
    with pytest.raises(UnknownArchitecture, match=cause):
        read_shape(metadata)


@pytest.mark.parametrize("name", ["zero_heads", "no_architecture"])
def test_head_that_parses_without_a_shape_is_unknown(name: str) -> None:
    metadata = read_metadata((DATA / "headers" / f"{name}.gguf").read_bytes())

    with pytest.raises(UnknownArchitecture):
        read_shape(metadata)


@pytest.mark.parametrize("path", sorted((DATA / "headers").glob("*.*.v?.gguf")), ids=lambda path: path.stem)
def test_head_of_a_file_gives_the_shape_of_its_model(path: Path) -> None:
    index = json.loads((DATA / "headers" / "index.json").read_text(encoding="utf-8"))
    model = next(row["model"] for row in index if row["file"] == path.name)

    shape = read_shape(read_metadata(path.read_bytes()))

    # The vocabulary of one of them is stated behind the tokenizer, where reading ends.
    assert replace(shape, host_bytes=0) == replace(read_shape(METADATA[model]), host_bytes=0)


@pytest.mark.parametrize("file_type", [[], [1], "F16", None, 99])
def test_unknown_file_type_counts_as_quantized(file_type: object) -> None:
    metadata = model("llama", vocab_size=100)

    assert read_shape({**metadata, "general.file_type": file_type}) == read_shape(metadata)


VALUES = st.one_of(st.none(), st.integers(-5, 2**64), st.floats(), st.text(), st.lists(st.integers(-1, 9), max_size=9))


@settings(deadline=None)
@given(st.sampled_from(sorted(METADATA)), st.data())
def test_nonsense_values_raise_nothing_else(name: str, data: st.DataObject) -> None:
    metadata = dict(METADATA[name])
    metadata[data.draw(st.sampled_from(sorted(metadata)))] = data.draw(VALUES)

    try:
        usable = bool(read_shape(metadata).layers)
    except UnknownArchitecture as error:
        usable = str(error).endswith(".")

    assert usable
