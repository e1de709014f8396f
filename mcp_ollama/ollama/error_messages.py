"""What a server's errors mean: a sentence, what to do next, and whether to try again.

Pulls, pushes and creations report their errors as free text inside a stream that began with HTTP 200.
The texts are those of Ollama 0.33; what no row matches is shown as it came, shortened, and tried again.
"""

import re
import sys
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import ValidationError

from mcp_ollama.ollama.addresses import is_loopback
from mcp_ollama.ollama.errors import (
    ModelNotFoundError,
    NotInRegistryError,
    OllamaAuthorizationError,
    OllamaConnectionError,
    OllamaResponseError,
    OllamaStatusError,
    OllamaStreamError,
    RegistryAccessError,
)
from mcp_ollama.ollama.schemas import Answer

MAX_TEXT = 300
"""Characters of foreign text (a server's or a registry's) that go into one of our sentences."""

_MAX_SEARCHED = 10_000

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.?)", re.DOTALL)
_HTML = re.compile(r"<(?:!doctype|html|head|body)\b.*", re.IGNORECASE | re.DOTALL)
_ADDRESS = re.compile(r'"https?://[^"]*"')
_PATH = re.compile(r"(?<![\w:/.])(?:/[^\s/:\"',;)]+){2,}/?|\b[A-Za-z]:\\[^\s\"',;)]+")


def sanitize(text: str, limit: int = MAX_TEXT) -> str:
    """Make a foreign text fit for one of our sentences: one line, no pages, no server paths, not too long."""
    text = "".join(one if one.isprintable() else " " for one in _ANSI.sub("", text[: 10 * limit]))
    text = " ".join(_PATH.sub("<path>", _HTML.sub("<a web page>", text)).split())
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


class _Failed(Answer):
    error: object = None


class _Problem(Answer):
    message: str


@dataclass(frozen=True, slots=True)
class Failure:
    """One kind of failure: `problem` and `next_step` may use `{model}` and `{text}`."""

    pattern: re.Pattern[str]
    problem: str
    next_step: str
    retryable: bool = False
    kind: type[OllamaStreamError] = OllamaStreamError


def _failure(
    pattern: str,
    problem: str,
    next_step: str,
    *,
    retryable: bool = False,
    kind: type[OllamaStreamError] = OllamaStreamError,
) -> Failure:
    return Failure(re.compile(pattern, re.IGNORECASE | re.DOTALL), problem, next_step, retryable, kind)


_CHECK_NAME = "Check the name and the tag at https://ollama.com/library (or the repository on hf.co)."
_ASK_AGAIN_LATER = "Wait a few minutes, then call again: what was transferred is kept."

# Where Ollama puts the status of a registry's answer; elsewhere, as in the answer itself, a number is just a number.
_CODE = r"^(?:[^{<]*(?:: |status code ))?"

FAILURES = (
    _failure(
        r"no space left on device|not enough space on the disk|disk quota exceeded",
        "The disk of the Ollama server is full.",
        "Free space there (list_models with sort=size shows what is large), then call again: what came is kept.",
    ),
    _failure(
        r"digest mismatch",
        "A downloaded layer of {model} is not what the registry promised; Ollama has thrown it away.",
        "Call again to fetch that layer anew; if it fails again, the registry or a proxy changes the data.",
    ),
    _failure(
        rf"{_CODE}5\d\d\b",
        "The registry is in trouble: {text}.",
        _ASK_AGAIN_LATER,
        retryable=True,
    ),
    _failure(
        rf"{_CODE}412\b|newer version of ollama|requires a newer version",
        "{model} needs a newer version of Ollama than this server runs.",
        "Update Ollama (https://ollama.com/download), then call again.",
    ),
    _failure(
        r"requires MLX|MLX runtime",
        "{model} is made for MLX, which this Ollama server cannot run.",
        "Pull a GGUF variant of it: another tag, or another repository.",
    ),
    _failure(
        rf"{_CODE}429\b|too many requests|rate limit",
        "The registry refuses further requests for now (429).",
        _ASK_AGAIN_LATER,
    ),
    _failure(
        r"http: server gave HTTP response to HTTPS client",
        "The registry of {model} speaks plain http.",
        "If it is yours and trusted, name its host in MCP_OLLAMA_REGISTRIES and call again with insecure=true.",
    ),
    _failure(
        rf"{_CODE}401\b|realm host|unauthorized|(?<!proxy )authentication required",
        "The registry wants to know who asks for {model} (401): it is private, gated, or its name is misspelt.",
        f"{_CHECK_NAME} For a private one run `ollama signin` on the server, or add its key to your account.",
        kind=RegistryAccessError,
    ),
    _failure(
        r"id_ed25519",
        "The Ollama server has no key of its own to log in with.",
        "Restart Ollama under a user with a home directory, then run `ollama signin` there.",
    ),
    _failure(
        r"\b(?:open|mkdir|write|rename|remove) .*: (?:permission denied|access is denied|read-only file system)",
        "The Ollama server may not write to the directory that it keeps its models in.",
        "Give the user that Ollama runs as the ownership of that directory (OLLAMA_MODELS), then call again.",
    ),
    _failure(
        rf"{_CODE}403\b|(?<!permission )denied|forbidden",
        "The registry refuses {model} to this server (403).",
        f"{_CHECK_NAME} If it is private, its owner must grant the Ollama server's key access.",
        kind=RegistryAccessError,
    ),
    _failure(
        rf"{_CODE}(?:404\b|file does not exist)",
        "The registry has no {model}.",
        _CHECK_NAME,
        kind=NotInRegistryError,
    ),
    _failure(
        r"couldn't retrieve manifest|manifests[/\\].*(?:no such file or directory|cannot find the)",
        "{model} is not installed on the server.",
        "See list_models for what is, or pull it first.",
    ),
    _failure(
        r"invalid model name|unqualified name",
        "Ollama refuses {model} as a name.",
        "A name looks like llama3.2, llama3.2:3b or hf.co/user/repository:Q4_K_M.",
    ),
    _failure(
        r"no Location header|unexpected status code 30",
        "The registry of {model} hands out its files in a way that Ollama cannot follow.",
        "Use a registry made for Ollama models (registry.ollama.ai, hf.co), or put the blobs behind a redirect.",
    ),
    _failure(
        r"invalid character .* looking for beginning of value",
        "Something between the Ollama server and the registry answers with a web page.",
        "Check the server's internet access: a log-in page or a proxy stands in the way.",
    ),
    _failure(
        rf"{_CODE}400\b",
        "The registry refuses {model}: {text}.",
        _CHECK_NAME,
    ),
    _failure(
        r"template error|not in GGUF format|invalid digest|quantiz",
        "Ollama refuses the request: {text}.",
        "Correct it and call again.",
    ),
    _failure(
        r"no such host|dial tcp|connection refused|network is unreachable|i/o timeout|TLS handshake",
        "The Ollama server cannot reach the registry: {text}.",
        "Check the internet access of the machine that Ollama runs on (name look-up, proxy), then call again.",
        retryable=True,
    ),
)
"""The first row that matches holds."""

_UNKNOWN = _failure("", "Ollama reports: {text}.", "Call again: what was downloaded is kept.", retryable=True)


def stream_error(text: str, model: str) -> OllamaStreamError:
    """Build the error for an `error` text that Ollama sent about `model`."""
    # What tells the kind comes first; whole answers of a registry may follow. An address is full of other words.
    told = _ADDRESS.sub('""', text[:_MAX_SEARCHED])
    failure = next((row for row in FAILURES if row.pattern.search(told)), _UNKNOWN)
    said = sanitize(text).rstrip(".") or "an error without a text"
    problem, next_step = (part.format(model=model, text=said) for part in (failure.problem, failure.next_step))
    return failure.kind(problem, next_step, retryable=failure.retryable)


_NO_MEMORY = re.compile(r"more system memory|unable to allocate|out of memory|cudaMalloc", re.IGNORECASE)

_START = {
    "darwin": "Start the Ollama app, or run `ollama serve` in a terminal.",
    "win32": "Start Ollama from the Start menu, or run `ollama serve` in a terminal.",
}
_START_ON_LINUX = "Start it with `sudo systemctl start ollama`, or run `ollama serve` in a terminal."
_INSTALL = "If it is not installed, see https://ollama.com/download."


def unreachable(base_url: str, platform: str = sys.platform) -> OllamaConnectionError:
    """Build the error for an address where nothing listens, with how to start Ollama on this system."""
    if is_loopback(base_url):
        next_step = f"{_START.get(platform, _START_ON_LINUX)} {_INSTALL} If it runs elsewhere, set MCP_OLLAMA_BASE_URL."
    else:
        next_step = (
            f"Check that Ollama runs on {urlsplit(base_url).hostname} with OLLAMA_HOST=0.0.0.0 (by default it listens "
            "to its own machine only), and that no firewall stands in between; or set MCP_OLLAMA_BASE_URL."
        )
    return OllamaConnectionError(f"Nothing answers at {base_url}.", next_step)


def tls_failed(base_url: str, said: str) -> OllamaConnectionError:
    """Build the error for an address where something listens that does not speak TLS as it should."""
    return OllamaConnectionError(
        f"No secure connection to {base_url} can be made: {sanitize(said, 100).rstrip('.')}.",
        "Check that the server speaks https (Ollama itself speaks http) and that its certificate is trusted here.",
    )


def unusable_environment() -> OllamaConnectionError:
    """Build the error for an environment with which no client can be made; what was wrong may hold a password."""
    return OllamaConnectionError(
        "The environment names a proxy or certificates that cannot be used: only http and https proxies can.",
        "Correct ALL_PROXY, HTTPS_PROXY, HTTP_PROXY or SSL_CERT_FILE, or name the host in NO_PROXY.",
    )


def answer_error(content: bytes, base_url: str, path: str, error: ValidationError) -> OllamaResponseError:
    """Say what a 2xx answer is, when it is not what the endpoint promises."""
    start = content[:200].decode("utf-8", "replace").strip()
    if not start:
        what = "an empty answer"
    elif start.startswith("<"):
        what = "a web page"
    elif error.errors(include_url=False)[0]["type"] == "json_invalid":
        what = "something that is not JSON"
    else:
        what = "JSON that is not what Ollama's would be"
    return OllamaResponseError(
        f"{base_url}{path} gave {what}.",
        "Check that the address is an Ollama server and not a web interface or a proxy in front of it.",
    )


def status_error(status: int, content: bytes, base_url: str, path: str, model: str) -> OllamaStatusError:
    """Build the error for a status of 300 or more."""
    said = _said(content)
    if status in (401, 403):
        return _refused(status, said, base_url, signed_out=b'"signin_url"' in content)
    if status == 404 and said and model:
        return ModelNotFoundError(
            f"The model {model} is not installed on this server.",
            "See list_models for the installed ones, or pull it.",
            model=model,
        )
    if status in (404, 405) and not said:
        problem = f"The server at {base_url} does not know {path}: it is not Ollama, or a very old one."
        return OllamaStatusError(problem, "Check the address, or update Ollama.", status_code=status)
    if status < 400:
        problem = f"{base_url} sends us elsewhere ({status}), and redirects are not followed."
        return OllamaStatusError(problem, "Set MCP_OLLAMA_BASE_URL to the final address.", status_code=status)
    text = sanitize(said or content[:1000].decode("utf-8", "replace")) or "nothing more"
    next_step = "Try again in a while; Ollama's own log says more." if status >= 500 else ""
    if _NO_MEMORY.search(text):
        next_step = "unload_model others first, or use a smaller model, quantization or num_ctx."
    return OllamaStatusError(f"Ollama answered {status}: {text.rstrip('.')}.", next_step, status_code=status)


def _refused(status: int, said: str, base_url: str, *, signed_out: bool) -> OllamaAuthorizationError:
    if said:
        step = "Set MCP_OLLAMA_API_KEY to a valid key." if status == 401 else "Ask who runs that server."
        if signed_out:
            step = "Run `ollama signin` on the machine that Ollama runs on."
        if "cloud is disabled" in said:
            step = "Cloud models are switched off on this server (OLLAMA_NO_CLOUD, or its settings)."
        problem = f"{base_url} refuses the request ({status}): {sanitize(said).rstrip('.')}."
        return OllamaAuthorizationError(problem, step, status_code=status)
    return OllamaAuthorizationError(
        f"{base_url} refuses the request ({status}) and does not say why.",
        "Ollama does so when it is reached under a host name it does not know: let the proxy send"
        " `Host: localhost:11434`, or start Ollama with OLLAMA_HOST=0.0.0.0. Behind a proxy with a log-in,"
        " set MCP_OLLAMA_API_KEY or MCP_OLLAMA_HEADERS.",
        status_code=status,
    )


def _said(content: bytes) -> str:
    """Read the `error` text of an answer, empty when it has none."""
    try:
        failed = _Failed.model_validate_json(content)
    except ValidationError:
        return ""
    return error_text(failed.error) if failed.error else ""


def error_text(error: object) -> str:
    """Read the text out of an `error` field: a string, or the object that the `/v1` endpoints send."""
    if isinstance(error, str):
        return error
    try:
        return _Problem.model_validate(error).message
    except ValidationError:
        return repr(error)[:1000]
