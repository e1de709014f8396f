"""Names of models as people paste them: quoted, in a command or address, with a prefix or look-alike characters."""

import re
import unicodedata
from urllib.parse import unquote

_QUOTES = "`'\"\u2018\u2019\u201c\u201d"
_AROUND = _QUOTES + "<>,;"
_MAX_PASTED = 1000
"""Longest text that is searched for a name; a longer one is a mistake."""
_COMMAND = re.compile(
    r"(?:[$>%#]\s+)?(?:(?:sudo|docker|podman|kubectl)\s(?:.*\s)?)?ollama\s+"
    # Words after the name are the prompt of `run`, and more names in `rm`.
    r"(?:(?P<is_run>run)|pull|show|push|rm|stop)\s+(?:--?[\w-]+\s+)*(?P<name>[^\s-]\S*)(?:\s+-\S+)*(?(is_run)(?:\s.*)?)",
    re.IGNORECASE,
)
_OLLAMA_PAGE = re.compile(r"https?://(?:www\.)?ollama\.com/(?P<path>[^?#]+)(?:[?#].*)?", re.IGNORECASE)
_HUGGING_FACE_PAGE = re.compile(
    r"https?://(?:www\.)?(?:hf\.co|huggingface\.co)/(?P<repository>[\w.-]+/[\w.-]+?)"
    r"(?::(?P<tag>[\w.-]+))?(?:/(?:tree|blob|resolve|raw|discussions|commits?)\b[^?#]*|/?)(?:[?#].*)?",
    re.IGNORECASE | re.ASCII,
)
_FILE_OF_PAGE = re.compile(
    r"(?:/(?:blob|resolve|raw)/[^/?#]+/|[?&]show_file_info=)(?P<file>\w[\w.-]{0,74}\.gguf)(?=[?&#]|$)",
    re.IGNORECASE | re.ASCII,
)
"""A weights file, whose name Hugging Face takes as a tag (hub-docs, docs/hub/ollama.md); Ollama's tags have at most 80
characters."""
_PYDANTIC_AI = re.compile(r"ollama:(?=[a-z][^\s:]*:[^\s:/]+\Z)", re.IGNORECASE)
"""Before a name in `Agent("ollama:qwen3:8b")`; without a tag behind it Ollama takes the whole for a name."""
_SIMILAR = dict(
    zip(
        "\N{RATIO}\N{MODIFIER LETTER COLON}\N{DIVISION SLASH}\N{FRACTION SLASH}\N{MINUS SIGN}"
        # Cyrillic letters that look like Latin ones.
        "\u0430\u0435\u043e\u0440\u0441\u0445\u0443\u0456",
        "::/" + "/-" + "aeopcxyi",
        strict=True,
    )
)


def unwrap(text: str) -> str:
    """Return the name within a pasted text; a text that is none of these forms stays as it is.

    `` `llama3.2` ``, `ollama run llama3.2` and https://ollama.com/library/llama3.2 are llama3.2, `ollama:qwen3:8b` is
    qwen3:8b, and https://huggingface.co/user/repo/tree/main is hf.co/user/repo; the page of a weights file has its name
    as the tag.
    """
    if len(text) > _MAX_PASTED:
        return text
    inner = _PYDANTIC_AI.sub("", text.strip().strip(_AROUND).strip())
    if command := _COMMAND.fullmatch(inner):
        inner = command["name"].strip(_AROUND)
    if page := _HUGGING_FACE_PAGE.fullmatch(inner):
        file = _FILE_OF_PAGE.search(inner)
        tag = page["tag"] or (file and file["file"])
        return f"hf.co/{page['repository']}" + (f":{tag}" if tag else "")
    if page := _OLLAMA_PAGE.fullmatch(inner):
        return _name_of_page(unquote(page["path"])) or text
    return inner if inner and inner != text.strip() else text


def _name_of_page(path: str) -> str:
    parts = [part for part in path.split("/") if part]
    # Pages of a model: its tags, and its files as blobs/DIGEST.
    if parts[2:3] in (["tags"], ["blobs"]):
        del parts[2:]
    if len(parts) != 2:
        return ""
    return parts[1] if parts[0] == "library" else "/".join(parts)


def replace_look_alikes(text: str) -> str:
    """Return the text with ASCII characters in place of those that look like them."""
    return "".join(map(_look_alike, text))


def _look_alike(character: str) -> str:
    if character.isascii():
        return character
    if unicodedata.category(character) == "Pd":
        return "-"
    if unicodedata.category(character) == "Cf":
        return ""
    normal = unicodedata.normalize("NFKC", character)
    return _SIMILAR.get(character, normal if normal.isascii() and not normal.isspace() else character)


def describe_foreign_character(text: str) -> str:
    """Return the place, code point and name of the first character that is not ASCII; empty when all are.

    For example `character 14 is U+2011 NON-BREAKING HYPHEN`.
    """
    for place, character in enumerate(text, 1):
        if not character.isascii():
            return f"character {place} is U+{ord(character):04X} {unicodedata.name(character, '')}".strip()
    return ""
