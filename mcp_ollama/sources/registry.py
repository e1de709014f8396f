"""The model registry, as far as one asks it before or instead of a pull: its manifests."""

import hashlib
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import anyio
from pydantic import ValidationError

from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.ollama.connection import check_encoding, new_client, read_within
from mcp_ollama.ollama.errors import (
    ModelNotFoundError,
    OllamaConnectionError,
    OllamaError,
    OllamaResponseError,
    OllamaStatusError,
    OllamaTimeoutError,
)
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.schemas import Layer, Manifest
from mcp_ollama.sources.weights_head import WeightsHeads

if TYPE_CHECKING:
    import httpx

ACCEPT = "application/vnd.docker.distribution.manifest.v2+json"
MAX_CONNECTIONS = 8
MAX_MANIFEST_BYTES = 4_000_000
WELL_KNOWN_HOSTS = ("registry.ollama.ai", "ollama.com", "hf.co", "huggingface.co")
"""Registries that models may come from and go to by default; all of them speak https."""
MAX_LOOKUPS = 64
"""Blobs of one manifest; safetensors models have thousands."""
_MAX_HOPS = 3
_SERVER_MAY_REACH_IT = "The Ollama server may reach it all the same: pull_model tells."
_NOT_FOR_US = "It is private, gated or misspelt; the Ollama server may have a key for it: pull_model tells."
_THIS_MACHINE = ("localhost", "127.0.0.1")


class Registry:
    """A client of the registries that models come from; it carries no credential to any of them.

    Args:
        hosts: The hosts it may talk to; a redirect to another one is not followed.
        addresses: Base URLs that stand for a host, for a registry under another address.
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

    async def aclose(self) -> None:
        """Drop all connections."""
        http, self._http, self._heads = self._http, None, None
        if http is not None:
            await http.aclose()

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
        url = f"{self._base_url(name)}/v2/{name.namespace}/{name.model}/blobs/{layer.digest}"
        async with self._slots:
            return await self._connected_heads().read(url, digest=layer.digest, size_bytes=layer.size)

    async def get_manifest(self, name: ModelName, *, insecure: bool = False) -> Manifest:
        """Fetch a manifest; its `digest` is the SHA-256 of the very bytes, as 64 hex digits.

        Args:
            name: The model.
            insecure: Speak plain http.

        Raises:
            ModelNotFoundError: The registry has no such model.
            OllamaError: It cannot be had from an allowed host, in time and within 4 MB, or is no manifest.
        """
        base = self._base_url(name, insecure=insecure)
        url = f"{base}/v2/{name.namespace}/{name.model}/manifests/{name.tag}"
        try:
            with anyio.fail_after(self._timeout):
                content = await self._get(url, name)
        except TimeoutError as error:
            problem = f"The registry {name.host} did not answer within {self._timeout:g} s."
            raise OllamaTimeoutError(problem, _SERVER_MAY_REACH_IT) from error
        try:
            manifest = Manifest.model_validate_json(content)
        except ValidationError as error:
            problem = f"What the registry {name.host} gave for {name} is no manifest."
            raise OllamaResponseError(problem, f"A log-in page may stand in the way. {_SERVER_MAY_REACH_IT}") from error
        return manifest.model_copy(update={"digest": hashlib.sha256(content).hexdigest()})

    def _base_url(self, name: ModelName, *, insecure: bool = False) -> str:
        host = name.host.lower()
        if host not in self._hosts:
            raise OllamaError(f"The registry {name.host} is not among the allowed ones.")
        return self._addresses.get(host, f"{'http' if insecure else 'https'}://{host}")

    def _connected_heads(self) -> WeightsHeads:
        if self._heads is None:
            named = {urlsplit(address).netloc for address in self._addresses.values()}
            named |= self._hosts.difference(WELL_KNOWN_HOSTS)
            self._heads = WeightsHeads(self._connected(), named_hosts=named)
        return self._heads

    async def _get(self, url: str, name: ModelName) -> bytes:
        import httpx  # noqa: PLC0415 - 55 ms that the start of a server need not pay

        try:
            for _ in range(_MAX_HOPS):
                async with self._slots, self._connected().stream("GET", url, headers={"Accept": ACCEPT}) as response:
                    check_encoding(response)
                    if not response.is_redirect:
                        return await _read(response, name)
                    url = self._next_hop(url, response.headers.get("location", ""))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            problem = f"The registry {name.host} cannot be reached from here."
            raise OllamaConnectionError(problem, _SERVER_MAY_REACH_IT) from error
        raise OllamaResponseError(f"The registry {name.host} sends us round in circles.")

    def _next_hop(self, url: str, location: str) -> str:
        here = urlsplit(url)
        try:
            there = urlsplit(urljoin(url, location))
        except ValueError as error:
            raise OllamaResponseError(f"The registry {here.netloc} sends us to what is no address.") from error
        # From https to http is elsewhere, too.
        if there[:2] != here[:2] and not (there.scheme == "https" and there.netloc in self._hosts):
            raise OllamaError(f"The registry {here.netloc} sends us to a host that is not allowed.")
        return there.geturl()

    def _connected(self) -> "httpx.AsyncClient":
        if self._http is None:
            import httpx  # noqa: PLC0415 - see _get

            self._http = new_client(
                headers={"User-Agent": "mcp-ollama-manager"},
                # The limit is on the whole; and a proxy is for other machines.
                timeout=None,
                # Loading the certificates takes 20 ms; plain http to all of them never needs them.
                verify=not all(self._addresses.get(host, "").startswith("http:") for host in self._hosts),
                mounts={f"all://{host}": None for host in _THIS_MACHINE},
                # Requests wait for a slot instead, see Connection.
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=MAX_CONNECTIONS),
            )
        return self._http


async def present_blobs(ollama: OllamaClient, manifest: Manifest) -> set[str] | None:
    """Ask which blobs of a manifest an Ollama server has already; None when they are too many, or it does not tell."""
    if len(manifest.blobs) > MAX_LOOKUPS:
        return None
    told: dict[str, bool] = {}

    async def ask(digest: str) -> None:
        with suppress(OllamaError):
            told[digest] = await ollama.has_blob(digest)

    async with anyio.create_task_group() as group:
        for digest in manifest.blobs:
            group.start_soon(ask, digest)
    return {digest for digest in told if told[digest]} if len(told) == len(manifest.blobs) else None


async def _read(response: "httpx.Response", name: ModelName) -> bytes:
    if response.status_code == 404:
        raise ModelNotFoundError(
            f"The registry {name.host} has no {name}.",
            "Check the name and the tag at https://ollama.com/library (or the repository on hf.co).",
            model=name.short,
        )
    if response.status_code != 200:
        status = response.status_code
        next_step = _NOT_FOR_US if status in (401, 403) else "Call again in a few minutes."
        raise OllamaStatusError(
            f"The registry {name.host} answered {status} for {name}.", next_step, status_code=status
        )
    content = await read_within(response, MAX_MANIFEST_BYTES)
    if content is None:
        raise OllamaResponseError(f"The manifest of {name} is larger than {MAX_MANIFEST_BYTES:,} bytes.")
    return content
