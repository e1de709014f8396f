"""Records a real run of the tour on a terminal and draws it: docs/tour.svg, the picture in the README.

The drawing moves as the terminal did and comes to rest on the last screen; a viewer that knows no animation shows
that screen at once.
"""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "tour.svg"

COLUMNS = 100
CHARACTER, LINE, MARGIN, BAR = 7.83, 18, 18, 34
SECONDS_BETWEEN = 0.5
"""Seconds between two drawn states of a line that changes all the time."""

LONGEST_WAIT = 1.0
"""Where the terminal stood still for longer, the drawing does not."""

_TITLE = '<title id="t">A recorded run of make demo: list, pull with progress, show and delete a model</title>'
_STYLE = """<style>
text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#c9d1d9;white-space:pre}
.b{font-weight:700;fill:#7ee787}
.p{visibility:hidden;animation:p 1s}
.l{animation:l 1ms backwards}
@keyframes p{from,to{visibility:visible}}
@keyframes l{from{visibility:hidden}}
@media(prefers-reduced-motion){.p,.l{animation:none}}
</style>"""
"""A passing state is seen while its animation runs, a lasting one from when its animation has begun."""

_PARTS = re.compile(r"\x1b\[(?P<code>[0-9;]*[a-zA-Z])|(?P<control>[\r\n])|(?P<text>[^\x1b\r\n]+)")


@dataclass
class Row:
    """A line of the terminal: what it showed, and since when; bold or not."""

    states: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    bold: bool = False

    def show(self, moment: float, text: str) -> None:
        """Add a state; one that was shown too briefly is replaced."""
        if len(self.states) > 1 and moment - self.states[-2][0] < SECONDS_BETWEEN:
            self.states.pop()
        self.states.append((moment, text))


def record() -> list[tuple[float, str]]:
    """Run the tour of `make demo` on a terminal, and return its output in pieces, each with its time."""
    terminal, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 60, COLUMNS, 0, 0))
    tour = [sys.executable, str(ROOT / "examples" / "tour.py")]
    chunks: list[tuple[float, str]] = []
    with subprocess.Popen(tour, stdin=child, stdout=child, stderr=child) as process:
        os.close(child)
        moment, last = 0.0, time.monotonic()
        while chunk := _read(terminal):
            moment += min(LONGEST_WAIT, time.monotonic() - last) if chunks else 0
            last = time.monotonic()
            chunks.append((moment, chunk.decode(errors="replace")))
    os.close(terminal)
    if process.returncode:
        sys.exit("".join(text for _, text in chunks))
    return chunks


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:
        return b""  # Linux reports a closed terminal in this way.


def play(chunks: list[tuple[float, str]]) -> list[Row]:
    """Return the rows that a terminal shows after the output of the tour."""
    rows, line, bold = [Row()], "", False
    for moment, chunk in chunks:
        for part in _PARTS.finditer(chunk):
            if part["code"]:
                bold = part["code"] == "1m" if part["code"].endswith("m") else bold
            elif part["control"] == "\n":
                rows.append(Row())
                line = ""
            elif part["control"] == "\r":
                line = ""
            else:
                line += part["text"]
                while len(line) > COLUMNS:
                    rows[-1].show(moment, line[:COLUMNS])
                    rows.append(Row())
                    line = line[COLUMNS:]
                rows[-1].show(moment, line)
                rows[-1].bold = bold
    while rows and not rows[-1].states:
        rows.pop()
    return rows


def draw(rows: list[Row]) -> str:
    """Draw the terminal."""
    width, height = round(COLUMNS * CHARACTER + 2 * MARGIN), BAR + len(rows) * LINE + MARGIN
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve" {size} role="img" aria-labelledby="t">'
    frame = f'<rect x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="8" fill="#0d1117" stroke="#6e7681"/>'
    buttons = (
        f'<circle cx="{MARGIN + 18 * place}" cy="17" r="5.5" fill="{colour}"/>'
        for place, colour in enumerate(("#ff5f56", "#ffbd2e", "#27c93f"))
    )
    title = f'<text x="{width / 2:g}" y="21.5" text-anchor="middle" style="fill:#8b949e">make demo</text>'
    texts = (text for number, row in enumerate(rows) for text in _texts(row, BAR + (number + 1) * LINE - 4))
    return "\n".join([head, _TITLE, _STYLE, frame, *buttons, title, *texts, "</svg>\n"])


def _texts(row: Row, y: int) -> Iterator[str]:
    last = len(row.states) - 1
    for place, (moment, text) in enumerate(row.states):
        kind = "p" if place < last else "l"
        style = f"animation-delay:{moment:.2f}s"
        if place < last:
            style += f";animation-duration:{row.states[place + 1][0] - moment:.2f}s"
        words = f"{kind} b" if row.bold else kind
        yield f'<text class="{words}" x="{MARGIN}" y="{y}" style="{style}">{escape(text, quote=False)}</text>'


if __name__ == "__main__":
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(draw(play(record())), encoding="utf-8")
    print(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size:,} bytes")
