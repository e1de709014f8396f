"""ASGI application: routes, Host and Origin checks, and gin's own answers."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from mcp_ollama.simulator import chat, contents, endpoints, inference
from mcp_ollama.simulator.exchange import TEXT, Exchange, Recorded
from mcp_ollama.simulator.simulator import Simulator
from mcp_ollama.simulator.wire import Cut, Refusal, json_or_text

_LOCAL_HOST = re.compile(
    r"localhost|127(\.\d+){3}|0\.0\.0\.0|::1?|10(\.\d+){3}|192\.168(\.\d+){2}|.+\.(localhost|local|internal)"
)
_LOCAL_ORIGIN = re.compile(r"https?://(localhost|127\.0\.0\.1|0\.0\.0\.0)(:\d+)?|(app|file|tauri|vscode-\w+)://.*")


@dataclass(frozen=True, slots=True)
class Route:
    """A path with its methods, in the order in which `Allow` lists them."""

    methods: str
    path: str
    handler: endpoints.Handler

    def match(self, path: str) -> dict[str, str] | None:
        """Return the variables of the path; None when the path does not match."""
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path)
        found = re.fullmatch(pattern, path)
        return found.groupdict() if found else None


ROUTES = (
    Route("HEAD, GET", "/", endpoints.root),
    Route("HEAD, GET", "/api/version", endpoints.answer(lambda server: {"version": server.version})),
    Route("GET", "/api/status", endpoints.answer(endpoints.status)),
    Route("HEAD, GET", "/api/tags", endpoints.tags),
    Route("GET", "/api/ps", endpoints.answer(lambda server: server.runners.listed())),
    Route("POST", "/api/show", endpoints.show),
    Route("POST", "/api/pull", endpoints.pull),
    Route("POST", "/api/push", endpoints.push),
    Route("POST", "/api/create", endpoints.create),
    Route("POST", "/api/copy", endpoints.copy),
    Route("DELETE", "/api/delete", endpoints.delete),
    Route("POST, HEAD", "/api/blobs/{digest}", endpoints.blob),
    Route("POST", "/api/generate", inference.generate),
    Route("POST", "/api/chat", inference.chat),
    Route("POST", "/api/embed", inference.embed),
    Route("POST", "/api/me", endpoints.answer(endpoints.me)),
    Route(
        "GET",
        "/api/experimental/model-recommendations",
        endpoints.answer(lambda server: {"recommendations": server.recommendations}),
    ),
    Route("GET", "/v1/models", endpoints.openai_models),
    Route("POST", "/v1/chat/completions", chat.completions),
    Route("GET", "/v1/models/{model}", endpoints.openai_model),
    Route("GET", "/api/models", endpoints.hub),
    Route("GET", "/api/models/{namespace}/{model}", endpoints.hub),
    Route("GET", "/api/models/{namespace}/{model}/tree/{revision}", endpoints.hub),
    Route("HEAD, GET", "/v2/{namespace}/{model}/manifests/{tag}", endpoints.registry_manifest),
    Route("HEAD, GET", "/v2/{namespace}/{model}/blobs/{digest}", endpoints.registry_blob),
    Route("GET", "/content/{digest}", contents.content),
    # ollama.com, whose list of models is not that of this server.
    Route("GET", "/ollama.com/api/tags", endpoints.answer(endpoints.cloud_tags)),
    Route("HEAD, GET", "/ollama.com/v2/{namespace}/{model}/manifests/{tag}", endpoints.registry_manifest),
    Route("HEAD, GET", "/ollama.com/v2/{namespace}/{model}/blobs/{digest}", endpoints.registry_blob),
)


class App:
    """ASGI application of the server; `cut` closes the connection of a request."""

    def __init__(self, simulator: Simulator, cut: Callable[[Scope], None]) -> None:
        self._simulator = simulator
        self._cut = cut

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer to one request; a client that disconnects cancels it."""
        try:
            body = await Request(scope, receive).body()
        except ClientDisconnect:
            return
        exchange = Exchange(scope, receive, send, body)
        self._record(exchange)
        async with anyio.create_task_group() as group:
            group.start_soon(_watch, receive, group.cancel_scope)
            try:
                await self._answer(exchange)
            except Cut:
                self._cut(scope)
            finally:
                self._simulator.in_flight[exchange.path] -= 1
                self._simulator.notify()
            group.cancel_scope.cancel()

    def _record(self, exchange: Exchange) -> None:
        simulator = self._simulator
        query = exchange.scope["query_string"].decode("latin-1")
        recorded = Recorded(exchange.method, exchange.path, json_or_text(exchange.body), exchange.headers, query)
        simulator.requests.append(recorded)
        simulator.in_flight[exchange.path] += 1
        simulator.notify()

    async def _answer(self, exchange: Exchange) -> None:
        simulator = self._simulator
        await anyio.sleep(simulator.delays.get(exchange.path, 0))
        canned = simulator.canned.get(exchange.path) or simulator.canned.get("*")
        if canned:
            await exchange.send_response(canned)
        elif _is_foreign(exchange.headers):
            await exchange.reply(status=403)
        else:
            try:
                await self._route(exchange)
            except Refusal as refusal:
                await exchange.json(refusal.document, refusal.status)

    async def _route(self, exchange: Exchange) -> None:
        for route in ROUTES:
            variables = route.match(exchange.path)
            if variables is None:
                continue
            if exchange.method not in route.methods.split(", "):
                await exchange.reply(b"405 method not allowed", 405, TEXT, allow=route.methods)
                return
            exchange.variables = variables
            await route.handler(self._simulator, exchange)
            return
        await _unknown(exchange)


async def _unknown(exchange: Exchange) -> None:
    path = exchange.path.rstrip("/")
    if not exchange.path.endswith("/") or all(route.match(path) is None for route in ROUTES):
        await exchange.reply(b"404 page not found", 404, TEXT)
    elif exchange.method == "GET":
        page = f'<a href="{path}">Moved Permanently</a>.\n\n'
        await exchange.reply(page.encode(), 301, "text/html; charset=utf-8", location=path)
    else:
        await exchange.reply(status=307, location=path)


async def _watch(receive: Receive, answer: anyio.CancelScope) -> None:
    # The body has been read, so this can only be the end of the connection, or of the answer.
    await receive()
    answer.cancel()


def _is_foreign(headers: dict[str, Any]) -> bool:
    host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
    origin = headers.get("origin")
    if host and not _LOCAL_HOST.fullmatch(host):
        return True
    return origin is not None and not _LOCAL_ORIGIN.fullmatch(origin)
