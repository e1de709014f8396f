"""The head of a weights file, read from a registry before anything is pulled."""

import ipaddress
import re
import socket
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import anyio

from mcp_ollama.ollama.connection import check_encoding
from mcp_ollama.ollama.errors import (
    OllamaConnectionError,
    OllamaResponseError,
    OllamaStatusError,
    OllamaTimeoutError,
)
from mcp_ollama.sources.gguf import NeedMoreData, read_metadata

if TYPE_CHECKING:
    import httpx

FIRST_BYTES = 64 * 1024
"""Holds the keys of an estimate in every model seen; the tokenizer behind them takes up to 16 MB."""
MAX_BYTES = 2**20
TIMEOUT = 8.0
MAX_HOPS = 5
CAPACITY = 64

_CONTENT_RANGE = re.compile(r"bytes (?P<start>\d+)-\d+/(?P<total>\d+|\*)")
_NEXT_STEP = "The weights can be pulled all the same; only their memory is not estimated."

Resolve = Callable[[str], Awaitable[Collection[str]]]
"""Finds the IP addresses of a host name."""


async def resolve_host(host: str) -> list[str]:
    """Find the IP addresses of a host name; none when it does not resolve here, as behind some proxies."""
    with suppress(OSError):
        found = await anyio.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return [str(address[0]) for *_, address in found]
    return []


class WeightsHeads:
    """Reads metadata of weights files, and remembers them by digest.

    Registries redirect to content hosts of others, with a signature in the address that is a secret while it is
    valid. Requests therefore carry nothing but a range, and no address is logged or repeated in an error.

    Args:
        client: Sends the requests; its own headers, cookies and credentials are left out.
        named_hosts: Registries that the operator named, which may redirect into a private network.
        timeout: Seconds for one head.
        resolve: Finds the addresses of a host name.
    """

    def __init__(
        self,
        client: "httpx.AsyncClient",
        *,
        named_hosts: Collection[str] = (),
        timeout: float = TIMEOUT,
        resolve: Resolve = resolve_host,
    ) -> None:
        self._client = client
        self._named_hosts = frozenset(named_hosts)
        self._timeout = timeout
        self._resolve = resolve
        self._known: OrderedDict[str, Mapping[str, object]] = OrderedDict()

    async def read(self, url: str, *, digest: str, size_bytes: int) -> Mapping[str, object]:
        """Read the metadata of a weights file: at most 1 MiB of it, in two requests for most models.

        Args:
            url: The blob at the registry.
            digest: The digest of the blob in its manifest.
            size_bytes: The size of the blob in its manifest.

        Returns:
            Values by GGUF key, as `read_metadata`.

        Raises:
            OllamaError: The head is unavailable, in time and within 1 MiB, or is not a GGUF head.
        """
        known = self._known.get(digest)
        if known is None:
            known = self._known[digest] = await self._read(url, size_bytes)
            if len(self._known) > CAPACITY:
                self._known.popitem(last=False)
        self._known.move_to_end(digest)
        return known

    async def _read(self, url: str, size_bytes: int) -> Mapping[str, object]:
        import httpx  # noqa: PLC0415 - 55 ms that the start of a server need not pay

        if size_bytes < 1:
            raise OllamaResponseError("The manifest states no size of the weights file.", _NEXT_STEP)
        blob = _Blob(self._client, url, size_bytes, self._check_target)
        try:
            with anyio.fail_after(self._timeout):
                return await blob.read_metadata()
        except TimeoutError as error:
            problem = f"The head of the weights file is not complete within {self._timeout:g} s."
            raise OllamaTimeoutError(problem, _NEXT_STEP) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise OllamaConnectionError("The host of the weights file is unreachable from here.", _NEXT_STEP) from error
        except ValueError as error:
            raise OllamaResponseError(str(error)) from error

    async def _check_target(self, registry: str, target: str) -> None:
        """Raise an OllamaError when a registry may not redirect to an address."""
        source, destination = urlsplit(registry), urlsplit(target)
        host = destination.hostname
        if not host or destination.scheme not in ("https", source.scheme) or destination.username:
            raise OllamaResponseError("The registry redirects to an address that is not https.", _NEXT_STEP)
        if source.netloc in self._named_hosts or destination[:2] == source[:2]:
            return
        if not all(ipaddress.ip_address(address).is_global for address in await self._addresses(host)):
            raise OllamaResponseError("The registry redirects into a private network.", _NEXT_STEP)

    async def _addresses(self, host: str) -> Collection[str]:
        with suppress(ValueError):
            return [str(ipaddress.ip_address(host))]
        return [address.partition("%")[0] for address in await self._resolve(host)]


class _Blob:
    """A weights file at a registry, and what has been read of it."""

    def __init__(
        self, client: "httpx.AsyncClient", url: str, size_bytes: int, check: Callable[[str, str], Awaitable[None]]
    ) -> None:
        self._client = client
        self._registry = url
        self._target = url
        self._size = size_bytes
        self._check = check
        self._content = bytearray()
        self._metadata: Mapping[str, object] | None = None

    async def read_metadata(self) -> Mapping[str, object]:
        length = FIRST_BYTES
        while True:
            await self._extend(min(length, self._size))
            with suppress(NeedMoreData):
                return self._metadata or read_metadata(bytes(self._content))
            if len(self._content) >= min(MAX_BYTES, self._size):
                raise OllamaResponseError("The head of the weights file is incomplete within 1 MiB.", _NEXT_STEP)
            length = min(MAX_BYTES, 2 * max(length, len(self._content)))

    async def _extend(self, length: int) -> None:
        """Read on to a length, from the content host when one is known."""
        for _ in range(MAX_HOPS):
            response = await self._send(length)
            try:
                if response.has_redirect_location:
                    await self._follow(response)
                elif response.status_code == 403 and self._content and self._target != self._registry:
                    # The signature has expired since the first request: the registry signs another one.
                    self._target = self._registry
                else:
                    await self._receive(response, length)
                    return
            finally:
                await response.aclose()
        raise OllamaResponseError("The registry redirects too often.", _NEXT_STEP)

    async def _send(self, length: int) -> "httpx.Response":
        import httpx  # noqa: PLC0415 - see WeightsHeads._read

        headers = {"Range": f"bytes={len(self._content)}-{length - 1}", "Accept-Encoding": "identity"}
        request = httpx.Request("GET", self._target, headers=headers)
        request.url = _unlogged(self._target)
        return await self._client.send(request, stream=True, auth=None, follow_redirects=False)

    async def _follow(self, response: "httpx.Response") -> None:
        # An invalid location is an error of httpx already.
        target = urljoin(self._target, response.headers["location"])
        await self._check(self._registry, target)
        self._target = target

    async def _receive(self, response: "httpx.Response", length: int) -> None:
        self._check_response(response)
        if response.status_code == 200:
            # The range was ignored: what is needed is read, and the rest of the file is never sent for.
            self._content.clear()
            length = min(MAX_BYTES, self._size)
        before = len(self._content)
        async for chunk in response.aiter_raw():
            self._content += chunk[: length - len(self._content)]
            if len(self._content) >= length or (response.status_code == 200 and self._suffices(len(chunk))):
                break
        if len(self._content) == before:
            raise OllamaResponseError("The registry sends none of the weights file.", _NEXT_STEP)

    def _suffices(self, latest: int) -> bool:
        """Try what is there each time that it has doubled, so that the work stays in proportion."""
        length = len(self._content)
        if length < FIRST_BYTES or length.bit_length() == (length - latest).bit_length():
            return False
        with suppress(NeedMoreData):
            self._metadata = read_metadata(bytes(self._content))
        return self._metadata is not None

    def _check_response(self, response: "httpx.Response") -> None:
        status = response.status_code
        if status not in (200, 206):
            raise OllamaStatusError(f"The host of the weights file answers {status}.", _NEXT_STEP, status_code=status)
        check_encoding(response, _NEXT_STEP)
        start, total = self._stated_range(response)
        expected_start = 0 if status == 200 else len(self._content)
        if start != expected_start or total not in (None, self._size):
            raise OllamaResponseError("The weights file is not the one of the manifest.", _NEXT_STEP)

    def _stated_range(self, response: "httpx.Response") -> tuple[int | None, int | None]:
        if response.status_code == 200:
            stated = response.headers.get("content-length", "")
            return 0, int(stated) if stated.isdigit() else None
        found = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
        if found is None:
            return None, None
        return int(found["start"]), None if found["total"] == "*" else int(found["total"])


def _unlogged(url: str) -> "httpx.URL":
    """Build a URL whose text has no path and no query, since httpx logs the text of each URL it requests."""
    import httpx  # noqa: PLC0415 - see WeightsHeads._read

    class Unlogged(httpx.URL):
        def __str__(self) -> str:
            return f"{self.scheme}://{self.host}/…"

    return Unlogged(url)
