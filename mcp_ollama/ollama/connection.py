"""HTTP connection to one Ollama server; maps transport errors to `OllamaError`."""

import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from anyio.lowlevel import current_token

from mcp_ollama.ollama.addresses import is_loopback
from mcp_ollama.ollama.balancer import find_sign
from mcp_ollama.ollama.error_messages import status_error, tls_failed, unreachable, unusable_environment
from mcp_ollama.ollama.errors import OllamaConnectionError, OllamaResponseError, OllamaTimeoutError
from mcp_ollama.ollama.proxies import read_proxies
from mcp_ollama.ollama.sanitizing import Redactor, sanitize

if TYPE_CHECKING:
    import httpx

Body = dict[str, Any]

MAX_RESPONSE_BYTES = 16_000_000
"""Limit of a response; the largest of the management API have some 4 MB."""

MAX_CONNECTIONS = 16
"""Concurrent connections. A pull, a push and a load hold one each while they last; other requests share the rest."""

MAX_IDLE = 8
"""Idle connections: as many as `models/concurrency.py` uses at once; httpcore polls each of them before a request."""

IDLE_SECONDS = 5
"""Lifetime of an idle connection, as in httpx; Ollama keeps its end open for longer."""

CONNECT_SECONDS = 10
"""Limit for connecting; a reachable server accepts within milliseconds."""

_NO_COMPRESSION = "Check that the address is an Ollama server, and turn compression off in a proxy before it."


class Connection:
    """Pool of connections to a server; it opens with the first request, and again after `aclose()`.

    Args:
        base_url: Address of the server, without a slash at its end.
        timeout: Seconds for one whole request, except streams and loads.
        headers: Sent with each request.
        redact: Removes the secrets among the headers from texts.
        transport: Replacement of the httpx transport, for tests.
        ca_file: PEM certificates to trust, beside the usual ones.

    Raises:
        ValueError: A header contains characters that cannot be sent.
    """

    def __init__(
        self,
        base_url: str,
        timeout: float,
        headers: Mapping[str, str],
        redact: Redactor,
        transport: "httpx.AsyncBaseTransport | None" = None,
        ca_file: Path | None = None,
    ) -> None:
        self.base_url = base_url
        self.timeout = timeout
        self.redact = redact
        self._headers = _sendable(headers)
        self._transport = transport
        self._ca_file = ca_file
        self.balancer_sign = ""
        self._http: httpx.AsyncClient | None = None
        self._slots = anyio.Semaphore(MAX_CONNECTIONS)
        self._loop: object = None

    async def aclose(self) -> None:
        """Close all connections, which ends their requests."""
        http, self._http = self._http, None
        if http is not None and self._loop == current_token():
            await http.aclose()

    async def call(
        self,
        method: str,
        path: str,
        body: Body | None = None,
        *,
        model: str = "",
        unlimited: bool = False,
        max_bytes: int = MAX_RESPONSE_BYTES,
    ) -> bytes:
        """Send a request and read the whole response.

        Args:
            method: GET, POST, HEAD or DELETE.
            path: Path with its first slash.
            body: Sent as JSON.
            model: The model of the request, for the error of a 404.
            unlimited: Wait without a timeout.
            max_bytes: Limit of the response.

        Raises:
            OllamaError: There is no response, or its status is an error.
        """
        with self._timeout_after(None if unlimited else self.timeout):
            async with self._open(method, path, body) as response:
                content = await _read(response, max_bytes)
        if response.status_code >= 300:
            raise status_error(response.status_code, content, self.base_url, path, model, self.redact)
        return content

    @asynccontextmanager
    async def stream(self, path: str, body: Body, model: str) -> AsyncGenerator[AsyncIterator[bytes]]:
        """Post a request and yield the chunks of the response; arguments and errors as in `call`."""
        async with self._open("POST", path, body) as response:
            if response.status_code >= 300:
                with self._timeout_after(self.timeout):
                    content = await _read(response)
                raise status_error(response.status_code, content, self.base_url, path, model, self.redact)
            yield response.aiter_bytes()

    @contextmanager
    def _timeout_after(self, seconds: float | None) -> Generator[None]:
        try:
            with anyio.fail_after(seconds):
                yield
        except TimeoutError as error:
            raise OllamaTimeoutError(
                f"The server at {self.base_url} did not answer within {seconds:g} s.",
                "Call again when it is less busy, or raise MCP_OLLAMA_TIMEOUT.",
            ) from error

    @asynccontextmanager
    async def _open(self, method: str, path: str, body: Body | None) -> AsyncGenerator["httpx.Response"]:
        """Send a request; every exception of the transport becomes an OllamaError, also while the body is read."""
        self._connected()
        with self._translating_errors():
            async with self._slots:
                # Again, since `aclose` may have been called while this request was queued.
                http = self._connected()
                response = await http.send(http.build_request(method, f"{self.base_url}{path}", json=body), stream=True)
                self.balancer_sign = self.balancer_sign or find_sign(response.status_code, response.headers)
                try:
                    check_encoding(response, _NO_COMPRESSION)
                    yield response
                finally:
                    await response.aclose()

    @contextmanager
    def _translating_errors(self) -> Generator[None]:
        import httpx  # noqa: PLC0415 - 55 ms that the start of a server need not pay

        try:
            yield
        except httpx.ConnectTimeout as error:
            raise OllamaTimeoutError(
                f"{self.base_url} did not accept a connection within {CONNECT_SECONDS} s.",
                "Check the address, and that no firewall blocks it.",
            ) from error
        except httpx.ConnectError as error:
            if "[SSL" in str(error):
                raise tls_failed(self.base_url, str(error)) from error
            raise unreachable(self.base_url) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = sanitize(self.redact(str(error)), 100) or type(error).__name__
            raise OllamaConnectionError(
                f"The connection to {self.base_url} broke ({reason}).",
                "Check that Ollama still runs there, then call again.",
            ) from error

    def _connected(self) -> "httpx.AsyncClient":
        loop = current_token()
        # Connections belong to one event loop, and each `asyncio.run` of a script creates another.
        if self._http is None or self._loop != loop:
            import httpx  # noqa: PLC0415 - see _translating_errors

            self._loop = loop
            self._slots = anyio.Semaphore(MAX_CONNECTIONS)
            self._http = new_client(
                headers=self._headers,
                verify=tls_context(self.base_url, self._ca_file),
                max_idle=MAX_IDLE,
                trust_env=not is_loopback(self.base_url),
                timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
                transport=self._transport or (_loopback_transport() if _is_loopback_http(self.base_url) else None),
            )
        return self._http


def tls_context(base_url: str, ca_file: Path | None = None) -> ssl.SSLContext | bool:
    """Load the trusted certificates; not for plain http on this machine, which saves 20 ms.

    Args:
        base_url: The server.
        ca_file: PEM certificates to trust beside the usual ones.
    """
    if _is_loopback_http(base_url):
        return False
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


def _is_loopback_http(base_url: str) -> bool:
    return base_url.startswith("http:") and is_loopback(base_url)


def new_client(
    *,
    headers: Mapping[str, str],
    verify: ssl.SSLContext | bool,
    max_idle: int,
    timeout: "httpx.Timeout | None" = None,
    mounts: "Mapping[str, httpx.AsyncBaseTransport | None] | None" = None,
    transport: "httpx.AsyncBaseTransport | None" = None,
    trust_env: bool = True,
) -> "httpx.AsyncClient":
    """Build an httpx client that uses the proxies of the environment, keeps no cookies and accepts no encodings.

    It opens any number of connections, and each caller queues for a slot of its own: httpcore 1.0 leaks a slot of its
    pool when a queued request is cancelled (encode/httpcore#1093).

    Args:
        headers: Sent with each request.
        verify: Trusted certificates.
        max_idle: Idle connections that each pool keeps.
        timeout: Of each request; by default the caller limits the whole request.
        mounts: As in httpx, before those of the environment's proxies.
        transport: For URLs without a proxy.
        trust_env: Whether the proxies of the environment apply.

    Raises:
        OllamaConnectionError: A proxy or certificate file of the environment cannot be used.
    """
    from http.cookiejar import CookieJar, DefaultCookiePolicy  # noqa: PLC0415 - httpx imports it anyway

    import httpx  # noqa: PLC0415 - see _translating_errors

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=max_idle)
    try:
        # With a transport of its own the client does not read the proxies of the environment itself.
        return httpx.AsyncClient(
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            headers={"User-Agent": "mcp-ollama-manager", **headers, "Accept-Encoding": "identity"},
            timeout=timeout,
            mounts={**(_proxy_mounts(verify=verify, limits=limits) if trust_env else {}), **(mounts or {})},
            transport=transport or httpx.AsyncHTTPTransport(verify=verify, limits=limits),
        )
    except (ImportError, OSError, ValueError, httpx.InvalidURL) as error:
        raise unusable_environment() from error


def _proxy_mounts(
    *, verify: ssl.SSLContext | bool, limits: "httpx.Limits"
) -> "dict[str, httpx.AsyncBaseTransport | None]":
    import httpx  # noqa: PLC0415 - see _translating_errors

    proxies = read_proxies()
    mounts: dict[str, httpx.AsyncBaseTransport | None] = {
        f"{scheme}://": httpx.AsyncHTTPTransport(verify=verify, limits=limits, proxy=address)
        for scheme, address in proxies.by_scheme.items()
    }
    return mounts | dict.fromkeys(proxies.bypass_patterns())


def _loopback_transport() -> "httpx.AsyncBaseTransport":
    """Build the transport to a server on this machine: no proxy, no certificates, coalesced chunks."""
    import httpcore  # noqa: PLC0415 - see _translating_errors
    import httpx  # noqa: PLC0415 - see _translating_errors

    from mcp_ollama.ollama.coalescing import CoalescingBackend  # noqa: PLC0415 - see _translating_errors

    transport = httpx.AsyncHTTPTransport(verify=False)
    # httpx 0.28 has no argument for the network backend; the pool and its argument are httpcore's public API.
    transport._pool = httpcore.AsyncConnectionPool(  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        max_connections=None,
        max_keepalive_connections=MAX_IDLE,
        keepalive_expiry=IDLE_SECONDS,
        network_backend=CoalescingBackend(),
    )
    return transport


def _sendable(headers: Mapping[str, str]) -> dict[str, str]:
    """Check the headers here, since the error of the transport would repeat the value, which may be a secret."""
    for name, text in headers.items():
        if not (text.isascii() and text.replace("\t", " ").isprintable()):
            raise ValueError(f"The header {name} contains characters that cannot be sent: only printable ASCII can.")
    # In lower case: of two spellings of a name both would be sent, ours and that of the caller.
    return {name.lower(): text.strip() for name, text in headers.items()}


async def _read(response: "httpx.Response", max_bytes: int = MAX_RESPONSE_BYTES) -> bytes:
    content = await read_within(response, max_bytes)
    if content is None:
        raise OllamaResponseError(
            f"The response is larger than {max_bytes:,} bytes, more than Ollama sends.",
            "Check that the address is an Ollama server.",
        )
    return content


def check_encoding(response: "httpx.Response", next_step: str) -> None:
    """Check that a response is not compressed: a few thousand bytes can expand to gigabytes.

    Args:
        response: The response, before its body is read.
        next_step: The next step of the error.

    Raises:
        OllamaResponseError: It is compressed, although only `identity` was accepted.
    """
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity"):
        raise OllamaResponseError(
            f"The response is encoded as {sanitize(encoding, 40)!r}, although only `identity` was accepted.", next_step
        )


async def read_within(response: "httpx.Response", max_bytes: int) -> bytes | None:
    """Read the body of a response; None as soon as it is larger than `max_bytes`."""
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > max_bytes:
            return None
    return bytes(content)
