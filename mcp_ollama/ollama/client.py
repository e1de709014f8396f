"""Ollama's management API, one method per endpoint, and the only place where its HTTP is spoken."""

import ssl
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import quote

import anyio
from anyio.lowlevel import current_token
from pydantic import BaseModel, ValidationError

from mcp_ollama.ollama.errors import (
    ModelNotFoundError,
    OllamaConnectionError,
    OllamaError,
    OllamaResponseError,
    OllamaStatusError,
    OllamaTimeoutError,
)
from mcp_ollama.ollama.failures import answer_error, clean, no_secure_connection, nobody_there, status_error
from mcp_ollama.ollama.hosts import address_from_environment, is_loopback, key_for, parse_host
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.schemas import (
    InstalledModel,
    InstalledModels,
    ModelInfo,
    OpenAIModels,
    Progress,
    Recommendation,
    Recommendations,
    RunningModel,
    RunningModels,
    Status,
    Version,
)
from mcp_ollama.ollama.streams import read_progress

if TYPE_CHECKING:
    import httpx

AnswerT = TypeVar("AnswerT", bound=BaseModel)

MAX_ANSWER_BYTES = 64_000_000
"""No answer of the management API comes near this; more is somebody's mistake or malice."""

MAX_CONNECTIONS = 16
"""Of one client. A pull, a push and a load hold one each while they last; the rest share theirs."""

CONNECT_SECONDS = 10
"""A server that exists accepts a connection in far less."""


class OllamaClient:
    """A client of one Ollama server.

    Use it with or without `async with`; `aclose()` drops the connections, and the next call opens new ones.

    Args:
        base_url: Address of the server, with or without `/v1`, read as `OLLAMA_HOST` is. When None, the
            environment's: `MCP_OLLAMA_BASE_URL`, `OLLAMA_BASE_URL`, `OLLAMA_HOST`, else http://127.0.0.1:11434.
        timeout: Seconds for one whole request, streams and loads excepted.
        api_key: Sent as a bearer token to this server alone. The environment's key is used only when
            `base_url` is None, too.
        headers: Further request headers, for a proxy in front of the server.
        transport: Another httpx transport, for tests.

    Raises:
        InvalidAddress: `base_url` is not an http or https address.
        ValueError: A header or the key holds characters that cannot be sent.
    """

    def __init__(
        self,
        base_url: str | None = None,
        timeout: float = 60,
        *,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        transport: "httpx.AsyncBaseTransport | None" = None,
    ) -> None:
        self.base_url = address_from_environment() if base_url is None else parse_host(base_url)
        self.timeout = timeout
        if base_url is None and api_key is None:
            api_key = key_for(self.base_url)
        self._headers = _sendable(
            {
                "User-Agent": "mcp-ollama-manager",
                **({"Authorization": f"Bearer {api_key}"} if api_key else {}),
                **(headers or {}),
            }
        )
        secrets = {api_key or "", *(headers or {}).values()}
        self._secrets = sorted((text.strip().encode() for text in secrets if text.strip()), key=len, reverse=True)
        self._transport = transport
        self._http: httpx.AsyncClient | None = None
        self._loop: object = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Drop all connections; pulls and loads that run over them end."""
        http, self._http = self._http, None
        if http is not None and self._loop == current_token():
            await http.aclose()

    async def get_version(self) -> str:
        """Ask for the server's version, `0.0.0` for a development build (`GET /api/version`)."""
        return (await self._ask(Version, "GET", "/api/version")).version

    async def is_running(self, seconds: float = 5) -> bool:
        """Tell whether an Ollama server answers in so many seconds; never raises."""
        try:
            with anyio.fail_after(seconds):
                await self.get_version()
        except (OllamaError, TimeoutError):
            return False
        return True

    async def list_models(self) -> list[InstalledModel]:
        """List the installed models, newest first, equal seconds by name (`GET /api/tags`)."""
        models = (await self._ask(InstalledModels, "GET", "/api/tags")).models or []
        # Ollama shuffles models of the same second, so that two answers in a row may differ.
        models.sort(key=lambda model: model.name)
        models.sort(key=lambda model: model.modified_at.timestamp() // 1 if model.modified_at else 0, reverse=True)
        return models

    async def list_running_models(self) -> list[RunningModel]:
        """List the models in memory; one that is still being loaded is not among them (`GET /api/ps`)."""
        return (await self._ask(RunningModels, "GET", "/api/ps")).models or []

    async def get_model_info(self, model_name: str) -> ModelInfo:
        """Ask for all that the server knows of a model (`POST /api/show`).

        Raises:
            InvalidModelName: Before any request.
            ModelNotFoundError: It is not installed.
        """
        name = ModelName.for_pull(model_name).short
        return await self._ask(ModelInfo, "POST", "/api/show", {"model": name}, model=name)

    async def delete_model(self, model_name: str) -> bool:
        """Delete a model; False when there was no such model (`DELETE /api/delete`).

        A loaded model stays in memory and can then no longer be unloaded by name: unload it first.
        """
        name = ModelName.for_pull(model_name).short
        try:
            await self._call("DELETE", "/api/delete", {"model": name}, model=name)
        except ModelNotFoundError:
            return False
        return True

    async def copy_model(self, source: str, destination: str) -> None:
        """Give a model a second name; an existing `destination` is overwritten (`POST /api/copy`)."""
        names = {"source": ModelName.parse(source).short, "destination": ModelName.parse(destination).short}
        await self._call("POST", "/api/copy", names, model=names["source"])

    async def load_model(self, model_name: str, keep_alive: str | float | None = None) -> None:
        """Load a model into memory and wait until it is there (`POST /api/generate`, else `/api/embed`).

        There is no timeout: a large model takes minutes. Cancelling the call aborts the load.

        Args:
            model_name: An installed model.
            keep_alive: How long it stays after its last use: a Go duration (`5m`), seconds, or -1 for ever;
                None is the server's own setting.
        """
        name = ModelName.for_pull(model_name).short
        body: dict[str, Any] = {"model": name} | ({} if keep_alive is None else {"keep_alive": keep_alive})
        try:
            await self._call("POST", "/api/generate", body, model=name, patient=True)
        except OllamaStatusError as error:
            if "does not support generate" not in str(error):
                raise
            await self._call("POST", "/api/embed", body, model=name, patient=True)

    async def unload_model(self, model_name: str) -> None:
        """Ask the server to drop a model from memory; ps tells when it has (`POST /api/generate`)."""
        name = ModelName.for_pull(model_name).short
        await self._call("POST", "/api/generate", {"model": name, "keep_alive": 0}, model=name)

    async def has_blob(self, digest: str) -> bool:
        """Tell whether the server holds a complete blob (`HEAD /api/blobs/<digest>`).

        Args:
            digest: `sha256:` and 64 hex digits.
        """
        try:
            await self._call("HEAD", f"/api/blobs/{quote(digest, safe=':')}")
        except OllamaStatusError as error:
            if error.status_code == 404:
                return False
            raise
        return True

    async def check_openai_api(self) -> None:
        """Make sure that the OpenAI-compatible API answers (`GET /v1/models`).

        Raises:
            OllamaError: It does not.
        """
        await self._ask(OpenAIModels, "GET", "/v1/models")

    async def is_cloud_disabled(self) -> bool:
        """Tell whether the server refuses models that run on ollama.com (`GET /api/status`, since 0.16.2)."""
        return (await self._ask(Status, "GET", "/api/status")).cloud.disabled

    async def list_recommendations(self) -> list[Recommendation]:
        """List the models that Ollama recommends (`GET /api/experimental/model-recommendations`)."""
        path = "/api/experimental/model-recommendations"
        return (await self._ask(Recommendations, "GET", path)).recommendations or []

    def pull_model(
        self,
        model_name: str,
        stream: bool = True,  # noqa: FBT001, FBT002 - as in Ollama's own clients
        *,
        insecure: bool = False,
    ) -> AsyncGenerator[Progress]:
        """Download a model (`POST /api/pull`).

        Close the generator early (`contextlib.aclosing`) to cancel: the server keeps what it has, and the
        next pull goes on at that byte.

        Args:
            model_name: The model; without a tag, `latest`.
            stream: False gives the last line only. On the wire it is always a stream, since a silent pull
                could not be told from a dead one.
            insecure: Speak plain http to the registry.

        Raises:
            InvalidModelName: Before any request.
            OllamaStreamError: The download failed; `retryable` says whether to call again.
        """
        name = ModelName.for_pull(model_name).short
        return self._job("/api/pull", {"model": name, "insecure": insecure}, name, stream=stream)

    def push_model(
        self,
        model_name: str,
        stream: bool = True,  # noqa: FBT001, FBT002 - as in Ollama's own clients
        *,
        insecure: bool = False,
    ) -> AsyncGenerator[Progress]:
        """Upload a model to the registry in its name (`POST /api/push`); arguments as in `pull_model`."""
        name = ModelName.parse(model_name).short
        return self._job("/api/push", {"model": name, "insecure": insecure}, name, stream=stream)

    def create_model(
        self,
        model_name: str,
        from_model: str,
        *,
        system: str | None = None,
        template: str | None = None,
        parameters: Mapping[str, object] | None = None,
    ) -> AsyncGenerator[Progress]:
        """Derive a model from an installed one (`POST /api/create`).

        Ollama pulls `from_model` when it is not installed, and accepts unknown parameters in silence.
        An existing `model_name` is overwritten.
        """
        name = ModelName.parse(model_name).short
        wishes = {"system": system, "template": template, "parameters": dict(parameters or {}) or None}
        body: dict[str, Any] = {"model": name, "from": ModelName.for_pull(from_model).short}
        body |= {key: value for key, value in wishes.items() if value is not None}
        return self._job("/api/create", body, name, stream=True)

    async def _job(self, path: str, body: dict[str, Any], model: str, *, stream: bool) -> AsyncGenerator[Progress]:
        last: Progress | None = None
        async with self._open("POST", path, body) as response:
            if response.status_code >= 300:
                with self._at_most(self.timeout):
                    content = await _read(response)
                raise status_error(response.status_code, self._discreet(content), self.base_url, path, model)
            async for last in read_progress(response.aiter_bytes(), model):
                if stream:
                    yield last
        if last is not None and not stream:
            yield last

    async def _ask(
        self,
        answer: type[AnswerT],
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        model: str = "",
    ) -> AnswerT:
        content = await self._call(method, path, body, model=model)
        try:
            return answer.model_validate_json(content)
        except ValidationError as error:
            raise answer_error(content, self.base_url, path, error) from error

    async def _call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        model: str = "",
        patient: bool = False,
    ) -> bytes:
        with self._at_most(None if patient else self.timeout):
            async with self._open(method, path, body) as response:
                content = await _read(response)
        if response.status_code >= 300:
            raise status_error(response.status_code, self._discreet(content), self.base_url, path, model)
        return content

    def _discreet(self, content: bytes) -> bytes:
        """Take out what is nobody's business: a proxy may repeat the key or the headers in its refusal."""
        for secret in self._secrets:
            content = content.replace(secret, b"***")
        return content

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
    async def _open(self, method: str, path: str, body: dict[str, Any] | None) -> AsyncGenerator["httpx.Response"]:
        """Send a request; every exception of the transport, also while the body is read, becomes ours."""
        import httpx  # noqa: PLC0415 - 55 ms that the start of a server need not pay

        http = self._connected()
        try:
            response = await http.send(http.build_request(method, f"{self.base_url}{path}", json=body), stream=True)
            try:
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
                raise no_secure_connection(self.base_url, str(error)) from error
            raise nobody_there(self.base_url) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise OllamaConnectionError(
                f"The connection to {self.base_url} broke ({clean(str(error), 100) or type(error).__name__}).",
                "Check that Ollama still runs there, then call again.",
            ) from error

    def _connected(self) -> "httpx.AsyncClient":
        loop = current_token()
        # Connections belong to one event loop, and each `asyncio.run` of a script makes a new one.
        if self._http is None or self._loop != loop:
            import httpx  # noqa: PLC0415 - see _open

            self._loop = loop
            local = is_loopback(self.base_url)
            self._http = httpx.AsyncClient(
                headers=self._headers,
                # Loading the certificates takes 20 ms; plain http on this machine never needs them.
                verify=False if local and self.base_url.startswith("http:") else ssl.create_default_context(),
                trust_env=not local,
                timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
                limits=httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS),
                transport=self._transport or (_direct() if local and self.base_url.startswith("http:") else None),
            )
        return self._http


def _direct() -> "httpx.AsyncBaseTransport":
    """Make the transport to a server on this machine: no proxy, no certificates, and large chunks."""
    import httpcore  # noqa: PLC0415 - see _open
    import httpx  # noqa: PLC0415 - see _open

    from mcp_ollama.ollama.chunks import MergingBackend  # noqa: PLC0415 - see _open

    transport = httpx.AsyncHTTPTransport(verify=False)
    # Private, since httpx has no argument for it; the pool itself and its argument are httpcore's public API.
    transport._pool = httpcore.AsyncConnectionPool(  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS, network_backend=MergingBackend()
    )
    return transport


def _sendable(headers: Mapping[str, str]) -> dict[str, str]:
    """Check the headers here: what the transport says of a bad one repeats it, and it may be a secret."""
    for name, text in headers.items():
        if not (text.isascii() and text.replace("\t", " ").isprintable()):
            raise ValueError(f"The header {name} holds characters that cannot be sent: only printable ASCII can.")
    return {name: text.strip() for name, text in headers.items()}


async def _read(response: "httpx.Response") -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            raise OllamaResponseError(
                f"The server's answer is larger than {MAX_ANSWER_BYTES:,} bytes, which Ollama's never is.",
                "Check that the address is an Ollama server.",
            )
    return bytes(content)
