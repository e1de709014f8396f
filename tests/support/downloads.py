"""A model that downloads slowly, and a client that receives progress often."""

from dataclasses import replace

from mcp_ollama.models.app import Timeouts
from mcp_ollama.simulator import Simulator

MODEL = "llama3.2:1b"
SIZE = 30_000_000
BUSY = Timeouts(progress_interval=0.01, progress_keepalive=0.02, retry=0.002, outage_poll=0.02)
"""Progress is reported at once, and the pauses between attempts are short: 0.3 s in all."""
LASTING = replace(BUSY, retry=0.05)
"""The pauses are as long as a restart on a busy machine."""


def downloadable() -> Simulator:
    """Build an Ollama that needs some 30 ticks for the model, which is published but not installed."""
    simulator = Simulator(tick=0.002, rate=20_000_000)
    simulator.registry.publish(MODEL, size_bytes=SIZE)
    return simulator
