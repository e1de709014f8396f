"""Redacting, sanitizing and truncating of texts from servers and registries, always in this order."""

import json
import re
from collections.abc import Iterable, Mapping

MAX_TEXT = 300
"""Characters of foreign text (a server's or a registry's) in one of our sentences."""

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

_SHORTEST_SECRET = 4
_SHORTEST_SECRET_HEADER = 6
"""Shorter header values (`true`, `1`) are not secrets, and would corrupt every answer that contains them."""

# Control characters, and format characters that hide, reorder or split text (bidi controls, zero-width characters,
# line and paragraph separators, tags), as well as surrogates, which cannot be encoded.
_UNSAFE = (
    r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f"
)
_LINE_SPACE = re.compile(r"[\t\n\r]+")
_UNSAFE_IN_TEXT = re.compile(rf"[{_UNSAFE}]")

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.?)", re.DOTALL)
_HTML = re.compile(r"<(?:!doctype|html|head|body)\b.*", re.IGNORECASE | re.DOTALL)
# Presigned addresses carry credentials in their path and query; user information stands before the host.
_URL = re.compile(r"\b(https?://)(?:[^\s/?#@\"'<>]*@)?([^\s/?#@\"'<>]+)[^\s\"'<>]*", re.IGNORECASE)
_SIGNATURE = re.compile(r"\b(?:X-(?:Amz|Goog)-[\w-]+|AWSAccessKeyId|Signature|Credential)=[^\s\"'<>,;]*", re.IGNORECASE)
_PATH = re.compile(r"(?<![\w:/.])(?:/[^\s/:\"',;)]+){2,}/?|\b[A-Za-z]:\\[^\s\"',;)]+")


class Redactor:
    """Replaces the secrets of one server in texts, since a server may repeat what it receives.

    Args:
        api_key: The bearer token.
        headers: The further request headers.
    """

    def __init__(self, api_key: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        values = [(api_key or "", _SHORTEST_SECRET), *((v, _SHORTEST_SECRET_HEADER) for v in (headers or {}).values())]
        secrets = {value.strip() for value, shortest in values if len(value.strip()) >= shortest}
        # Redact `Basic eA==` and also `eA==`.
        secrets |= {part for value, _ in values if len(part := value.strip().partition(" ")[2]) >= _SHORTEST_SECRET}
        forms = {form for secret in secrets for form in _written_forms(secret)}
        self._secrets = sorted(forms, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Return the text with each secret replaced by `***`."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def _written_forms(secret: str) -> Iterable[str]:
    escaped = json.dumps(secret)[1:-1]
    yield secret
    yield escaped
    # Go's encoding/json also escapes these three.
    yield escaped.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")


def sanitize(text: str, limit: int = MAX_TEXT) -> str:
    """Convert a foreign text to one line for one of our sentences.

    Terminal escapes, web pages, server paths and all of an address but scheme and host are removed before the text
    is truncated to `limit` characters.
    """
    text = "".join(one if one.isprintable() else " " for one in _ANSI.sub("", text[: 10 * limit]))
    text = _SIGNATURE.sub("", _URL.sub(r"\1\2", _HTML.sub("<a web page>", text)))
    return truncate(" ".join(_PATH.sub("<path>", text).split()), limit)


def clean_line(text: str, limit: int) -> str:
    """Convert a text to one line of at most `limit` characters without control and bidi characters."""
    if len(text) <= limit and text.isascii() and text.isprintable():
        return text
    line = _LINE_SPACE.sub(" ", _ANSI.sub("", text[: 10 * limit]))
    return truncate(_UNSAFE_IN_TEXT.sub(REPLACEMENT, line), limit)


def clean_text(text: str) -> str:
    """Remove terminal escapes from a text of several lines, and replace control and bidi characters."""
    return text if text.isascii() and text.isprintable() else _UNSAFE_IN_TEXT.sub(REPLACEMENT, _ANSI.sub("", text))


def truncate(text: str, limit: int) -> str:
    """Shorten a text to `limit` characters; a shortened one ends in an ellipsis."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
