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
