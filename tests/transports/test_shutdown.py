"""The end of a process by signal."""

import subprocess
import sys

CLOSED = """
import os, signal
from mcp_ollama.transports.shutdown import Shutdown
def closed():
    raise RuntimeError("Event loop is closed")
Shutdown(closed, 10.0)
os.kill(os.getpid(), signal.SIGTERM)
signal.pause()
"""


def test_signal_after_the_event_loop_is_closed_ends_the_process():
    ended = subprocess.run([sys.executable, "-c", CLOSED], timeout=30, check=False)
    assert ended.returncode == 143
