"""Failures that Ollama reports as free text, each with its cause, its next step, and whether a retry can help.

The texts are those of Ollama 0.33 and of the Go libraries in it. The first row that matches applies.
"""

import re
from dataclasses import dataclass

from mcp_ollama.ollama.errors import NotInRegistryError, OllamaStreamError, RegistryAccessError


@dataclass(frozen=True, slots=True)
class Failure:
    """One kind of failure.

    Args:
        pattern: Searched for in the text, without the addresses in it, in any case; `.` is a line break, too.
        problem: The sentence; may use `{model}`, `{text}` and `{status}`.
        next_step: The next step; may use `{model}` and `{check_name}`.
        retryable: Whether the same request may succeed later.
        kind: The error class.
    """

    pattern: str
    problem: str
    next_step: str
    retryable: bool = False
    kind: type[OllamaStreamError] = OllamaStreamError

    def matches(self, text: str) -> bool:
        """Return whether a text reports this failure."""
        # Compiled when the first failure comes: 40 patterns would be 1 % of the start.
        return re.search(self.pattern, text, re.IGNORECASE | re.DOTALL) is not None


_CALL_LATER = "Wait a few minutes, then call again: transferred bytes are kept."

# Ollama puts the status of a registry's response here; elsewhere, as in the body, a number is just a number.
_CODE = r"^(?:[^{<]*(?:: |status code ))?"
_PAGE = r"<(?:!doctype|html|head|body)\b"
_FILE = r"\b(?:open|mkdir|write|read|rename|remove|truncate|sync|chmod|chtimes|link|symlink)\b .*: "

DISK_FAILURES = (
    Failure(
        r"no space left on device|not enough space on the disk|disk quota exceeded",
        "The disk of the Ollama server is full.",
        "Free space there (plan_cleanup says which models to delete), then call again: it resumes.",
    ),
    Failure(
        r"file too large|the file size exceeds the limit",
        "The file system of the Ollama server cannot store a file of this size (FAT32 ends at 4 GB).",
        "Move Ollama's model directory (OLLAMA_MODELS) to ext4, APFS or NTFS, or pull a smaller model.",
    ),
    Failure(
        r"the directory name is invalid|not a directory",
        "The model directory of the Ollama server is not a directory.",
        "Set OLLAMA_MODELS on the server to a directory, restart Ollama, then call again.",
    ),
    Failure(
        r"input/output error|data error \(cyclic redundancy check\)|structure needs cleaning|disk structure is corrupt",
        "The disk of the Ollama server reports a read or write error.",
        "Check the disk and its cable or mount, or move OLLAMA_MODELS to another disk, then call again.",
    ),
)

TLS_FAILURES = (
    Failure(
        r"certificate has expired|not yet valid",
        "The certificate of the registry, or of a proxy before it, is expired or not yet valid.",
        "Check the clock of the machine of the Ollama server; if it is right, renew the certificate of the registry.",
    ),
    Failure(
        r"x509:|failed to verify certificate|unknown (?:certificate )?authority",
        "The Ollama server does not trust the certificate of the registry, or of a proxy before it.",
        "Add the authority to the trusted certificates of the Ollama server (SSL_CERT_FILE, or the system's), restart"
        " Ollama, then call again.",
    ),
    Failure(
        r"proxy authentication required|(?:^|: )407\b",
        "The proxy of the Ollama server requires authentication (407).",
        "Set HTTPS_PROXY on the Ollama server to an address with the proxy's user name and password, restart Ollama.",
    ),
)

LOAD_FAILURES = (
    Failure(
        r"more system memory|unable to allocate|out of memory|cudaMalloc",
        "Ollama answered {status}: {text}.",
        "unload_model others first, or use a smaller model, quantization or num_ctx.",
    ),
    Failure(
        r"unknown model architecture|unsupported (?:model )?architecture",
        "Ollama cannot run {model}: {text}.",
        "Update Ollama (https://ollama.com/download); if this is the newest version, use another model.",
    ),
    Failure(
        r"no kernel image is available|unsupported gpu|cuda driver version is insufficient",
        "The GPU of the Ollama server cannot run {model}: {text}.",
        "Update the GPU driver and Ollama, or run on the CPU (set CUDA_VISIBLE_DEVICES=-1 on the server).",
    ),
    Failure(
        r"unable to load model|failed to load model|error loading model|invalid (?:file )?magic",
        "Ollama cannot load {model}: {text}.",
        "Pull it again with pull_model in case a file is damaged; else update Ollama, or use another quantization.",
    ),
)
"""Errors of a load; a retry never helps."""

STREAM_FAILURES = (
    *DISK_FAILURES,
    Failure(
        r"digest mismatch",
        "A downloaded layer of {model} does not match its digest; Ollama has discarded it.",
        "Call again to download that layer again; if it fails again, the registry or a proxy changes the data.",
    ),
    Failure(
        rf"{_CODE}5\d\d\b",
        "The registry has an internal error: {text}.",
        _CALL_LATER,
        retryable=True,
    ),
    Failure(
        rf"{_CODE}412\b|newer version of ollama|requires a newer version",
        "{model} needs a newer version of Ollama than this server runs.",
        "Update Ollama (https://ollama.com/download), then call again.",
    ),
    Failure(
        r"requires MLX|MLX runtime",
        "{model} is made for MLX, which this Ollama server cannot run.",
        "Pull a GGUF variant of it: another tag, or another repository.",
    ),
    Failure(
        rf"{_CODE}429\b|too many requests|rate limit",
        "The registry refuses further requests for now (429).",
        _CALL_LATER,
    ),
    Failure(
        r"http: server gave HTTP response to HTTPS client",
        "The registry of {model} uses plain http.",
        "If it is yours, name it in MCP_OLLAMA_REGISTRIES as http://HOST:PORT, or only its host and set insecure=true.",
    ),
    *TLS_FAILURES,
    Failure(
        rf"{_CODE}4\d\d\b.*{_PAGE}|invalid character .* looking for beginning of value",
        "A web page came instead of the registry's JSON: a proxy, filter or log-in page is between the Ollama server"
        " and the registry.",
        "Open the registry in a browser on the machine of the Ollama server, and allow it in the proxy or filter.",
    ),
    Failure(
        rf"{_CODE}401\b|realm host|unauthorized|authentication required",
        "The registry requires authentication for {model} (401): it is private, gated, or its name is misspelt.",
        "{check_name} For a private one run `ollama signin` on the server, or add its key to your account.",
        kind=RegistryAccessError,
    ),
    Failure(
        r"id_ed25519",
        "The Ollama server has no key to authenticate with.",
        "Restart Ollama under a user with a home directory, then run `ollama signin` there.",
    ),
    Failure(
        rf"{_FILE}(?:permission denied|access is denied|read-only file system|operation not permitted)",
        "The Ollama server is not permitted to write to its model directory.",
        "Make the user of Ollama the owner of that directory (OLLAMA_MODELS), then call again.",
    ),
    Failure(
        rf"{_CODE}403\b|(?<!permission )denied|forbidden",
        "The registry refuses {model} to this server (403).",
        "{check_name} If it is private, its owner must grant the Ollama server's key access.",
        kind=RegistryAccessError,
    ),
    Failure(
        rf"{_CODE}(?:404\b|file does not exist)",
        "The registry has no {model}.",
        "{check_name}",
        kind=NotInRegistryError,
    ),
    Failure(
        r"couldn't retrieve manifest|manifests[/\\].*(?:no such file or directory|cannot find the)",
        "{model} is not installed on the server.",
        "See list_models for the installed ones, or pull it first.",
    ),
    Failure(
        r"invalid model name|unqualified name",
        "Ollama rejects the name {model}.",
        "A name looks like llama3.2, llama3.2:3b or hf.co/user/repository:Q4_K_M.",
    ),
    Failure(
        r"no Location header|unexpected status code 30",
        "The registry of {model} serves its files in a way that Ollama cannot follow.",
        "Use a registry made for Ollama models (registry.ollama.ai, hf.co), or put the blobs behind a redirect.",
    ),
    Failure(
        rf"{_CODE}4(?!08)\d\d\b",
        "The registry refuses {model}: {text}.",
        "{check_name}",
    ),
    Failure(
        r"template error|not in GGUF format|invalid digest|quantiz",
        "Ollama refuses the request: {text}.",
        "Correct it and call again.",
    ),
    Failure(
        r'(?:get|head|post) "": eof\b',
        "The registry of {model} closed the connection: {text}.",
        "If it is yours and uses plain http, name it in MCP_OLLAMA_REGISTRIES as http://HOST:PORT; else call again.",
        retryable=True,
    ),
    Failure(
        r"no such host|dial tcp|connection refused|network is unreachable|i/o timeout|TLS handshake",
        "The Ollama server cannot reach the registry: {text}.",
        "Check the internet access of the machine of the Ollama server (DNS, proxy), then call again.",
        retryable=True,
    ),
)
"""Errors in the streams of pulls, pushes and creations."""

UNKNOWN_STREAM_FAILURE = Failure(
    "", "Ollama reports: {text}.", "Call again: transferred bytes are kept.", retryable=True
)
