"""Errors of what is done with models, beside those of `ollama/errors.py`."""

from pydantic import BaseModel

from mcp_ollama.ollama.errors import OllamaError


class RefusedError(OllamaError):
    """A request that this server's rules or settings do not allow; nothing was sent to Ollama."""


class FailedError(OllamaError):
    """A transfer or load that a call waited for has failed; `outcome` is its last state, for programs."""

    def __init__(self, problem: str, next_step: str, outcome: BaseModel) -> None:
        super().__init__(problem, next_step)
        self.outcome = outcome
