"""Client of Ollama's management API, one method per endpoint."""

from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import quote

import anyio
from pydantic import BaseModel

from mcp_ollama.ollama.addresses import address_from_environment, key_for, parse_host
from mcp_ollama.ollama.batching import Batch
from mcp_ollama.ollama.connection import Body, Connection
from mcp_ollama.ollama.decoding import MAX_CLEANED_VALUES, MAX_VALUES, decode
from mcp_ollama.ollama.error_messages import unexpected_response
from mcp_ollama.ollama.errors import ModelNotFoundError, OllamaError, OllamaStatusError
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.ndjson import read_progress
from mcp_ollama.ollama.sanitizing import Redactor
from mcp_ollama.ollama.schemas import (
    Account,
    Generation,
    InstalledModel,
    ModelInfo,
    OpenAIModels,
    Progress,
    Recommendation,
    Recommendations,
    RunningModel,
    RunningModels,
    Status,
    VerboseModelInfo,
    Version,
)
from mcp_ollama.ollama.tags import TagsReader

if TYPE_CHECKING:
    import httpx

MAX_METADATA_BYTES = 64_000_000
"""Of a verbose /api/show, which holds the whole tokenizer: some 10 MB for the largest vocabularies."""

ResponseT = TypeVar("ResponseT", bound=BaseModel)


class OllamaClient:
    """Client of one Ollama server.

    Use it with or without `async with`; `aclose()` closes the connections, and the next call opens new ones.

    Args:
        base_url: Address of the server, with or without `/v1`, parsed as `OLLAMA_HOST` is. None uses the
            environment: `MCP_OLLAMA_BASE_URL`, `OLLAMA_BASE_URL`, `OLLAMA_HOST`, else http://127.0.0.1:11434.
        timeout: Seconds for one whole request, except streams and loads.
        api_key: Bearer token, sent only to this server. The environment's key is used only when `base_url` is
            None too.
        headers: Further request headers, for a proxy in front of the server.
        ca_file: PEM certificates to trust on connections to this server, beside the usual ones.
        transport: Replacement of the httpx transport, for tests.

    Raises:
        InvalidAddress: `base_url` is not an http or https address.
        ValueError: A header or the key contains characters that cannot be sent.
    """

    def __init__(
        self,
        base_url: str | None = None,
        timeout: float = 60,
        *,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        ca_file: Path | None = None,
        transport: "httpx.AsyncBaseTransport | None" = None,
    ) -> None:
        self.base_url = address_from_environment() if base_url is None else parse_host(base_url)
        if base_url is None and api_key is None:
            api_key = key_for(self.base_url)
        sent = {**({"Authorization": f"Bearer {api_key}"} if api_key else {}), **(headers or {})}
        self._redact = Redactor(api_key, headers)
        self._connection = Connection(self.base_url, timeout, sent, self._redact, transport, ca_file)
        self._tags = TagsReader(self.base_url, self._redact)
        self._installed = Batch(self._fetch_installed)
        self._running = Batch(self._fetch_running)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections, which ends their pulls and loads."""
        await self._connection.aclose()

    @property
    def balancer_sign(self) -> str:
        """How a response so far showed that a balancer stands at the address; empty when none did."""
        return self._connection.balancer_sign

    def note_balancer(self, sign: str) -> None:
        """Remember a sign of a balancer that shows only by the effect of several requests."""
        self._connection.balancer_sign = self._connection.balancer_sign or sign

    async def get_version(self) -> str:
        """Return the server's version, `0.0.0` for a development build (`GET /api/version`)."""
        return (await self._request(Version, "GET", "/api/version")).version

    async def is_running(self, seconds: float = 5) -> bool:
        """Return whether an Ollama server responds within `seconds`; never raises."""
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
        return await self._tags.read(await self._connection.call("GET", "/api/tags"))

    async def list_running_models(self) -> list[RunningModel]:
        """List the loaded models, without those still loading (`GET /api/ps`)."""
        return list(await self._running.get())

    async def _fetch_running(self) -> list[RunningModel]:
        return (await self._request(RunningModels, "GET", "/api/ps")).models or []

    async def get_model_info(self, model_name: ModelName | str) -> ModelInfo:
        """Return the details of a model (`POST /api/show`).

        Raises:
            InvalidModelName: Before any request.
            ModelNotFoundError: It is not installed.
        """
        name = _short(model_name)
        return await self._request(ModelInfo, "POST", "/api/show", {"model": name}, model=name)

    async def get_metadata(self, model_name: ModelName | str) -> dict[str, Any]:
        """Return the metadata of a model's weights file with their arrays (`POST /api/show`, verbose).

        The tokenizer is left out. The response is read up to 64 MB.

        Raises:
            OllamaError: The model is not installed, or the response is larger.
        """
        name, path = _short(model_name), "/api/show"
        content = await self._connection.call(
            "POST", path, {"model": name, "verbose": True}, model=name, max_bytes=MAX_METADATA_BYTES
        )
        info = self._read(VerboseModelInfo, content, path, max_values=MAX_VALUES).model_info or {}
        return {key: value for key, value in info.items() if not key.startswith("tokenizer.")}

    async def generate(
        self, model_name: ModelName | str, prompt: str, options: Mapping[str, object] | None = None
    ) -> Generation:
        """Generate a text, and return how long its parts took (`POST /api/generate`).

        Without a timeout, since a text takes minutes. Cancelling the call aborts it.

        Args:
            model_name: An installed model, which is loaded first when it is not.
            prompt: The prompt.
            options: Ollama's options, such as `num_ctx` and `num_predict`.
        """
        name, path = _short(model_name), "/api/generate"
        body: Body = {"model": name, "prompt": prompt, "stream": False, "options": dict(options or {})}
        content = await self._connection.call("POST", path, body, model=name, unlimited=True)
        return self._read(Generation, content, path)

    async def delete_model(self, model_name: ModelName | str) -> bool:
        """Delete a model; return False when it was not installed (`DELETE /api/delete`).

        A loaded model stays loaded and can then not be unloaded by name: unload it first.
        """
        name = _short(model_name)
        try:
            await self._connection.call("DELETE", "/api/delete", {"model": name}, model=name)
        except ModelNotFoundError:
            return False
        return True

    async def copy_model(self, source: ModelName | str, destination: ModelName | str) -> None:
        """Copy a model to a second name; an existing `destination` is overwritten (`POST /api/copy`)."""
        names = {"source": _short(source, ModelName.parse), "destination": _short(destination, ModelName.parse)}
        await self._connection.call("POST", "/api/copy", names, model=names["source"])

    async def load_model(
        self,
        model_name: ModelName | str,
        keep_alive: str | float | None = None,
        context_length: int | None = None,
    ) -> None:
        """Load a model and wait until it is loaded (`POST /api/generate`, else `/api/embed`).

        Without a timeout, since a large model takes minutes. Cancelling the call aborts the load.

        Args:
            model_name: An installed model.
            keep_alive: Time until it is unloaded after its last use: a Go duration (`5m`), seconds, or -1 for
                no limit; None is the server's setting.
            context_length: Tokens of context; None is the model's or the server's setting.
        """
        name = _short(model_name)
        body: Body = {"model": name} | ({} if keep_alive is None else {"keep_alive": keep_alive})
        body |= {} if context_length is None else {"options": {"num_ctx": context_length}}
        try:
            await self._connection.call("POST", "/api/generate", body, model=name, unlimited=True)
        except OllamaStatusError as error:
            if "does not support generate" not in str(error):
                raise
            await self._connection.call("POST", "/api/embed", body, model=name, unlimited=True)

    async def unload_model(self, model_name: ModelName | str) -> None:
        """Unload a model; `list_running_models` shows when it is done (`POST /api/generate`)."""
        name = _short(model_name)
        await self._connection.call("POST", "/api/generate", {"model": name, "keep_alive": 0}, model=name)

    async def has_blob(self, digest: str) -> bool:
        """Return whether the server has a complete blob (`HEAD /api/blobs/<digest>`).

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
        """Check that the OpenAI-compatible API responds (`GET /v1/models`).

        Raises:
            OllamaError: It does not.
        """
        await self._request(OpenAIModels, "GET", "/v1/models")

    async def is_cloud_disabled(self) -> bool:
        """Return whether models that run on ollama.com are disabled (`GET /api/status`, since 0.16.2)."""
        return (await self._request(Status, "GET", "/api/status")).cloud.disabled

    async def is_signed_in(self) -> bool:
        """Return whether the server is signed in at ollama.com (`POST /api/me`, since 0.12.0); it asks there itself."""
        try:
            await self._request(Account, "POST", "/api/me")
        except OllamaStatusError as error:
            if error.status_code not in (401, 404):
                raise
            return False
        return True

    async def list_recommendations(self) -> list[Recommendation]:
        """List the models that Ollama recommends (`GET /api/experimental/model-recommendations`)."""
        path = "/api/experimental/model-recommendations"
        return (await self._request(Recommendations, "GET", path)).recommendations or []

    def pull_model(
        self,
        model_name: ModelName | str,
        stream: bool = True,  # noqa: FBT001, FBT002 - as in Ollama's own clients
        *,
        insecure: bool = False,
    ) -> AsyncGenerator[Progress]:
        """Download a model (`POST /api/pull`).

        Close the generator early (`contextlib.aclosing`) to cancel: the server keeps the bytes, and the next pull
        resumes there.

        Args:
            model_name: The model; without a tag, `latest`.
            stream: False yields only the last line. The request always streams, since a silent pull looks like a
                stalled one.
            insecure: Use plain http to the registry.

        Raises:
            InvalidModelName: Before any request.
            OllamaStreamError: The download failed; `retryable` states whether a retry can help.
        """
        name = _short(model_name)
        return self._stream("/api/pull", {"model": name, "insecure": insecure}, name, stream=stream)

    def push_model(
        self,
        model_name: ModelName | str,
        stream: bool = True,  # noqa: FBT001, FBT002 - as in Ollama's own clients
        *,
        insecure: bool = False,
    ) -> AsyncGenerator[Progress]:
        """Upload a model to the registry of its name (`POST /api/push`); arguments as in `pull_model`."""
        name = _short(model_name, ModelName.parse)
        return self._stream("/api/push", {"model": name, "insecure": insecure}, name, stream=stream)

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

        Ollama pulls `from_model` when it is not installed, and ignores unknown parameters.
        An existing `model_name` is overwritten.
        """
        name, base = _short(model_name, ModelName.parse), _short(from_model)
        options = {"system": system, "template": template, "parameters": dict(parameters or {}) or None}
        body: Body = {"model": name, "from": base}
        body |= {key: value for key, value in options.items() if value is not None}
        # What fails is nearly always the pull, or a file, of the base.
        return self._stream("/api/create", body, base, stream=True)

    async def _stream(self, path: str, body: Body, model: str, *, stream: bool) -> AsyncGenerator[Progress]:
        last: Progress | None = None
        async with self._connection.stream(path, body, model) as chunks:
            async for last in read_progress(chunks, model, self._redact):
                if stream:
                    yield last
        if last is not None and not stream:
            yield last

    async def _request(
        self, response: type[ResponseT], method: str, path: str, body: Body | None = None, *, model: str = ""
    ) -> ResponseT:
        return self._read(response, await self._connection.call(method, path, body, model=model), path)

    def _read(
        self, response: type[ResponseT], content: bytes, path: str, *, max_values: int = MAX_CLEANED_VALUES
    ) -> ResponseT:
        try:
            return decode(response, content, self._redact, max_values=max_values)
        except ValueError as error:
            raise unexpected_response(content, self.base_url, path, error) from error


def _short(model: ModelName | str, parse: Callable[[str], ModelName] = ModelName.for_pull) -> str:
    """Return the name as Ollama reads it; one that is parsed already is not parsed again."""
    return (model if isinstance(model, ModelName) else parse(model)).short
