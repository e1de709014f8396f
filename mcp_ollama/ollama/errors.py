"""Errors of a client of an Ollama server.

OllamaError
├── OllamaConnectionError            nothing answers at that address
│   └── OllamaTimeoutError           something listens, but it did not answer in time
├── OllamaStatusError                the server answered with a status >= 400
│   ├── OllamaAuthorizationError     401 or 403
│   ├── BalancerError                501: a balancer, which does not manage models
│   └── ModelNotFoundError           404 for a model
├── OllamaStreamError                a running stream reported an error, or ended before `success`
│   ├── NotInRegistryError           the registry has no such model
│   └── RegistryAccessError          the registry denies the server access to the model
├── OllamaResponseError              a 2xx response that does not match the API
└── ModelError                       a model cannot be configured for Pydantic AI
InvalidModelName(ValueError)         a name that Ollama would reject, found before any request
"""

from collections.abc import Mapping


class OllamaError(Exception):
    """Base of all errors that this package raises about an Ollama server or a registry.

    `str()` of it states what failed, and the next step.

    Args:
        problem: What failed, as a sentence.
        next_step: The next step of a person or an agent, as a sentence; may be empty.
        retryable: Whether the same request may succeed later without a change.
    """

    def __init__(self, problem: str, next_step: str = "", *, retryable: bool = False) -> None:
        super().__init__(f"{problem} {next_step}".strip())
        self.problem = problem
        self.next_step = next_step
        self.retryable = retryable


class OllamaConnectionError(OllamaError):
    """The server is unreachable, or the connection broke before the response was complete."""

    def __init__(self, problem: str, next_step: str = "") -> None:
        super().__init__(problem, next_step, retryable=True)


class OllamaTimeoutError(OllamaConnectionError):
    """The server did not respond within the timeout."""


class OllamaStatusError(OllamaError):
    """HTTP status of 400 or more, or a redirect, which is not followed."""

    def __init__(self, problem: str, next_step: str = "", *, status_code: int, retryable: bool | None = None) -> None:
        super().__init__(problem, next_step, retryable=status_code >= 500 if retryable is None else retryable)
        self.status_code = status_code


class OllamaAuthorizationError(OllamaStatusError):
    """401 or 403: a key is missing or wrong, or the server rejected the Host or Origin header."""


class BalancerError(OllamaStatusError):
    """501: a balancer in front of several servers, which does not manage models."""

    def __init__(self, problem: str, next_step: str = "") -> None:
        super().__init__(problem, next_step, status_code=501, retryable=False)


class ModelNotFoundError(OllamaStatusError):
    """404 for a model: the server or the registry has no such model."""

    def __init__(self, problem: str, next_step: str = "", *, model: str) -> None:
        super().__init__(problem, next_step, status_code=404)
        self.model = model


class OllamaStreamError(OllamaError):
    """Error line in a stream with HTTP 200, or a stream that ended before `success`."""


class NotInRegistryError(OllamaStreamError):
    """The registry does not have the model, or one of its blobs."""


class RegistryAccessError(OllamaStreamError):
    """401 or 403 of a registry: the model is private, gated, misspelt, or of another account."""


class OllamaResponseError(OllamaError):
    """2xx response that does not match the API: HTML, invalid JSON, a missing field."""


class ModelError(OllamaError):
    """A model cannot be configured for Pydantic AI.

    Args:
        message: The sentence for the user.
        model_name: The requested model, None when none was found.
        details: Machine-readable facts: `status_code`, `url` or `error`.
    """

    def __init__(
        self, message: str, model_name: str | None = None, details: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.model_name = model_name
        self.details: dict[str, object] = dict(details or {})


class InvalidModelName(ValueError):  # noqa: N818 - reads well: `except InvalidModelName`
    """Model name that Ollama would reject; raised before any request is sent.

    Args:
        sentence: What is wrong with it, and the next step.
        nearest: The name without its look-alike characters, when that is a valid one; else empty.
    """

    def __init__(self, sentence: str, nearest: str = "") -> None:
        super().__init__(sentence)
        self.nearest = nearest
