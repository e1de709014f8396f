"""Ollama's management API, one method per endpoint."""

from collections.abc import AsyncGenerator, Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Self, TypeVar
from urllib.parse import quote

import anyio
from pydantic import BaseModel, ValidationError

from mcp_ollama.ollama.addresses import address_from_environment, key_for, parse_host
from mcp_ollama.ollama.batching import Batch
from mcp_ollama.ollama.connection import Body, Connection
from mcp_ollama.ollama.error_messages import answer_error
from mcp_ollama.ollama.errors import ModelNotFoundError, OllamaError, OllamaStatusError
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.ndjson import read_progress
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

if TYPE_CHECKING:
    import httpx

AnswerT = TypeVar("AnswerT", bound=BaseModel)


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
        if base_url is None and api_key is None:
            api_key = key_for(self.base_url)
        sent = {
            "User-Agent": "mcp-ollama-manager",
            **({"Authorization": f"Bearer {api_key}"} if api_key else {}),
            **(headers or {}),
        }
        secrets = {api_key or "", *(headers or {}).values()}
        self._connection = Connection(self.base_url, timeout, sent, secrets, transport)
        # The last answer of /api/tags, and what it says.
        self._listed: tuple[bytes | None, list[InstalledModel]] = None, []
        self._installed = Batch(self._fetch_installed)
        self._running = Batch(self._fetch_running)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Drop all connections; pulls and loads that run over them end."""
        await self._connection.aclose()

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
        return list(await self._installed.get())

    async def _fetch_installed(self) -> list[InstalledModel]:
        content = await self._connection.call("GET", "/api/tags")
        if content != self._listed[0]:
            # To read hundreds of models takes longer than all the rest of a call, and they seldom change.
            models = self._read(InstalledModels, content, "/api/tags").models or []
            # Ollama shuffles models of the same second, so that two answers in a row may differ.
            models.sort(key=lambda model: (-_second(model.modified_at), model.name))
            self._listed = content, models
        return self._listed[1]

    async def list_running_models(self) -> list[RunningModel]:
        """List the models in memory; one that is still being loaded is not among them (`GET /api/ps`)."""
        return list(await self._running.get())

    async def _fetch_running(self) -> list[RunningModel]:
        return (await self._ask(RunningModels, "GET", "/api/ps")).models or []

    async def get_model_info(self, model_name: ModelName | str) -> ModelInfo:
        """Ask for all that the server knows of a model (`POST /api/show`).

        Raises:
            InvalidModelName: Before any request.
            ModelNotFoundError: It is not installed.
        """
        name = _short(model_name)
        return await self._ask(ModelInfo, "POST", "/api/show", {"model": name}, model=name)

    async def delete_model(self, model_name: ModelName | str) -> bool:
        """Delete a model; False when there was no such model (`DELETE /api/delete`).

        A loaded model stays in memory and can then no longer be unloaded by name: unload it first.
        """
        name = _short(model_name)
        try:
            await self._connection.call("DELETE", "/api/delete", {"model": name}, model=name)
        except ModelNotFoundError:
            return False
        return True

    async def copy_model(self, source: ModelName | str, destination: ModelName | str) -> None:
        """Give a model a second name; an existing `destination` is overwritten (`POST /api/copy`)."""
        names = {"source": _short(source, ModelName.parse), "destination": _short(destination, ModelName.parse)}
        await self._connection.call("POST", "/api/copy", names, model=names["source"])

    async def load_model(self, model_name: ModelName | str, keep_alive: str | float | None = None) -> None:
        """Load a model into memory and wait until it is there (`POST /api/generate`, else `/api/embed`).

        There is no timeout: a large model takes minutes. Cancelling the call aborts the load.

        Args:
            model_name: An installed model.
            keep_alive: How long it stays after its last use: a Go duration (`5m`), seconds, or -1 for ever;
                None is the server's own setting.
        """
        name = _short(model_name)
        body: Body = {"model": name} | ({} if keep_alive is None else {"keep_alive": keep_alive})
        try:
            await self._connection.call("POST", "/api/generate", body, model=name, patient=True)
        except OllamaStatusError as error:
            if "does not support generate" not in str(error):
                raise
            await self._connection.call("POST", "/api/embed", body, model=name, patient=True)

    async def unload_model(self, model_name: ModelName | str) -> None:
        """Ask the server to drop a model from memory; ps tells when it has (`POST /api/generate`)."""
        name = _short(model_name)
        await self._connection.call("POST", "/api/generate", {"model": name, "keep_alive": 0}, model=name)

    async def has_blob(self, digest: str) -> bool:
        """Tell whether the server holds a complete blob (`HEAD /api/blobs/<digest>`).

        Args:
            digest: `sha256:` and 64 hex digits.
        """
        try:
            await self._connection.call("HEAD", f"/api/blobs/{quote(digest, safe=':')}")
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
        model_name: ModelName | str,
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
        name = _short(model_name)
        return self._job("/api/pull", {"model": name, "insecure": insecure}, name, stream=stream)

    def push_model(
        self,
        model_name: ModelName | str,
        stream: bool = True,  # noqa: FBT001, FBT002 - as in Ollama's own clients
        *,
        insecure: bool = False,
    ) -> AsyncGenerator[Progress]:
        """Upload a model to the registry in its name (`POST /api/push`); arguments as in `pull_model`."""
        name = _short(model_name, ModelName.parse)
        return self._job("/api/push", {"model": name, "insecure": insecure}, name, stream=stream)

    def create_model(
        self,
        model_name: ModelName | str,
        from_model: ModelName | str,
        *,
        system: str | None = None,
        template: str | None = None,
        parameters: Mapping[str, object] | None = None,
    ) -> AsyncGenerator[Progress]:
        """Derive a model from an installed one (`POST /api/create`).

        Ollama pulls `from_model` when it is not installed, and accepts unknown parameters in silence.
        An existing `model_name` is overwritten.
        """
        name = _short(model_name, ModelName.parse)
        wishes = {"system": system, "template": template, "parameters": dict(parameters or {}) or None}
        body: Body = {"model": name, "from": _short(from_model)}
        body |= {key: value for key, value in wishes.items() if value is not None}
        return self._job("/api/create", body, name, stream=True)

    async def _job(self, path: str, body: Body, model: str, *, stream: bool) -> AsyncGenerator[Progress]:
        last: Progress | None = None
        try:
            async with self._connection.stream(path, body, model) as chunks:
                async for last in read_progress(chunks, model):
                    if stream:
                        yield last
        except OllamaError as error:
            raise self._connection.redact(error) from error.__cause__
        if last is not None and not stream:
            yield last

    async def _ask(
        self, answer: type[AnswerT], method: str, path: str, body: Body | None = None, *, model: str = ""
    ) -> AnswerT:
        return self._read(answer, await self._connection.call(method, path, body, model=model), path)

    def _read(self, answer: type[AnswerT], content: bytes, path: str) -> AnswerT:
        try:
            return answer.model_validate_json(content)
        except ValidationError as error:
            raise answer_error(content, self.base_url, path, error) from error


def _short(model: ModelName | str, parse: Callable[[str], ModelName] = ModelName.for_pull) -> str:
    """Return the name as Ollama reads it; one that is parsed already is not parsed again."""
    return (model if isinstance(model, ModelName) else parse(model)).short


def _second(moment: datetime | None) -> int:
    return int(moment.timestamp()) if moment else 0
