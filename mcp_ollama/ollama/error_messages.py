"""Builds the error for each failure: a sentence with its cause, the next step, and whether a retry can help."""

import re
import sys
from contextlib import suppress
from datetime import datetime
from urllib.parse import urlsplit

from mcp_ollama.ollama.addresses import is_loopback
from mcp_ollama.ollama.balancer import NAME_EACH
from mcp_ollama.ollama.decoding import DocumentTooLargeError, NotJsonError, decode
from mcp_ollama.ollama.errors import (
    BalancerError,
    InvalidModelName,
    ModelNotFoundError,
    OllamaAuthorizationError,
    OllamaConnectionError,
    OllamaResponseError,
    OllamaStatusError,
    OllamaStreamError,
    RegistryAccessError,
)
from mcp_ollama.ollama.failure_table import DISK_FAILURES, LOAD_FAILURES, STREAM_FAILURES, UNKNOWN_STREAM_FAILURE
from mcp_ollama.ollama.names import HUGGING_FACE_REGISTRIES, OLLAMA_REGISTRIES, ModelName
from mcp_ollama.ollama.sanitizing import Redactor, sanitize
from mcp_ollama.ollama.schemas import ErrorText, OllamaResponse

_MAX_SEARCHED = 10_000
_CHECK_ADDRESS = "Check that the address is an Ollama server and not a web interface or a proxy in front of it."
_SPEAKS_HTTPS = re.compile(r"\bhttps (?:server|port)|\bssl-enabled", re.IGNORECASE)
"""Texts with which the servers of Go, nginx and Apache answer plain http on an https port."""
GATED = (
    "If it is gated, accept its terms on Hugging Face, add the Ollama server's public key to that account "
    "(https://huggingface.co/docs/hub/ollama) and pull it as huggingface.co/USER/REPOSITORY:TAG."
)
"""The way to a model on Hugging Face; only under that name does Ollama send its key."""
_GATEWAY_STATUSES = (502, 503, 504)
_REFUSAL = re.compile(r'pull model manifest: 4\d\d: (\{"error":".*"\})\s*')
_QUOTED_ADDRESS = re.compile(r'"https?://[^"]*"')


class _Failed(OllamaResponse):
    error: ErrorText = ""


def stream_error(text: str, model: str) -> OllamaStreamError:
    """Build the error for an `error` text that Ollama sent about `model`."""
    # The kind stands first; a registry's whole response may follow. Addresses contain arbitrary words.
    searched = _QUOTED_ADDRESS.sub('""', text[:_MAX_SEARCHED])
    row = next((row for row in STREAM_FAILURES if row.matches(searched)), UNKNOWN_STREAM_FAILURE)
    shown = sanitize(_reason(text)).rstrip(".") or "an error without a text"
    problem = row.problem.format(model=model, text=shown)
    next_step = row.next_step.format(check_name=check_name(model))
    if row.kind is RegistryAccessError and _is_on_hugging_face(model):
        next_step = f"{check_name(model)} {GATED}"
    return row.kind(problem, next_step, retryable=row.retryable)


def _reason(text: str) -> str:
    """Return the sentence in the JSON of Hugging Face behind a status; a text in another form is returned whole."""
    found = _REFUSAL.fullmatch(text[:_MAX_SEARCHED])
    with suppress(ValueError):
        return decode(_Failed, found[1].encode()).error if found else text
    return text


def _is_on_hugging_face(model: str) -> bool:
    host, separator, _ = model.partition("/")
    return bool(separator) and host.lower() in HUGGING_FACE_REGISTRIES


def check_name(model: str) -> str:
    """Return where a person can check the name of a model, by its registry."""
    try:
        name = ModelName.parse(model)
    except InvalidModelName:
        return "Check the name and the tag."
    host = name.host.lower()
    if host in HUGGING_FACE_REGISTRIES:
        return f"Check the repository and its quantizations at https://huggingface.co/{name.namespace}/{name.model}."
    if host in OLLAMA_REGISTRIES:
        return f"Check the name and the tag at https://ollama.com/{name.namespace}."
    return f"Check the name and the tag at the registry {name.host}."


_START = {
    "darwin": "Start the Ollama app, or run `ollama serve` in a terminal.",
    "win32": "Start Ollama from the Start menu, or run `ollama serve` in a terminal.",
}
_START_ON_LINUX = "Start it with `sudo systemctl start ollama`, or run `ollama serve` in a terminal."
_INSTALL = "If it is not installed, see https://ollama.com/download."


def unreachable(base_url: str, platform: str = sys.platform, *, since: datetime | None = None) -> OllamaConnectionError:
    """Build the error for an address where nothing listens, with how to start Ollama on this system.

    Args:
        base_url: The address.
        platform: The system, as `sys.platform` names it.
        since: Begin of the outage of a server that has answered before.
    """
    if is_loopback(base_url):
        next_step = f"{_START.get(platform, _START_ON_LINUX)} {_INSTALL} If it runs elsewhere, set MCP_OLLAMA_BASE_URL."
    else:
        next_step = (
            f"Check that Ollama runs on {urlsplit(base_url).hostname} with OLLAMA_HOST=0.0.0.0 (by default it listens "
            "only to its own machine), and that no firewall blocks it; or set MCP_OLLAMA_BASE_URL."
        )
    answers = f"has answered at {base_url} since {since:%H:%M:%S} UTC" if since else f"answers at {base_url}"
    return OllamaConnectionError(f"Nothing {answers}.", next_step)


def tls_failed(base_url: str, reason: str) -> OllamaConnectionError:
    """Build the error for a TLS handshake that failed."""
    return OllamaConnectionError(
        f"No secure connection to {base_url} can be made: {sanitize(reason, 100).rstrip('.')}.",
        "Check that the server speaks https (Ollama itself speaks http) and that its certificate is trusted here.",
    )


def unusable_environment() -> OllamaConnectionError:
    """Build the error for an unusable proxy or certificate file; its value, which may hold a password, is left out."""
    return OllamaConnectionError(
        "The environment names a proxy or certificates that cannot be used: only http and https proxies can.",
        "Correct ALL_PROXY, HTTPS_PROXY, HTTP_PROXY or SSL_CERT_FILE, or name the host in NO_PROXY.",
    )


def unexpected_response(content: bytes, base_url: str, path: str, error: ValueError) -> OllamaResponseError:
    """Build the error for a 2xx response that does not match the API of the endpoint."""
    return OllamaResponseError(f"{base_url}{path} returned {_describe(content, error)}.", _CHECK_ADDRESS)


def _describe(content: bytes, error: ValueError) -> str:
    start = content[:200].decode("utf-8", "replace").strip()
    if not start:
        return "an empty response"
    if start.startswith("<"):
        return "a web page"
    if isinstance(error, DocumentTooLargeError):
        return "far more values than Ollama returns"
    return "something that is not JSON" if isinstance(error, NotJsonError) else "JSON that does not match Ollama's API"


def status_error(
    status: int, content: bytes, base_url: str, path: str, model: str, redact: Redactor
) -> OllamaStatusError:
    """Build the error for a status of 300 or more.

    Args:
        status: The HTTP status.
        content: The body of the response.
        base_url: The server.
        path: The endpoint.
        model: The model of the request, else empty.
        redact: Removes secrets from what the server says.
    """
    message = _error_message(content, redact)
    if status in (401, 403):
        return _refused(status, message, base_url, is_signed_out=b'"signin_url"' in content)
    if status == 404 and message and model:
        return ModelNotFoundError(
            f"The model {model} is not installed on this server.",
            "See list_models for the installed ones, or pull it.",
            model=model,
        )
    if status in (404, 405) and not message:
        problem = f"The server at {base_url} does not know {path}: it is not Ollama, or a very old one."
        return OllamaStatusError(problem, "Check the address, or update Ollama.", status_code=status)
    if status < 400:
        problem = f"{base_url} redirects ({status}), and redirects are not followed."
        return OllamaStatusError(problem, "Set MCP_OLLAMA_BASE_URL to the final address.", status_code=status)
    if status == 501:
        text = (sanitize(message or _start_of(content, redact)) or "nothing more").rstrip(".")
        return BalancerError(f"{base_url} is a balancer, which does not do this (501): {text}.", NAME_EACH)
    if not message and (status in _GATEWAY_STATUSES or (status < 500 and status != 429)):
        return _not_of_ollama(status, _start_of(content, redact), base_url)
    return _failed(status, message or _start_of(content, redact), model)


def _not_of_ollama(status: int, text: str, base_url: str) -> OllamaStatusError:
    """Build the error for a response without an error text of Ollama, as those of proxies and other servers are."""
    if _SPEAKS_HTTPS.search(text):
        problem, next_step = f"{base_url} speaks https, not http.", "Set MCP_OLLAMA_BASE_URL to its https:// address."
    elif status == 407:
        problem = f"The proxy between this server and {base_url} requires authentication (407)."
        next_step = "Put a user name and password into HTTP_PROXY, or name the host in NO_PROXY."
    elif status in _GATEWAY_STATUSES:
        problem = f"The proxy at {base_url} does not reach Ollama ({status})."
        next_step = "Check that Ollama runs behind it, then call again."
    else:
        shown = (sanitize(text) or "nothing more").rstrip(".")
        problem, next_step = f"{base_url} answered {status}, not as Ollama does: {shown}.", _CHECK_ADDRESS
    return OllamaStatusError(problem, next_step, status_code=status)


def _failed(status: int, message: str, model: str) -> OllamaStatusError:
    text = (sanitize(message) or "nothing more").rstrip(".")
    if row := next((row for row in (*LOAD_FAILURES, *DISK_FAILURES) if row.matches(message[:_MAX_SEARCHED])), None):
        problem = row.problem.format(model=model or "the model", text=text, status=status)
        return OllamaStatusError(problem, row.next_step, status_code=status, retryable=False)
    return OllamaStatusError(f"Ollama answered {status}: {text}.", _next_step(status), status_code=status)


def _next_step(status: int) -> str:
    if status >= 500:
        return "Try again later; Ollama's own log has the details."
    return "Wait a minute, then call again." if status == 429 else "Correct it and call again."


def _refused(status: int, message: str, base_url: str, *, is_signed_out: bool) -> OllamaAuthorizationError:
    if message:
        next_step = "Set MCP_OLLAMA_API_KEY to a valid key." if status == 401 else "Ask the operator of that server."
        if is_signed_out:
            next_step = "Run `ollama signin` on the machine that Ollama runs on."
        if "cloud is disabled" in message:
            next_step = "Cloud models are disabled on this server by OLLAMA_NO_CLOUD or its settings."
        problem = f"{base_url} refuses the request ({status}): {sanitize(message).rstrip('.')}."
        return OllamaAuthorizationError(problem, next_step, status_code=status)
    return OllamaAuthorizationError(
        f"{base_url} refuses the request ({status}) without a reason.",
        "Ollama does so when the Host header is unknown to it: let the proxy send `Host: localhost:11434`, or start"
        " Ollama with OLLAMA_HOST=0.0.0.0. For a proxy that requires authentication, set MCP_OLLAMA_API_KEY or"
        " MCP_OLLAMA_HEADERS.",
        status_code=status,
    )


def _start_of(content: bytes, redact: Redactor) -> str:
    return redact(content.decode("utf-8", "replace"))[:_MAX_SEARCHED]


def _error_message(content: bytes, redact: Redactor) -> str:
    """Read the `error` text of a response, empty when it has none."""
    try:
        return decode(_Failed, content, redact).error
    except ValueError:
        return ""
