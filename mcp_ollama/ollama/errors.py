"""What can go wrong between us and an Ollama server.

OllamaError
├── OllamaConnectionError            nothing answers at that address
│   └── OllamaTimeoutError           something listens, but it did not answer in time
├── OllamaStatusError                the server answered with a status >= 400
│   ├── OllamaAuthorizationError     401 or 403
│   └── ModelNotFoundError           404 for a model
├── OllamaStreamError                a running stream reported an error, or ended before `success`
│   ├── NotInRegistryError           the registry that a pull asks has no such model
│   └── RegistryAccessError          the registry lets the server not have it, or not put it there
├── OllamaResponseError              a 2xx answer that is not what the API promises
└── ModelError                       a model cannot be set up for Pydantic AI
InvalidModelName(ValueError)         a name that Ollama would refuse, found before any request
"""

from collections.abc import Mapping


class OllamaError(Exception):
    """Anything that this package raises on purpose about an Ollama server.

    `str()` of it is what failed, with which thing, and what to do next.

    Args:
        problem: What failed, as a sentence.
        next_step: What a person or an agent can do about it, as a sentence; may be empty.
        retryable: Whether the same request may succeed by itself a little later.
    """

    def __init__(self, problem: str, next_step: str = "", *, retryable: bool = False) -> None:
        super().__init__(f"{problem} {next_step}".strip())
        self.problem = problem
        self.next_step = next_step
        self.retryable = retryable


class OllamaConnectionError(OllamaError):
    """Nothing answers at the address, or the connection broke before an answer was complete."""

    def __init__(self, problem: str, next_step: str = "") -> None:
        super().__init__(problem, next_step, retryable=True)


class OllamaTimeoutError(OllamaConnectionError):
    """Something listens at the address but did not answer within the timeout."""


class OllamaStatusError(OllamaError):
    """The server answered with an HTTP status of 400 or more (3xx too: redirects are not followed)."""

    def __init__(self, problem: str, next_step: str = "", *, status_code: int) -> None:
        super().__init__(problem, next_step, retryable=status_code >= 500)
        self.status_code = status_code


class OllamaAuthorizationError(OllamaStatusError):
    """401 or 403: a key is missing or wrong, or a Host or Origin check refused us."""


class ModelNotFoundError(OllamaStatusError):
    """404 for a model: the server (or the registry) has no such model."""

    def __init__(self, problem: str, next_step: str = "", *, model: str) -> None:
        super().__init__(problem, next_step, status_code=404)
        self.model = model


class OllamaStreamError(OllamaError):
    """A stream that began with HTTP 200 reported an error, or ended before `success`."""


class NotInRegistryError(OllamaStreamError):
    """The registry has no such model, or not all of it."""


class RegistryAccessError(OllamaStreamError):
    """401 or 403 of a registry: the model is private, gated, misspelt, or another account's."""


class OllamaResponseError(OllamaError):
    """A 2xx answer that is not what the API promises: HTML, bad JSON, a missing field."""


class ModelError(OllamaError):
    """A model cannot be set up for Pydantic AI.

    Args:
        message: The sentence for the user.
        model_name: The model that was asked for, None when none could be found.
        details: Machine-readable facts: `status_code`, `url` or `error`.
    """

    def __init__(
        self, message: str, model_name: str | None = None, details: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.model_name = model_name
        self.details: dict[str, object] = dict(details or {})


class InvalidModelName(ValueError):  # noqa: N818 - reads as what it is: `except InvalidModelName`
    """A model name that Ollama would refuse; raised before any request is sent."""
