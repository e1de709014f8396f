"""Client of model registries: manifests, without credentials."""

import hashlib
import math
import time
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import anyio

from mcp_ollama.ollama.connection import check_encoding, new_client, read_within
from mcp_ollama.ollama.decoding import decode
from mcp_ollama.ollama.error_messages import GATED, check_name
from mcp_ollama.ollama.errors import (
    ModelNotFoundError,
    OllamaConnectionError,
    OllamaError,
    OllamaResponseError,
    OllamaStatusError,
    OllamaTimeoutError,
)
from mcp_ollama.ollama.names import HUGGING_FACE_REGISTRIES, REGISTRIES, ModelName
from mcp_ollama.ollama.sanitizing import sanitize
from mcp_ollama.ollama.schemas import ErrorText, Layer, Manifest, OllamaResponse
from mcp_ollama.sources.weights_head import WeightsHeads

if TYPE_CHECKING:
    import httpx

ACCEPT = "application/vnd.docker.distribution.manifest.v2+json"
MAX_CONNECTIONS = 8
MAX_MANIFEST_BYTES = 4_000_000
MAX_ERROR_BYTES = 64_000
MAX_REASON = 250
"""Characters of a registry's own sentence."""
_MAX_HOPS = 3
_SERVER_MAY_REACH_IT = "The Ollama server may still reach it: try pull_model."
_MAY_BE_PRIVATE = "It is private, gated or misspelt; the Ollama server may have a key for it: try pull_model."
_OTHER_TAG = "Choose another tag: search_models lists the quantizations of a repository that can be pulled."
_THIS_MACHINE = ("localhost", "127.0.0.1")


class _Refusal(OllamaResponse):
    error: ErrorText = ""
    errors: list[ErrorText] | None = None


class Registry:
    """Client of the registries that models come from; it sends no credentials.

    Args:
        hosts: Allowed hosts; a redirect to another host is not followed.
        addresses: Base URLs by host, for a registry on plain http or at another address.
        timeout: Seconds for one manifest.
    """

    def __init__(
        self, hosts: Collection[str], addresses: Mapping[str, str] | None = None, *, timeout: float = 5
    ) -> None:
        self._addresses = dict(addresses or {})
        self._hosts = {*hosts, *self._addresses}
        self._timeout = timeout
        self._http: httpx.AsyncClient | None = None
        self._heads: WeightsHeads | None = None
        self._slots = anyio.Semaphore(MAX_CONNECTIONS)
        self._answered: dict[str, float] = {}

    async def aclose(self) -> None:
        """Close all connections."""
        http, self._http, self._heads = self._http, None, None
        self._answered.clear()
        if http is not None:
            await http.aclose()

    def base_url(self, host: str, *, insecure: bool = False) -> str:
        """Return the base URL of a host, which `addresses` may have replaced."""
        return self._addresses.get(host, f"{'http' if insecure else 'https'}://{host}")

    async def read_weights_metadata(self, name: ModelName, layer: Layer) -> Mapping[str, object]:
        """Read the metadata of a weights file from its head (`GET /v2/<namespace>/<model>/blobs/<digest>`).

        Args:
            name: The model.
            layer: The layer of its manifest that holds the weights.

        Returns:
            Values by GGUF key; the head is remembered by its digest.

        Raises:
            OllamaError: The host is not allowed, or the head is unavailable within 8 s and 1 MiB.
        """
        url = f"{self._allowed_url(name)}/v2/{name.namespace}/{name.model}/blobs/{layer.digest}"
        async with self._slots:
            return await self._connected_heads().read(url, digest=layer.digest, size_bytes=layer.size)

    async def get_manifest(self, name: ModelName, *, insecure: bool = False) -> Manifest:
        """Fetch a manifest (`GET /v2/<namespace>/<model>/manifests/<tag>`).

        Its `digest` is the SHA-256 of its bytes, as 64 hex digits.

        Args:
            name: The model.
            insecure: Use plain http.

        Raises:
            ModelNotFoundError: The registry has no such model.
            OllamaError: The host is not allowed or not reachable, the response is late or larger than 4 MB, or is not a
                valid manifest.
        """
        url = f"{self._allowed_url(name, insecure=insecure)}/v2/{name.namespace}/{name.model}/manifests/{name.tag}"
        try:
            with anyio.fail_after(self._timeout):
                content = await self._get(url, name)
        except TimeoutError as error:
            problem = f"The registry {name.host} did not answer within {self._timeout:g} s."
            raise OllamaTimeoutError(problem, _SERVER_MAY_REACH_IT) from error
        try:
            manifest = decode(Manifest, content)
        except ValueError as error:
            problem = f"The registry {name.host} returned an invalid manifest for {name}."
            raise OllamaResponseError(
                problem, f"A proxy, filter or log-in page may have answered instead. {_SERVER_MAY_REACH_IT}"
            ) from error
        digests = {"digest": _sha256(content), "created_digest": _sha256(content + b"\n")}
        return manifest.model_copy(update=digests)

    def has_answered(self, host: str, within: float) -> bool:
        """Return whether a registry has answered anything in the last `within` seconds."""
        return time.monotonic() - self._answered.get(host, -math.inf) <= within

    def _allowed_url(self, name: ModelName, *, insecure: bool = False) -> str:
        host = name.host.lower()
        if host not in self._hosts:
            raise OllamaError(f"The registry {name.host} is not among the allowed ones.")
        return self.base_url(host, insecure=insecure)

    def _connected_heads(self) -> WeightsHeads:
        if self._heads is None:
            named = {urlsplit(address).netloc for address in self._addresses.values()}
            named |= self._hosts.difference(REGISTRIES)
            self._heads = WeightsHeads(self._connected(), named_hosts=named)
        return self._heads

    async def _get(self, url: str, name: ModelName) -> bytes:
        import httpx  # noqa: PLC0415 - 55 ms that the start of a server need not pay

        try:
            for _ in range(_MAX_HOPS):
                async with self._slots, self._connected().stream("GET", url, headers={"Accept": ACCEPT}) as response:
                    self._answered[name.host] = time.monotonic()
                    check_encoding(response, _SERVER_MAY_REACH_IT)
                    if not response.is_redirect:
                        return await _read(response, name)
                    url = self._next_hop(url, response.headers.get("location", ""))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _unreachable(url, name.host) from error
        raise OllamaResponseError(f"The registry {name.host} redirects in a loop.")

    def _next_hop(self, url: str, location: str) -> str:
        here = urlsplit(url)
        try:
            there = urlsplit(urljoin(url, location))
        except ValueError as error:
            raise OllamaResponseError(f"The registry {here.netloc} redirects to an invalid URL.") from error
        # From https to http is another origin.
        if there[:2] != here[:2] and not (there.scheme == "https" and there.netloc in self._hosts):
            raise OllamaError(f"The registry {here.netloc} redirects to a host that is not allowed.")
        return there.geturl()

    def _connected(self) -> "httpx.AsyncClient":
        if self._http is None:
            self._http = new_client(
                headers={},
                # Loading the certificates takes 20 ms, and plain http needs none.
                verify=not all(self._addresses.get(host, "").startswith("http:") for host in self._hosts),
                max_idle=MAX_CONNECTIONS,
                # A proxy is for other machines.
                mounts={f"all://{host}": None for host in _THIS_MACHINE},
            )
        return self._http


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _unreachable(url: str, host: str) -> OllamaConnectionError:
    hint = ""
    if url.startswith("https:") and host.lower() not in REGISTRIES:
        hint = f"If it uses plain http, name it in MCP_OLLAMA_REGISTRIES as http://{host}. "
    return OllamaConnectionError(f"The registry {host} cannot be reached from here.", f"{hint}{_SERVER_MAY_REACH_IT}")


async def _read(response: "httpx.Response", name: ModelName) -> bytes:
    if response.status_code != 200:
        raise await _status_error(response, name)
    content = await read_within(response, MAX_MANIFEST_BYTES)
    if content is None:
        raise OllamaResponseError(f"The manifest of {name} is larger than {MAX_MANIFEST_BYTES:,} bytes.")
    return content


async def _status_error(response: "httpx.Response", name: ModelName) -> OllamaStatusError:
    status = response.status_code
    content = await read_within(response, MAX_ERROR_BYTES) or b""
    problem = f"The registry {name.host} answered {status} for {name}."
    if status == 404:
        return ModelNotFoundError(f"The registry {name.host} has no {name}.", check_name(name.short), model=name.short)
    if status < 500 and content.lstrip().startswith(b"<"):
        # Registries answer in JSON; Hugging Face's pages of errors have this status, too.
        next_step = f"A web page came instead of JSON: a proxy or filter may block it. {_SERVER_MAY_REACH_IT}"
    elif status in (401, 403):
        next_step = f"{_MAY_BE_PRIVATE} {GATED}" if name.host.lower() in HUGGING_FACE_REGISTRIES else _MAY_BE_PRIVATE
    elif status == 400 and (reason := sanitize(_reason(content), MAX_REASON).rstrip(".")):
        problem = f"The registry {name.host} refuses {name}: {reason}."
        next_step = _OTHER_TAG if name.host.lower() in HUGGING_FACE_REGISTRIES else check_name(name.short)
    elif status == 412:
        next_step = "Update Ollama: the model needs a newer version."
    else:
        next_step = "Call again in a few minutes."
    return OllamaStatusError(problem, next_step, status_code=status)


def _reason(content: bytes) -> str:
    """Read the reason of a refusal, in the form of Hugging Face or of a Docker registry."""
    try:
        refusal = decode(_Refusal, content)
    except ValueError:
        return ""
    return refusal.error or next(iter(refusal.errors or []), "")
