"""Failures of Hugging Face.

OllamaError
├── RequestLimitError                     our own limit of requests for one search
├── OllamaStatusError
│   ├── RateLimitError                    429, or a pause that Hugging Face asked for
│   └── RepositoryUnavailableError        401, 403 or 404: missing, private or misspelt
"""

from mcp_ollama.ollama.errors import OllamaError, OllamaStatusError


class RequestLimitError(OllamaError):
    """A search has used up its requests."""


class RateLimitError(OllamaStatusError):
    """Hugging Face allows no further request yet.

    Args:
        host: Host of the API.
        wait_seconds: Whole seconds until the next request is allowed.
    """

    def __init__(self, host: str, wait_seconds: int) -> None:
        super().__init__(
            f"{host} limits the requests from this address: the next one is allowed in {wait_seconds} s.",
            f"Search again after {wait_seconds} s, or set HF_TOKEN for a higher limit.",
            status_code=429,
        )
        self.wait_seconds = wait_seconds


class RepositoryUnavailableError(OllamaStatusError):
    """Hugging Face has no such public repository; it does not say whether it is missing or private."""
