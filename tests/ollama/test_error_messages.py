"""The errors of a server: their sentence, their next step, and whether to retry."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_ollama.ollama.error_messages import stream_error, unreachable
from mcp_ollama.ollama.errors import (
    NotInRegistryError,
    OllamaConnectionError,
    OllamaStreamError,
    RegistryAccessError,
)
from mcp_ollama.ollama.sanitizing import MAX_TEXT

RECORDINGS = Path(__file__).parents[1] / "data" / "recordings"
MODEL = "tiny:latest"
MANIFEST = "pull model manifest: "
DIAL = "dial tcp 127.0.0.1:5999: connect: connection refused"
PLAIN = "http: server gave HTTP response to HTTPS client"
UNKNOWN = "unknown authority"
GONE = "no such file or directory"
BIG = "7bc54c9a74d06e67b4c39c21525a5c73badaeef178e341d8b5508c31d9d60eba"
WRONG = "788edde7c8c9ddcbfb47ac9e7c6b658c1b168eabec8ae0c69e814aaebfd8325c"
TINY = "b3720ab7a1bca49675e2f69a3f8e5205379fffce203f6aa99a4ad3460e67457c"
CDN = "http://127.0.0.1:5056/docker/registry/v2/blobs/sha256/7b"


@dataclass(frozen=True)
class Row:
    """The error for some of Ollama's texts; `{}` in the problem is the sanitized text."""

    problem: str
    next_step: str
    texts: tuple[str | tuple[str, str], ...]
    retryable: bool = False


CHECK_NAME = "Check the name and the tag at https://ollama.com/library."
LATER = "Wait a few minutes, then call again: transferred bytes are kept."
UNAUTHORIZED = '{"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}'
DENIED = '{"errors": [{"code": "DENIED", "message": "requested access to the resource is denied"}]}'
BLOB_UNKNOWN = '{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown to registry"'

PERMANENT = (
    Row(
        "The disk of the Ollama server is full.",
        "Free space there (plan_cleanup says which models to delete), then call again: it resumes.",
        (
            "write /home/user/.ollama/models/blobs/sha256-ab-partial: no space left on device",
            "max retries exceeded: write /m/blobs/sha256-ab-partial-3: no space left on device",
            r"write C:\Users\me\.ollama\models\blobs\sha256-ab: There is not enough space on the disk.",
            "write /home/me/.ollama/models/blobs/sha256-ab-partial: disk quota exceeded",
        ),
    ),
    Row(
        "A downloaded layer of tiny:latest does not match its digest; Ollama has discarded it.",
        "Call again to download that layer again; if it fails again, the registry or a proxy changes the data.",
        (f"digest mismatch, file must be downloaded again: want sha256:{BIG}, got sha256:{WRONG}",),
    ),
    Row(
        "tiny:latest needs a newer version of Ollama than this server runs.",
        "Update Ollama (https://ollama.com/download), then call again.",
        (
            f"{MANIFEST}412: \n\nThe model you are attempting to pull requires a newer version of Ollama.\n\n",
            f"{MANIFEST}412: <html><body>Precondition Failed</body></html>",
            "this model requires a newer version",
        ),
    ),
    Row(
        "tiny:latest is made for MLX, which this Ollama server cannot run.",
        "Pull a GGUF variant of it: another tag, or another repository.",
        ("this model requires MLX support, but the MLX runtime is not available",),
    ),
    Row(
        "The registry refuses further requests for now (429).",
        LATER,
        (
            f'{MANIFEST}429: {{"error":"We had to rate limit your IP"}}',
            "429: slow down",
            "max retries exceeded: Too Many Requests",
        ),
    ),
    Row(
        "The registry of tiny:latest uses plain http.",
        "If it is yours, name it in MCP_OLLAMA_REGISTRIES as http://HOST:PORT, or only its host and set insecure=true.",
        (
            f'{MANIFEST}Get "https://localhost:5055/v2/test/big/manifests/latest": {PLAIN}',
            f'{MANIFEST}Get "https://localhost:5055/v2/test/absent/manifests/latest": {PLAIN}',
            f'Head "https://localhost:5055/v2/test/tiny/blobs/sha256:{TINY}": {PLAIN}',
        ),
    ),
    Row(
        "The registry requires authentication for tiny:latest (401): it is private, gated, or its name is misspelt.",
        f"{CHECK_NAME} For a private one run `ollama signin` on the server, or add its key to your account.",
        (
            f"{MANIFEST}401: {UNAUTHORIZED}",
            f"401: {UNAUTHORIZED}",
            f"{MANIFEST}401: Invalid username or password.",
            f"{MANIFEST}unauthorized: access denied",
            "unauthorized: access denied",
            f'{MANIFEST}realm host "huggingface.co" does not match original host "hf.co"',
            f'{MANIFEST}realm host "" does not match original host "localhost:5057"',
            'realm host "" does not match original host "localhost:5057"',
        ),
    ),
    Row(
        "The Ollama server has no key to authenticate with.",
        "Restart Ollama under a user with a home directory, then run `ollama signin` there.",
        (
            "open /home/user/.ollama/id_ed25519: no such file or directory",
            "open /usr/share/ollama/.ollama/id_ed25519: permission denied",
        ),
    ),
    Row(
        "The Ollama server is not permitted to write to its model directory.",
        "Make the user of Ollama the owner of that directory (OLLAMA_MODELS), then call again.",
        (
            "mkdir /mnt/models/blobs: permission denied",
            "open /mnt/models/blobs/sha256-ab-partial: read-only file system",
            r"open C:\models\blobs\sha256-ab-partial: Access is denied.",
            "chmod /mnt/models/blobs/sha256-ab-partial: operation not permitted",
        ),
    ),
    Row(
        "The registry refuses tiny:latest to this server (403).",
        f"{CHECK_NAME} If it is private, its owner must grant the Ollama server's key access.",
        (
            f"{MANIFEST}403: {DENIED}",
            f"403: {DENIED}",
            "403: denied",
            f'{MANIFEST}403: {{"message":"failed with: 500"}}',
            "max retries exceeded: unexpected status code 403",
        ),
    ),
    Row(
        "The registry has no tiny:latest.",
        CHECK_NAME,
        (
            f"{MANIFEST}file does not exist",
            "file does not exist",
            "max retries exceeded: file does not exist",
            f"{MANIFEST}404: not here",
        ),
    ),
    Row(
        "tiny:latest is not installed on the server.",
        "See list_models for the installed ones, or pull it first.",
        (
            "open /models/manifests/localhost:5055/test/absent/latest: no such file or directory",
            r"open C:\models\manifests\registry.ollama.ai\x\latest: The system cannot find the path specified.",
            "couldn't retrieve manifest",
        ),
    ),
    Row(
        "Ollama rejects the name tiny:latest.",
        "A name looks like llama3.2, llama3.2:3b or hf.co/user/repository:Q4_K_M.",
        ("unqualified name: registry.ollama.ai/library/bad name!:latest", "invalid model name"),
    ),
    Row(
        "The registry of tiny:latest serves its files in a way that Ollama cannot follow.",
        "Use a registry made for Ollama models (registry.ollama.ai, hf.co), or put the blobs behind a redirect.",
        ("http: no Location header in response", "unexpected status code 302"),
    ),
    Row(
        "A web page came instead of the registry's JSON: a proxy, filter or log-in page is between the Ollama server"
        " and the registry.",
        "Open the registry in a browser on the machine of the Ollama server, and allow it in the proxy or filter.",
        (
            f"{MANIFEST}invalid character '<' looking for beginning of value",
            f"{MANIFEST}403: <!DOCTYPE html><html><title>Error: 503</title></html>",
            f"{MANIFEST}401: <html><body>Blocked by policy</body></html>",
        ),
    ),
    Row(
        "The file system of the Ollama server cannot store a file of this size (FAT32 ends at 4 GB).",
        "Move Ollama's model directory (OLLAMA_MODELS) to ext4, APFS or NTFS, or pull a smaller model.",
        ("truncate /mnt/usb/blobs/sha256-ab-partial: file too large",),
    ),
    Row(
        "The model directory of the Ollama server is not a directory.",
        "Set OLLAMA_MODELS on the server to a directory, restart Ollama, then call again.",
        (r"mkdir D:\models: The directory name is invalid.",),
    ),
    Row(
        "The disk of the Ollama server reports a read or write error.",
        "Check the disk and its cable or mount, or move OLLAMA_MODELS to another disk, then call again.",
        (
            "write /mnt/models/blobs/sha256-ab-partial: input/output error",
            "open /mnt/models/manifests: structure needs cleaning",
        ),
    ),
    Row(
        "The Ollama server does not trust the certificate of the registry, or of a proxy before it.",
        "Add the authority to the trusted certificates of the Ollama server (SSL_CERT_FILE, or the system's), restart"
        " Ollama, then call again.",
        (f'{MANIFEST}Get "https://h/v2/x": tls: failed to verify certificate: x509: certificate signed by {UNKNOWN}',),
    ),
    Row(
        "The certificate of the registry, or of a proxy before it, is expired or not yet valid.",
        "Check the clock of the machine of the Ollama server; if it is right, renew the certificate of the registry.",
        (f'{MANIFEST}Get "https://h/v2/x": x509: certificate has expired or is not yet valid: current time is x',),
    ),
    Row(
        "The proxy of the Ollama server requires authentication (407).",
        "Set HTTPS_PROXY on the Ollama server to an address with the proxy's user name and password, restart Ollama.",
        (f'{MANIFEST}Get "https://h/v2/": Proxy Authentication Required',),
    ),
    Row(
        "The registry refuses tiny:latest: {}.",
        CHECK_NAME,
        (
            f'{MANIFEST}400: {{"error":"The specified tag is not a valid quantization scheme."}}',
            f'{MANIFEST}400: {{"error":"The specified repository contains sharded GGUF."}}',
            f'400: {BLOB_UNKNOWN},"detail":"sha256:{BIG}"}}]}}\n',
            f"{MANIFEST}451: Unavailable For Legal Reasons",
        ),
    ),
    Row(
        "Ollama refuses the request: {}.",
        "Correct it and call again.",
        (
            "supplied file was not in GGUF format",
            "invalid digest format",
            "quantization is only supported for F16, BF16 and F32 models",
            "unsupported quantization type Q99 - supported types are F32, F16, Q4_K_S, Q4_K_M, Q8_0",
            "template error: template: :1: unclosed action",
        ),
    ),
)

TRANSIENT = (
    Row(
        "The registry has an internal error: {}.",
        LATER,
        (
            (f"{MANIFEST}503: <html><body>Access Denied, 429</body></html>", f"{MANIFEST}503: <a web page>"),
            "500: internal error: permission denied",
            "max retries exceeded: unexpected status code 502",
        ),
        retryable=True,
    ),
    Row(
        "The Ollama server cannot reach the registry: {}.",
        "Check the internet access of the machine of the Ollama server (DNS, proxy), then call again.",
        (
            f'{MANIFEST}Get "http://localhost:5999/v2/test/tiny2/manifests/latest": {DIAL}',
            f'{MANIFEST}Get "http://localhost:5055/v2/test/big/manifests/latest": {DIAL.replace("5999", "5055")}',
            f'Head "http://localhost:5999/v2/test/tiny/blobs/sha256:{TINY}": {DIAL}',
            f'max retries exceeded: Get "{CDN}/{BIG}/data": {DIAL.replace("5999", "5056")}',
            f'Head "{CDN}/{BIG}/data": {DIAL.replace("5999", "5056")}',
            f'{MANIFEST}Get "https://registry.ollama.ai/v2/": dial tcp: lookup registry.ollama.ai: no such host',
            f'{MANIFEST}Get "https://hf.co/v2/me/Denied-quantized/manifests/Q4": dial tcp: lookup hf.co: no such host',
            f'{MANIFEST}Get "https://h/v2/library/model-401/manifests/403": net/http: TLS handshake timeout',
            f'{MANIFEST}Get "https://h/v2/": dial tcp 10.0.0.1:443: connect: permission denied',
            f'{MANIFEST}Get "https://h/v2/": read tcp 10.0.0.1:404->10.0.0.2:443: i/o timeout',
            "write tcp 10.0.0.1:1: network is unreachable",
        ),
        retryable=True,
    ),
    Row(
        "Ollama reports: {}.",
        "Call again: transferred bytes are kept.",
        (
            "max retries exceeded: unexpected EOF",
            "unexpected EOF",
            "context canceled",
            (f"open /models/blobs/sha256-{64 * '1'}: {GONE}", f"open <path>: {GONE}"),
            "the 403 came after 401 of 429 tries",
            ("", "an error without a text"),
            (" \x00\x1b[0m ", "an error without a text"),
            ("a sentence of its own.", "a sentence of its own"),
        ),
        retryable=True,
    ),
    Row(
        "The registry of tiny:latest closed the connection: {}.",
        "If it is yours and uses plain http, name it in MCP_OLLAMA_REGISTRIES as http://HOST:PORT; else call again.",
        (f'{MANIFEST}Get "https://h/v2/": EOF',),
        retryable=True,
    ),
)

KINDS = {
    "The registry has no tiny:latest.": NotInRegistryError,
    "The registry requires authentication for tiny:latest (401): it is private, gated, or its name is misspelt.": (
        RegistryAccessError
    ),
    "The registry refuses tiny:latest to this server (403).": RegistryAccessError,
}


def _without_paths(text: str) -> str:
    """The text in one line, its addresses cut to scheme and host."""
    return re.sub(r"(https?://[^/\"]+)[^\"]*", r"\1", " ".join(text.split()))


CASES = [
    (row, *(text if isinstance(text, tuple) else (text, _without_paths(text))))
    for row in (*PERMANENT, *TRANSIENT)
    for text in row.texts
]


@pytest.mark.parametrize(
    ("row", "text", "shown"), CASES, ids=[f"{number}-{case[1][:40]!a}" for number, case in enumerate(CASES)]
)
def test_stream_error_has_cause_next_step_and_retryable(row: Row, text: str, shown: str) -> None:
    error = stream_error(text, MODEL)
    assert type(error) is KINDS.get(row.problem, OllamaStreamError)
    assert error.problem == row.problem.replace("{}", shown)
    assert error.next_step == row.next_step
    assert str(error) == f"{error.problem} {error.next_step}"
    assert error.retryable is row.retryable


def test_recorded_stream_errors_are_in_the_table() -> None:
    recorded = {
        json.loads(line["line"])["error"]
        for path in RECORDINGS.rglob("*.json")
        for document in [json.loads(path.read_text(encoding="utf-8"))]
        for exchange in document.get("exchanges", [document])
        for line in exchange.get("response", {}).get("lines", [])
        if line["line"].startswith('{"error"')
    }
    assert len(recorded) > 20
    known = {text for _, text, _ in CASES}
    assert {text for text in recorded if text not in known and "llama-quantize unavailable" not in text} == set()


def test_braces_in_text_or_name_are_not_formatted() -> None:
    assert stream_error("400: {model} {0} {", "{text}").problem == "The registry refuses {text}: 400: {model} {0} {."


@pytest.mark.parametrize(
    "text", ["manifests/" * 800_000, "invalid character " * 400_000, "\x1b]" * 1_000_000, "/" * 10**6]
)
def test_huge_text_is_bounded_quickly(text: str) -> None:
    assert len(str(stream_error(text, MODEL))) < 600


pieces = st.sampled_from(
    [*"\x1b[]/\\<:\n", "\x07", "\x9b", "<html>", "/home/x/y", "C:\\a b", "500", ": ", "{}", "\u2028"]
)


@given(st.text(max_size=50) | st.lists(pieces, max_size=400).map("".join))
def test_stream_error_of_any_text_is_short_and_printable(text: str) -> None:
    error = stream_error(text, MODEL)
    assert str(error).isprintable()
    assert len(str(error)) < MAX_TEXT + 200


@pytest.mark.parametrize(
    ("platform", "start"),
    [
        ("linux", "Start it with `sudo systemctl start ollama`, or run `ollama serve` in a terminal."),
        ("freebsd14", "Start it with `sudo systemctl start ollama`, or run `ollama serve` in a terminal."),
        ("darwin", "Start the Ollama app, or run `ollama serve` in a terminal."),
        ("win32", "Start Ollama from the Start menu, or run `ollama serve` in a terminal."),
    ],
)
def test_unreachable_loopback_explains_how_to_start_ollama(platform: str, start: str) -> None:
    error = unreachable("http://127.0.0.1:11434", platform)
    assert type(error) is OllamaConnectionError
    assert error.retryable
    assert error.problem == "Nothing answers at http://127.0.0.1:11434."
    assert error.next_step == (
        f"{start} If it is not installed, see https://ollama.com/download. "
        "If it runs elsewhere, set MCP_OLLAMA_BASE_URL."
    )


def test_unreachable_remote_names_settings_and_firewall() -> None:
    error = unreachable("http://gpu.example:11434", "darwin")
    assert error.next_step == (
        "Check that Ollama runs on gpu.example with OLLAMA_HOST=0.0.0.0 (by default it listens only to its own "
        "machine), and that no firewall blocks it; or set MCP_OLLAMA_BASE_URL."
    )
