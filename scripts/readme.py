"""Code blocks, tables and links of a Markdown page, and how each client would start the server."""

import base64
import json
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
CLIENTS = ROOT / "docs" / "clients.md"


@dataclass(frozen=True)
class Start:
    """A command line that a client runs, and the environment variables that it sets."""

    command: tuple[str, ...]
    variables: Mapping[str, str]


@dataclass(frozen=True)
class Fence:
    """A code block: its language, the `<details>` or heading that it stands under, and its text."""

    language: str
    under: str
    text: str


_LINE = re.compile(r"<summary><b>(?P<summary>.*?)</b>|^#+ (?P<heading>.+)|^```(?P<fence>\S*)")


def fences(text: str) -> Iterator[Fence]:
    """Yield the code blocks, in order."""
    under, language, block = "", "", list[str]()
    for line in text.splitlines():
        found = _LINE.search(line)
        if language and line.strip() != "```":
            block.append(line)
        elif language:
            yield Fence(language, under, "\n".join(block))
            language, block = "", []
        elif found and found["fence"]:
            language = found["fence"]
        elif found:
            under = found["summary"] or found["heading"] or under


def rows(text: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table under a heading, without its head."""
    section = re.split(rf"^#+ {re.escape(heading)}\n", text, maxsplit=1, flags=re.MULTILINE)[1]
    lines: list[list[str]] = []
    for line in section.splitlines():
        if line.startswith("|"):
            # A \| stands for the character itself.
            lines.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif lines or line.startswith("#"):
            break
    return lines[2:]


def links(text: str) -> list[str]:
    """Return the targets of all links and pictures."""
    return re.findall(r"(?:\]\(|(?:src|href|srcset)=\")([^)\"\s]+)", text)


def install_links(text: str) -> dict[str, Start]:
    """Return what the one-click links install."""
    return {link: _installed(link) for link in links(text) if "install" in link and "config=" in link}


def start_of(language: str, text: str) -> Start:
    """Decode a host's snippet: JSON, TOML, or a command line that takes one after `--`."""
    if language == "sh":
        words = shlex.split(text.replace("\\\n", " "))
        end = words.index("--")
        variables = [words[place + 1] for place, word in enumerate(words[:end]) if word == "-e"]
        return Start(tuple(words[end + 1 :]), dict(one.split("=", 1) for one in variables))
    document: Any = tomllib.loads(text) if language == "toml" else json.loads(text)
    (servers,) = document.values()
    (entry,) = servers.values()
    return _start(entry)


def commands(text: str, under: str) -> list[list[str]]:
    """Return the command lines of the shell blocks under a heading."""
    return [
        words
        for fence in fences(text)
        if fence.language == "sh" and fence.under == under
        for line in fence.text.splitlines()
        if (words := shlex.split(line, comments=True))
    ]


def _installed(link: str) -> Start:
    query = parse_qs(urlsplit(link).query)
    if query["name"] != ["ollama"]:
        raise ValueError(f"installs under another name: {link}")
    (config,) = query["config"]
    return _start(json.loads(config if config.startswith("{") else base64.b64decode(config, validate=True)))


def _start(entry: Mapping[str, Any]) -> Start:
    command: str | Sequence[str] = entry["command"]
    if isinstance(command, str):
        arguments: Sequence[str] = entry.get("args", [])
        return Start((command, *arguments), entry.get("env", {}))
    return Start(tuple(command), entry["environment"])  # OpenCode
