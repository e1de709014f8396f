"""Check the language of Python, pages and configuration against the word list of CONTRIBUTING.md.

Exits with status 1 when one is found. Recorded and generated texts, and released changelog entries, are left out. A
line that quotes a banned word on purpose ends in the comment `plain: quoted`.
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent

WORDS = (
    *("told", "tells?", "nobody", "anew", "for ever", "heed(?:s|ed)?", "heard", "deeds?", "bears", "mend(?:s|ed)?"),
    *("beforehand", "so many", "shall", "letter case", "under way", "switched off", "switches off"),
)
FIRST_WORDS = ("Give", "Tell", "Say", "Have", "Let", "Make sure", "Note", "What", "Whoever", "Who", "That", "Work out")
BANNED = re.compile(rf"\b(?:{'|'.join(WORDS)})\b", re.IGNORECASE)
BANNED_START = re.compile(rf"(?:{'|'.join(FIRST_WORDS)})s?\b")
CHECKED = (tokenize.COMMENT, tokenize.STRING, tokenize.NAME, getattr(tokenize, "FSTRING_MIDDLE", -1))
MARK = "plain: quoted"
FILES = ("*.py", "*.md", "Makefile", "Dockerfile", "*.toml", "*.yml", "*.yaml", "*.json", "*.html", "*.js", "*.mjs")
EXEMPT = ("scripts/plain_english.py", "tests/test_plain_english.py", "CONTRIBUTING.md")
"""Files that have to quote the words."""


class Finding(NamedTuple):
    """A banned word: the file, its line and the word."""

    path: str
    line: int
    word: str


def check_python(path: str, source: str) -> Iterator[Finding]:
    """Yield the banned words of a module's names, comments and strings, and banned first words of its docstrings."""
    # To split a module into tokens takes longer than all else here, and most have none of the words.
    if BANNED.search(source.replace("_", " ")):
        yield from _check_tokens(path, source)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            start = BANNED_START.match(ast.get_docstring(node) or "")
            if start:
                line, name = (1, "the module") if isinstance(node, ast.Module) else (node.lineno, node.name)
                yield Finding(path, line, f"docstring of {name} begins with {start[0]!r}")


def _check_tokens(path: str, source: str) -> Iterator[Finding]:
    quoted = {number for number, line in enumerate(source.splitlines(), 1) if MARK in line}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in CHECKED:
            text = token.string.replace("_", " ") if token.type == tokenize.NAME else token.string
            yield from (finding for finding in _search(path, token.start[0], text) if finding.line not in quoted)


def check_page(path: str, text: str) -> Iterator[Finding]:
    """Yield the banned words of a page or another text; of a changelog, only those of the unreleased entry."""
    if path == "CHANGELOG.md":
        text = re.split(r"^## .*\d{4}-\d{2}-\d{2}", text, maxsplit=1, flags=re.MULTILINE)[0]
    yield from _search(path, 1, text)


def check_repository() -> list[Finding]:
    """Check every tracked file of Python, prose or configuration outside tests/data."""
    listed = subprocess.run(
        ["git", "ls-files", *FILES], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    found: list[Finding] = []
    for path in listed:
        if path in EXEMPT or path.startswith("tests/data/") or not (ROOT / path).is_file():
            continue
        text = (ROOT / path).read_text(encoding="utf-8")
        found += (check_python if path.endswith(".py") else check_page)(path, text)
    return found


def _search(path: str, line: int, text: str) -> Iterator[Finding]:
    for match in BANNED.finditer(text):
        yield Finding(path, line + text.count("\n", 0, match.start()), match[0])


if __name__ == "__main__":
    findings = check_repository()
    for finding in findings:
        print(f"{finding.path}:{finding.line}: {finding.word}")
    print(f"{len(findings)} banned words")
    sys.exit(1 if findings else 0)
