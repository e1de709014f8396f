"""The limits of time of a transfer."""

from dataclasses import dataclass

from mcp_ollama.models.outage import POLL_SECONDS, UNTOUCHED_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferTimes:
    """Limits of time of a transfer, in seconds.

    Args:
        stall: No new bytes for this long is a stall; `MCP_OLLAMA_STALL_SECONDS`.
        retry: Before the second attempt; further pauses grow from it.
        outage: Longest time without any answer of the server, after the first byte; `MCP_OLLAMA_OUTAGE_SECONDS`.
        untouched_outage: The same before the first byte.
        outage_poll: Between two requests that ask whether the server answers again.
        quiet: After this long without a line, the server is asked whether it still answers.
        undecided: Longest wait for a stream that must not be closed yet (ollama#17370).
    """

    stall: float = 60
    retry: float = 1
    outage: float = 900
    untouched_outage: float = UNTOUCHED_SECONDS
    outage_poll: float = POLL_SECONDS
    quiet: float = 5
    undecided: float = 30
