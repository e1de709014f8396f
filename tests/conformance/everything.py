"""Our server class with the fixtures of the official suite, over HTTP: `python -m tests.conformance.everything`."""

import sys
import warnings
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from mcp import MCPDeprecationWarning
from mcp.server import MCPServer
from mcp.server.lowlevel import Server

from mcp_ollama import OllamaSettings, build_server
from mcp_ollama.server.subscriptions import Subscriptions
from mcp_ollama.simulator import demo_simulator
from mcp_ollama.simulator import serve as simulate
from mcp_ollama.transports.http import Address, serve
from tests.conformance import fixtures, questions

Handler = Callable[[Any, Any], Awaitable[Any]]

LISTS = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resource_templates",
}
NAMED = ("tools/call", "prompts/get", "resources/read")
FOLLOWED = {"resources/subscribe": Subscriptions.subscribe, "resources/unsubscribe": Subscriptions.unsubscribe}


def with_fixtures(server: Server[Any]) -> None:
    """Add the fixtures, which the SDK's `MCPServer` serves, to the lists and requests of our server."""
    extra = MCPServer("fixtures")
    fixtures.register(extra)
    questions.register(extra)
    core = extra._lowlevel_server  # pyright: ignore[reportPrivateUsage]
    for method, field in LISTS.items():
        _combine(server, core, method, partial(_joined, field))
    for method in NAMED:
        _combine(server, core, method, _first_known)
    for method, follow in FOLLOWED.items():
        entry = server.get_request_handler(method)
        assert entry
        server.add_request_handler(method, entry.params_type, partial(_followed, entry.handler, follow))
    for method in ("logging/setLevel", "subscriptions/listen"):
        entry = core.get_request_handler(method)
        assert entry
        server.add_request_handler(method, entry.params_type, entry.handler)


def _combine(server: Server[Any], extra: Server[Any], method: str, combine: Callable[..., Awaitable[Any]]) -> None:
    ours, theirs = server.get_request_handler(method), extra.get_request_handler(method)
    assert ours
    assert theirs
    server.add_request_handler(method, ours.params_type, partial(combine, ours.handler, theirs.handler))


async def _joined(field: str, ours: Handler, theirs: Handler, ctx: Any, params: Any) -> Any:
    result, more = await ours(ctx, params), await theirs(ctx, params)
    return result.model_copy(update={field: [*getattr(result, field), *getattr(more, field)]})


async def _first_known(ours: Handler, theirs: Handler, ctx: Any, params: Any) -> Any:
    name = str(getattr(params, "name", None) or params.uri)
    return await (theirs if name.startswith("test") else ours)(ctx, params)


async def _followed(ours: Handler, follow: Callable[..., Any], ctx: Any, params: Any) -> Any:
    """Follow the fixtures, too, which the server itself does not know."""
    uri = str(params.uri)
    return follow(ctx.lifespan_context.subscriptions, ctx, uri) if uri.startswith("test") else await ours(ctx, params)


def main() -> int:
    """Serve until a signal comes."""
    # Older revisions are asked for what newer ones have given up.
    warnings.simplefilter("ignore", MCPDeprecationWarning)
    with simulate(demo_simulator()) as ollama:
        server = build_server(OllamaSettings(base_url=ollama.base_url))
        with_fixtures(server)
        return serve(server, Address("127.0.0.1", 0))


if __name__ == "__main__":
    sys.exit(main())
