"""The HTTP between us and one Ollama server: requests go out, answers come back, and every failure becomes ours."""

import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterable, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from anyio.lowlevel import current_token

from mcp_ollama.ollama.addresses import is_loopback
from mcp_ollama.ollama.error_messages import (
    sanitize,
    status_error,
    tls_failed,
    unreachable,
    unusable_environment,
)
from mcp_ollama.ollama.errors import OllamaConnectionError, OllamaError, OllamaResponseError, OllamaTimeoutError

if TYPE_CHECKING:
    import httpx

Body = dict[str, Any]
ErrorT = TypeVar("ErrorT", bound=OllamaError)

MAX_ANSWER_BYTES = 16_000_000
"""No answer of the management API comes near this; more is somebody's mistake or malice."""

MAX_CONNECTIONS = 16
"""At once. A pull, a push and a load hold one each while they last; the rest share theirs."""

MAX_IDLE = 2
"""Kept for later; few, since each request first finds out of all of them whether they still stand."""

CONNECT_SECONDS = 10
"""A server that exists accepts a connection in far less."""


class Connection:
    """One pool of connections to a server; it opens with the first request, and again after `aclose()`.

    Args:
        base_url: Address of the server, without a slash at its end.
        timeout: Seconds for one whole request, streams and loads excepted.
        headers: Sent with each request.
        secrets: Texts that no error may repeat.
        transport: Another httpx transport, for tests.

    Raises:
        ValueError: A header holds characters that cannot be sent.
    """

    def __init__(
        self,
        base_url: str,
        timeout: float,
        headers: Mapping[str, str],
        secrets: Iterable[str],
        transport: "httpx.AsyncBaseTransport | None" = None,
    ) -> None:
        self.base_url = base_url
        self.timeout = timeout
        self._headers = _sendable(headers)
        # Of `Basic eA==` the second word alone is one, too.
        words = {part.strip() for text in secrets for part in (text, text.strip().partition(" ")[2]) if part.strip()}
        self._secrets = sorted(words, key=len, reverse=True)
        self._transport = transport
        self._http: httpx.AsyncClient | None = None
        self._slots = anyio.Semaphore(MAX_CONNECTIONS)
        self._loop: object = None

    async def aclose(self) -> None:
        """Drop all connections; what runs over them ends."""
        http, self._http = self._http, None
        if http is not None and self._loop == current_token():
            await http.aclose()

    async def call(
        self, method: str, path: str, body: Body | None = None, *, model: str = "", patient: bool = False
    ) -> bytes:
        """Send a request and read the whole answer.

        Args:
            method: GET, POST, HEAD or DELETE.
            path: From the first slash on.
            body: Sent as JSON.
            model: The model that it is about, for the error of a 404.
            patient: Wait for as long as it takes.

        Raises:
            OllamaError: There is no answer, or its status is no success.
        """
        with self._at_most(None if patient else self.timeout):
            async with self._open(method, path, body) as response:
                content = await _read(response)
        if response.status_code >= 300:
            raise self._refusal(response, content, path, model)
        return content

    @asynccontextmanager
    async def stream(self, path: str, body: Body, model: str) -> AsyncGenerator[AsyncIterator[bytes]]:
        """Post a request, and give the body of the answer as it comes in; arguments and errors as in `call`."""
        async with self._open("POST", path, body) as response:
            if response.status_code >= 300:
                with self._at_most(self.timeout):
                    content = await _read(response)
                raise self._refusal(response, content, path, model)
            yield response.aiter_bytes()

    def _refusal(self, response: "httpx.Response", content: bytes, path: str, model: str) -> OllamaError:
        content = self._without_secrets(content.decode("utf-8", "replace")).encode()
        return self.redact(status_error(response.status_code, content, self.base_url, path, model))

    def redact(self, error: ErrorT) -> ErrorT:
        """Take out of an error what is nobody's business: a server may repeat the key or the headers that it got."""
        error.problem, error.next_step = map(self._without_secrets, (error.problem, error.next_step))
        error.args = (f"{error.problem} {error.next_step}".strip(),)
        return error

    def _without_secrets(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    @contextmanager
    def _at_most(self, seconds: float | None) -> Generator[None]:
        try:
            with anyio.fail_after(seconds):
                yield
        except TimeoutError as error:
            raise OllamaTimeoutError(
                f"The server at {self.base_url} did not answer within {seconds:g} s.",
                "Try again when it is less busy, or raise MCP_OLLAMA_TIMEOUT.",
            ) from error

    @asynccontextmanager
    async def _open(self, method: str, path: str, body: Body | None) -> AsyncGenerator["httpx.Response"]:
        """Send a request; every exception of the transport, also while the body is read, becomes ours."""
        import httpx  # noqa: PLC0415 - 55 ms that the start of a server need not pay

        self._connected()
        try:
            async with self._slots:
                # Again, since all may have been closed while this request waited for its turn.
                http = self._connected()
                response = await http.send(http.build_request(method, f"{self.base_url}{path}", json=body), stream=True)
                try:
                    check_encoding(response)
                    yield response
                finally:
                    await response.aclose()
        except httpx.ConnectTimeout as error:
            raise OllamaTimeoutError(
                f"{self.base_url} did not accept a connection within {CONNECT_SECONDS} s.",
                "Check the address, and that no firewall stands in between.",
            ) from error
        except httpx.ConnectError as error:
            if "[SSL" in str(error):
                raise tls_failed(self.base_url, str(error)) from error
            raise unreachable(self.base_url) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = sanitize(self._without_secrets(str(error)), 100) or type(error).__name__
            raise OllamaConnectionError(
                f"The connection to {self.base_url} broke ({why}).",
                "Check that Ollama still runs there, then call again.",
            ) from error

    def _connected(self) -> "httpx.AsyncClient":
        loop = current_token()
        # Connections belong to one event loop, and each `asyncio.run` of a script makes a new one.
        if self._http is None or self._loop != loop:
            import httpx  # noqa: PLC0415 - see _open

            self._loop = loop
            self._slots = anyio.Semaphore(MAX_CONNECTIONS)
            self._http = new_client(
                headers=self._headers,
                verify=tls_context(self.base_url),
                trust_env=not is_loopback(self.base_url),
                timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
                # A request that is cancelled while it waits in the pool for its turn costs httpcore (1.0) a connection
                # for good, so they wait for a slot of ours.
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=MAX_IDLE),
                transport=self._transport or (_direct() if _is_plain_and_here(self.base_url) else None),
            )
        return self._http


def tls_context(base_url: str) -> ssl.SSLContext | bool:
    """Give the certificates that a server may show; none are loaded for plain http on this machine, to save 20 ms."""
    return False if _is_plain_and_here(base_url) else ssl.create_default_context()


def _is_plain_and_here(base_url: str) -> bool:
    return base_url.startswith("http:") and is_loopback(base_url)


def new_client(**options: Any) -> "httpx.AsyncClient":
    """Make an httpx client; arguments are httpx's.

    Raises:
        OllamaConnectionError: A proxy or a file of certificates that the environment names cannot be used.
    """
    from http.cookiejar import CookieJar, DefaultCookiePolicy  # noqa: PLC0415 - httpx pays for it

    import httpx  # noqa: PLC0415 - see _open

    try:
        return httpx.AsyncClient(cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])), **options)
    except (ImportError, OSError, ValueError, httpx.InvalidURL) as error:
        raise unusable_environment() from error


def _direct() -> "httpx.AsyncBaseTransport":
    """Make the transport to a server on this machine: no proxy, no certificates, and large chunks."""
    import httpcore  # noqa: PLC0415 - see _open
    import httpx  # noqa: PLC0415 - see _open

    from mcp_ollama.ollama.coalescing import MergingBackend  # noqa: PLC0415 - see _open

    transport = httpx.AsyncHTTPTransport(verify=False)
    # Private, since httpx has no argument for it; the pool itself and its argument are httpcore's public API.
    transport._pool = httpcore.AsyncConnectionPool(  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        max_connections=None, max_keepalive_connections=MAX_IDLE, network_backend=MergingBackend()
    )
    return transport


def _sendable(headers: Mapping[str, str]) -> dict[str, str]:
    """Check the headers here: what the transport says of a bad one repeats it, and it may be a secret."""
    for name, text in headers.items():
        if not (text.isascii() and text.replace("\t", " ").isprintable()):
            raise ValueError(f"The header {name} holds characters that cannot be sent: only printable ASCII can.")
    return {name: text.strip() for name, text in headers.items()}


async def _read(response: "httpx.Response") -> bytes:
    content = await read_within(response, MAX_ANSWER_BYTES)
    if content is None:
        raise OllamaResponseError(
            f"The server's answer is larger than {MAX_ANSWER_BYTES:,} bytes, which Ollama's never is.",
            "Check that the address is an Ollama server.",
        )
    return content


def check_encoding(response: "httpx.Response") -> None:
    """Refuse what is packed more than once: a few thousand bytes can hold gigabytes, unpacked before they are counted.

    Raises:
        OllamaResponseError: It is.
    """
    if "," in response.headers.get("content-encoding", ""):
        raise OllamaResponseError(
            "The answer is compressed more than once, which nobody does in earnest.",
            "Check that the address is an Ollama server.",
        )


async def read_within(response: "httpx.Response", most_bytes: int) -> bytes | None:
    """Read the body of an answer; None as soon as it is larger than that."""
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > most_bytes:
            return None
    return bytes(content)
