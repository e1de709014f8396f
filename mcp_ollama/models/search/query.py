"""The words of a search: those that may name a model are kept, since registries match names only."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from mcp_ollama.ollama.errors import InvalidModelName
from mcp_ollama.ollama.names import DEFAULT_REGISTRY, ModelName
from mcp_ollama.ollama.pasted_names import unwrap
from mcp_ollama.sources.quantization import parse_file_name

MAX_CHARACTERS = 200
MAX_WORDS = 6

_TOKEN = re.compile(r"[a-z0-9][a-z0-9._/:-]*", re.ASCII)
_HOST = re.compile(r"^(?:https?:/+)?(?:www\.)?(?:hf\.co|huggingface\.co|ollama\.com/library|registry\.ollama\.ai)/")
_MEMORY = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:gb|gib|mb|mib|g)", re.ASCII)
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?", re.ASCII)
_PARAMETERS = re.compile(r"[0-9]+(?:\.[0-9]+)?[bm]", re.ASCII)
_OWNED = re.compile(r"[^/]+/([^/]+)")
_UNITS = frozenset({"gb", "gib", "mb", "mib", "gigabyte", "gigabytes", "megabytes"})
_SYNONYMS: Mapping[str, str] = {
    "coding": "coder", "programming": "coder", "developer": "coder", "embeddings": "embedding",
    "instruction": "instruct", "maths": "math", "mathematics": "math", "fp16": "f16", "fp32": "f32",
}  # fmt: skip
"""Words of tasks, and what models for them have in their names; Ollama's spellings of quantizations."""
_WORDS_OF_QUESTIONS = """
a agent agentic agents ai all an and any are as at be best big but by calling can capable card chat cheap could
current describe do does download fast fastest few find fit fits fitting for free from function functions get gguf
give good gpu graphics great have help hf host how huggingface i images in into is it its just laptop large latest
less light like linux list llm llms local locally mac machine me medium memory model models modern more my need
needs new newest nice not of ollama on one open or pc please popular pull quantization quantized quick ram read
recent recommend recommended run running runs search show slow small smallest smart some something support supports
that the thing this tiny to tool tools top under up use using very vram want well what which windows with within
without work works write writing you your
"""
_NAMELESS = frozenset(_WORDS_OF_QUESTIONS.split())
"""None of them is a family of models."""


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """The parts of a query that sources understand.

    Attributes:
        words: Parts of names in lower case, at most six; empty asks for what is popular.
        library_name: Name to look up in Ollama's library; None when the query cannot be one name.
        has_text: Whether anything was asked, even if no word of it is kept.
        quantization: The quantization that the query names, such as `Q8_0`.
    """

    words: tuple[str, ...]
    library_name: ModelName | None
    has_text: bool
    quantization: str | None = None

    @property
    def families(self) -> list[str]:
        """The words that are not a number of parameters."""
        return [word for word in self.words if not _PARAMETERS.fullmatch(word)]

    @property
    def attempts(self) -> list[str]:
        """The searches to try, each with half the words of the one before, at last a name without its owner.

        `google/gemma-3-4b-it` holds the original weights; the repositories that Ollama can pull have other owners.
        """
        count = len(self.words)
        counts = [count]
        while count > 1:
            count = (count + 1) // 2
            counts.append(count)
        name = _OWNED.fullmatch(self.words[0]) if self.words else None
        return [" ".join(self.words[:number]) for number in counts] + ([name[1]] if name else [])


def parse_query(text: str) -> SearchQuery:
    """Parse a question of a person or a model, such as `a coding model with tools for 12 GB`; never raises."""
    tokens = [token.rstrip("._/:-") for token in _TOKEN.findall(unwrap(text)[:MAX_CHARACTERS].lower())]
    words: dict[str, None] = {}
    quantization = None
    for token in _without_memory(tokens):
        name, *tags = _HOST.sub("", token).split(":")
        for part in (name, *map(_label_of_file, tags)):
            word = _SYNONYMS.get(part, part)
            if _is_quantization(word):
                quantization = quantization or word.upper()
            elif word and word not in _NAMELESS:
                words[word] = None
    kept = tuple(words)[:MAX_WORDS]
    return SearchQuery(kept, _library_name(tokens, kept), bool(tokens), quantization)


def _without_memory(tokens: list[str]) -> Iterator[str]:
    """Yield the tokens without sizes of memory: `12gb`, `12 GB`."""
    for token, following in pairwise([*tokens, ""]):
        is_size = token in _UNITS or _MEMORY.fullmatch(token) or (following in _UNITS and _NUMBER.fullmatch(token))
        if not is_size:
            yield token


def _label_of_file(tag: str) -> str:
    """Return the quantization of a file whose name is a tag, empty without one; any other tag as it is."""
    return (parse_file_name(tag).quantization or "").lower() if tag.endswith(".gguf") else tag


def _is_quantization(word: str) -> bool:
    parsed = parse_file_name(f"{word}.gguf")
    return parsed.quantization is not None and parsed.quantization.lower() == word


def _library_name(tokens: list[str], words: tuple[str, ...]) -> ModelName | None:
    """Return the name that a query is, `family size` included; None for a sentence and for another registry's."""
    if len(tokens) == 1:
        text = tokens[0]
    elif len(words) == 2 and _PARAMETERS.fullmatch(words[1]):
        text = ":".join(words)
    elif len(words) == 1 and words[0] in tokens:
        text = words[0]
    else:
        return None
    try:
        name = ModelName.for_pull(re.sub(r"^(?:https?:/+)?ollama\.com/library/", "", text))
    except InvalidModelName:
        return None
    return name if name.host == DEFAULT_REGISTRY else None
