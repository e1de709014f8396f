"""Model names, parsed and formatted exactly as in Ollama (`types/model/name.go`, `internal/modelref`)."""

import re
from dataclasses import dataclass
from typing import Literal, Self

from mcp_ollama.ollama.errors import InvalidModelName
from mcp_ollama.ollama.pasted_names import describe_foreign_character, replace_look_alikes, unwrap

DEFAULT_REGISTRY = "registry.ollama.ai"
OLLAMA_REGISTRIES = (DEFAULT_REGISTRY, "ollama.com")
HUGGING_FACE_REGISTRIES = ("hf.co", "huggingface.co")
REGISTRIES = (*OLLAMA_REGISTRIES, *HUGGING_FACE_REGISTRIES)
"""Registries that models may come from and go to by default; all of them speak https."""

_HOST, _NAMESPACE, _TAG = DEFAULT_REGISTRY, "library", "latest"
_VALID = re.compile(r"\w[\w.:-]{0,349}/\w[\w-]{0,79}/\w[\w.-]{0,79}:\w[\w.-]{0,79}", re.ASCII)

# What Go's strings.TrimSpace removes; str.strip() would also take \x1c-\x1f, which Ollama refuses.
_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))

_LOOKS_LIKE = 'A name looks like "llama3.2", "llama3.2:3b" or "hf.co/user/repo:Q4_K_M".'
_SHOWN_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class ModelName:
    """Complete model name, built by `parse` or `for_pull`."""

    host: str
    namespace: str
    model: str
    tag: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a name, with Ollama's default host, namespace and tag.

        Raises:
            InvalidModelName: Ollama would reject the name.
        """
        name = cls._complete(text)
        if not _VALID.fullmatch(name.full):
            raise _refusal(text)
        return name

    @classmethod
    def _complete(cls, text: str) -> Self:
        rest, tag = text, _TAG
        if _has_tag(text):
            rest, _, tag = text.rpartition(":")
        parts = rest.rsplit("/", 2)
        host, namespace, model = [_HOST, _NAMESPACE, ""][: 3 - len(parts)] + parts
        # As in Ollama, a scheme is parsed and dropped: only `insecure` makes a pull use http.
        before, scheme, after = host.partition("://")
        host = (after or _HOST) if scheme else before
        return cls(host, namespace, model, tag)

    @classmethod
    def is_valid(cls, text: str) -> bool:
        """Return whether a text from a server is a name that Ollama could list, and thus safe to quote."""
        return "://" not in text and bool(_VALID.fullmatch(cls._complete(text).full))

    @classmethod
    def for_pull(cls, text: str) -> Self:
        """Parse a name as pull and delete do: surrounding spaces, `:local` and `:cloud` are allowed.

        Pasted forms are read, too: quotes, `ollama run NAME`, the address of a page on ollama.com or Hugging Face.

        Raises:
            InvalidModelName: Ollama would reject the name.
        """
        base, source = split_source(unwrap(text))
        if source != "cloud":
            return cls.parse(base)
        return cls.parse(base + ("-cloud" if _has_tag(base) else ":cloud"))

    @property
    def full(self) -> str:
        """All four parts, as `host/namespace/model:tag`."""
        return f"{self.host}/{self.namespace}/{self.model}:{self.tag}"

    @property
    def short(self) -> str:
        """Form in which Ollama lists the model: without default host and namespace, always with the tag."""
        name = f"{self.model}:{self.tag}"
        if self.host.lower() != _HOST:
            return f"{self.host}/{self.namespace}/{name}"
        return name if self.namespace.lower() == _NAMESPACE else f"{self.namespace}/{name}"

    @property
    def key(self) -> str:
        """Text that is equal for all spellings of the same model."""
        return self.full.lower()

    @property
    def is_cloud(self) -> bool:
        """Whether the model runs on ollama.com instead of on the server."""
        tag = self.tag.lower()
        return tag == "cloud" or tag.endswith("-cloud")

    def __str__(self) -> str:
        return self.short


def split_source(text: str) -> tuple[str, Literal["cloud", "local"] | None]:
    """Split a text into the name and where the model is to run, when stated.

    Raises:
        InvalidModelName: The name is empty, or states two places.
    """
    text = text.strip(_SPACE)
    if not text:
        raise InvalidModelName(f"A model name is needed, and this one is empty. {_LOOKS_LIKE}")
    base, source = _cut_source(text)
    if source and _cut_source(base)[1]:
        raise InvalidModelName(f"{_shown(text)} says twice where the model runs: use either :local or :cloud.")
    return base, source


def _cut_source(text: str) -> tuple[str, Literal["cloud", "local"] | None]:
    base, colon, suffix = text.rpartition(":")
    suffix = suffix.strip(_SPACE)
    word = suffix.lower()
    if colon and word in ("cloud", "local"):
        return base, word
    if colon and word.endswith("-cloud") and "/" not in word:
        return base + colon + suffix[: -len("-cloud")], "cloud"
    return text, None


def _has_tag(text: str) -> bool:
    # A colon before the last slash belongs to a port.
    return text.rfind(":") > text.rfind("/")


def _refusal(text: str) -> InvalidModelName:
    character = describe_foreign_character(text)
    if not character:
        return InvalidModelName(f"{_shown(text)} is not a model name that Ollama accepts. {_LOOKS_LIKE}")
    nearest = replace_look_alikes(text)
    nearest = nearest if ModelName.is_valid(nearest) else ""
    next_step = f"Use {_shown(nearest)}." if nearest else _LOOKS_LIKE
    return InvalidModelName(f"{_shown(text)} is not a valid model name: {character}. {next_step}", nearest)


def _shown(text: str) -> str:
    # repr() escapes control characters in texts that reach terminals and logs.
    shown = repr(text)
    return shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}…"
