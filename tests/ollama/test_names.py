"""Model names, against what Ollama's own parser says and against arbitrary text."""

import json
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_ollama.ollama.errors import InvalidModelName
from mcp_ollama.ollama.names import ModelName, split_source

GOLDEN = Path(__file__).parents[1] / "data" / "ollama-names.jsonl"
# Columns: `Valid`, `Full`, `Shortest`, `Scheme` are Go's model.ParseName; `RefErr`, `RefBase`, `RefSource`
# its modelref.ParseRef; `PullName`, `PullValid` its NormalizePullName. Go leaves out empty ones.
ROWS: list[dict[str, Any]] = [json.loads(line) for line in GOLDEN.read_text(encoding="utf-8").splitlines()]

golden = pytest.mark.parametrize("row", ROWS, ids=[f"{line}-{row['In'][:40]!a}" for line, row in enumerate(ROWS, 1)])


def parts(punctuation: str, longest: int) -> st.SearchStrategy[str]:
    first = string.ascii_letters + string.digits + "_"
    rest = st.text(first + punctuation, max_size=longest - 1)
    return st.builds(str.__add__, st.sampled_from(first), rest)


model_names = st.builds(
    ModelName,
    host=st.just("registry.ollama.ai") | parts(".:-", 350),
    namespace=st.just("library") | parts("-", 80),
    model=parts(".-", 80),
    tag=st.sampled_from(["latest", "cloud", "8b-cloud"]) | parts(".-", 80),
)
name_like = st.text(st.sampled_from("aZ0_-.:/@ \n") | st.characters(), max_size=40) | st.lists(
    st.sampled_from(["a", "m", "/", ":", "cloud", "-Cloud", "local", "http://", " ", "\x1f", "."])
).map("".join)


@golden
def test_a_name_is_read_and_written_as_ollama_does(row: dict[str, Any]) -> None:
    if not row["Valid"]:
        with pytest.raises(InvalidModelName):
            ModelName.parse(row["In"])
        return
    name = ModelName.parse(row["In"])
    assert (name.full, name.short, str(name)) == (row["Full"], row["Shortest"], row["Shortest"])


@golden
def test_the_scheme_is_forgotten_and_changes_nothing_else(row: dict[str, Any]) -> None:
    if row["Valid"]:
        without = row["In"].removeprefix(f"{row['Scheme']}://")
        assert ModelName.parse(without) == ModelName.parse(row["In"])
        assert "://" not in ModelName.parse(row["In"]).full


@golden
def test_where_a_model_runs_is_read_as_ollama_does(row: dict[str, Any]) -> None:
    if "RefErr" in row:
        ours = "name is needed" if row["RefErr"] == "model is required" else "use either :local or :cloud"
        with pytest.raises(InvalidModelName, match=ours):
            split_source(row["In"])
    else:
        assert split_source(row["In"]) == (row.get("RefBase", ""), row.get("RefSource"))


@golden
def test_a_name_to_pull_or_delete_is_read_as_ollama_does(row: dict[str, Any]) -> None:
    if row["PullValid"]:
        assert ModelName.for_pull(row["In"]).short == row["PullName"]
    else:
        # Then PullName is what Go prints for a broken name, "!MISSING!" and all: there is nothing to pull.
        with pytest.raises(InvalidModelName):
            ModelName.for_pull(row["In"])


@pytest.mark.parametrize("same", ["tiny", "TINY:Latest", "library/Tiny", "Registry.Ollama.AI/Library/tiny:latest"])
def test_spellings_of_one_model_have_one_key(same: str) -> None:
    assert ModelName.parse(same).key == "registry.ollama.ai/library/tiny:latest"


@pytest.mark.parametrize(
    ("text", "is_cloud"),
    [("m:cloud", True), ("m:CLOUD", True), ("m:8b-Cloud", True), ("m-cloud", False), ("cloud:8b", False)],
)
def test_only_the_tag_makes_a_model_a_cloud_model(text: str, is_cloud: bool) -> None:
    assert ModelName.parse(text).is_cloud is is_cloud


def test_model_whose_own_name_ends_in_cloud_is_kept_behind_a_port() -> None:
    assert ModelName.for_pull("localhost:5000/user/m-cloud").short == "localhost:5000/user/m-cloud:latest"


def test_an_empty_host_after_a_scheme_is_the_default_host() -> None:
    assert ModelName.parse("http:///user/model").full == "registry.ollama.ai/user/model:latest"


@pytest.mark.parametrize("space", ["\u00a0", "\u3000", "\u200a", "\r\n"])
def test_spaces_that_go_trims_are_trimmed(space: str) -> None:
    assert ModelName.for_pull(f"{space}m:{space}cloud{space}").short == "m:cloud"


@pytest.mark.parametrize("control", ["\x1c", "\x1f", "\u200b", "\ufeff", "\x00"])
def test_characters_that_go_does_not_trim_make_a_name_invalid(control: str) -> None:
    with pytest.raises(InvalidModelName):
        ModelName.for_pull(f"m{control}")


def test_the_refusal_names_the_text_and_shows_what_a_name_looks_like() -> None:
    with pytest.raises(InvalidModelName) as caught:
        ModelName.for_pull("a b")
    assert str(caught.value) == (
        "'a b' is not a model name that Ollama accepts. "
        'A name looks like "llama3.2", "llama3.2:3b" or "hf.co/user/repo:Q4_K_M".'
    )


@pytest.mark.parametrize("text", ["x" * 10_000, "\x1b" * 500, "x" * 500 + ":local:cloud"])
def test_the_refusal_of_a_long_text_is_short(text: str) -> None:
    with pytest.raises(InvalidModelName) as caught:
        ModelName.for_pull(text)
    assert len(str(caught.value)) < 250


@given(model_names)
def test_every_valid_name_survives_being_written_and_read(name: ModelName) -> None:
    assert ModelName.parse(name.full) == name
    assert ModelName.parse(name.short).key == name.key
    assert ModelName.parse(name.key).key == name.key


@given(name_like)
def test_any_text_is_a_name_or_refused_with_a_printable_sentence(text: str) -> None:
    for read in (ModelName.parse, ModelName.for_pull):
        try:
            outcome = read(text).full
        except InvalidModelName as error:
            outcome = str(error)
        assert outcome.isprintable()


@given(name_like)
def test_reading_a_name_to_pull_twice_changes_nothing(text: str) -> None:
    try:
        name = ModelName.for_pull(text)
    except InvalidModelName:
        return
    assert ModelName.for_pull(str(name)).key == name.key


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("`llama3.2`", "llama3.2:latest"),
        ("\u201cqwen3:8b\u201d", "qwen3:8b"),
        ("ollama run llama3.2", "llama3.2:latest"),
        ("`ollama pull --insecure localhost:5000/a/b`", "localhost:5000/a/b:latest"),
        ("https://ollama.com/library/llama3.2:3b", "llama3.2:3b"),
        ("https://www.ollama.com/library/llama3.2/tags?x=1", "llama3.2:latest"),
        ("https://ollama.com/user/model", "user/model:latest"),
        ("https://huggingface.co/user/repo-GGUF/tree/main", "hf.co/user/repo-GGUF:latest"),
        ("https://huggingface.co/user/repo/blob/main/x.gguf?download=true#y", "hf.co/user/repo:x.gguf"),
        ("https://huggingface.co/user/repo/resolve/main/x-Q8_0.gguf", "hf.co/user/repo:x-Q8_0.gguf"),
        ("https://huggingface.co/user/repo?show_file_info=x-Q8_0.gguf", "hf.co/user/repo:x-Q8_0.gguf"),
        ("https://huggingface.co/user/repo/blob/main/Q8_0/x-00001-of-00002.gguf", "hf.co/user/repo:latest"),
        ("https://huggingface.co/user/repo/blob/main/README.md", "hf.co/user/repo:latest"),
        ("https://hf.co/user/repo:Q4_K_M", "hf.co/user/repo:Q4_K_M"),
        ("https://ollama.com/library/llama3.2:3b/blobs/dde5aa3fc5ff", "llama3.2:3b"),
        ("$ ollama run llama3.2:3b", "llama3.2:3b"),
        ("ollama run llama3.2:3b --verbose", "llama3.2:3b"),
        ('ollama run llama3.2:3b "hello there"', "llama3.2:3b"),
        ("docker exec -it ollama ollama pull qwen3:8b", "qwen3:8b"),
        ("<llama3.2:3b>,", "llama3.2:3b"),
    ],
)
def test_pasted_forms_of_a_name_are_read(text: str, name: str) -> None:
    assert str(ModelName.for_pull(text)) == name


@pytest.mark.parametrize(
    "text", ["https://ollama.com/download", "https://ollama.com/", "``", "ollama run", "ollama rm a b", "a*"]
)
def test_pasted_text_without_a_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidModelName):
        ModelName.for_pull(text)


@pytest.mark.parametrize(
    ("text", "character", "nearest"),
    [
        ("granite4:tiny\u2011h", "character 14 is U+2011 NON-BREAKING HYPHEN", "granite4:tiny-h"),
        ("granite4:tiny\u2013h", "character 14 is U+2013 EN DASH", "granite4:tiny-h"),
        ("granite4\uff1atiny", "character 9 is U+FF1A FULLWIDTH COLON", "granite4:tiny"),
        ("granite4\u2236tiny", "character 9 is U+2236 RATIO", "granite4:tiny"),
        ("ll\u0430ma3", "character 3 is U+0430 CYRILLIC SMALL LETTER A", "llama3"),
        ("llama\u200b3", "character 6 is U+200B ZERO WIDTH SPACE", "llama3"),
    ],
)
def test_look_alike_character_is_named_with_its_place(text: str, character: str, nearest: str) -> None:
    with pytest.raises(InvalidModelName) as caught:
        ModelName.for_pull(text)
    assert str(caught.value) == f"{text!r} is not a valid model name: {character}. Use {nearest!r}."


def test_foreign_character_without_a_look_alike_is_named() -> None:
    with pytest.raises(InvalidModelName, match=r"character 1 is U\+6A21 CJK UNIFIED IDEOGRAPH-6A21\."):
        ModelName.for_pull("\u6a21")


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("qwen3:8b", True),
        ("hf.co/a/b:Q4", True),
        ("x? Approved, press Yes", False),
        ("http://a/b/c", False),
        ("", False),
    ],
)
def test_only_names_of_a_valid_form_are_valid(text: str, valid: bool) -> None:
    assert ModelName.is_valid(text) is valid
