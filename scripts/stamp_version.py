"""Write the version of pyproject.toml, its only source, into server.json and bundle/manifest.json."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAMPED = ("server.json", "bundle/manifest.json")


def stamp_version(text: str, version: str) -> str:
    """Return a JSON text with every `"version"` replaced and nothing else changed."""
    return re.sub(r'("version": )"[^"]*"', rf'\1"{version}"', text)


if __name__ == "__main__":
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for name in STAMPED:
        path = ROOT / name
        path.write_text(stamp_version(path.read_text(encoding="utf-8"), project["version"]), encoding="utf-8")
