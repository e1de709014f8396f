"""`make demo HOSTS=3`: the tour of several hosts, as a person sees it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_fleet_tour_lists_pulls_and_shows_the_dead_host() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "fleet.py"), "3"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )
    for line in ("gpu-0   6 models, 10.9 GB", "gpu-1: done, 1.3 GB", "it changes something, so `host` must name one"):
        assert line in done.stdout
    assert "gpu-2   down" in done.stdout
    assert done.stderr == ""
