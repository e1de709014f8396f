"""The direction and the states of a transfer, as tools, resources and the journal name them."""

from typing import Literal

Kind = Literal["pull", "push"]
State = Literal[
    "queued",
    "manifest",
    "downloading",
    "uploading",
    "verifying",
    "writing",
    "retrying",
    "cancelling",
    "done",
    "failed",
    "cancelled",
    "interrupted",
]


def cancel_call(kind: Kind) -> str:
    """Return the tool call that cancels a transfer, for sentences."""
    return "cancel_pull" if kind == "pull" else f"cancel_pull with kind {kind}"
