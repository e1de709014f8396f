"""Streamable HTTP: one server for several clients, on this machine or, with a token, on others.

The SDK's app on uvicorn, in both protocol eras under `/mcp`. All clients share one lifespan, and so the transfers.
Without a token only this machine is served. Requests with a foreign Host or Origin are refused, see `http_guard.py`.
"""

import logging
import os
import socket
from asyncio import CancelledError
from collections.abc import Generator
from contextlib import contextmanager, suppress
from hmac import compare_digest
from ipaddress import ip_address
from typing import Any, NamedTuple

import anyio
import uvicorn
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.lowlevel import Server
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import AnyHttpUrl, SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from mcp_ollama.server._sdk_compat import sessions_of
from mcp_ollama.server.dashboard import dashboard_headers, dashboard_html
from mcp_ollama.transports import startup
from mcp_ollama.transports.http_connections import ACCEPTED_AT_ONCE, BoundedProtocol
from mcp_ollama.transports.http_guard import PATH, Guard, in_url
from mcp_ollama.transports.http_sessions import SESSION_LIMIT, SessionEviction
from mcp_ollama.transports.shutdown import Shutdown, find_listen_handler

_BODY_LIMIT_BYTES = 4 * 2**20
_DRAIN_SECONDS = 1
_KEEP_ALIVE_SECONDS = 75
"""Lifetime of an idle connection, longer than that in clients (httpx: 5): a call on one just being closed fails."""
_EXIT_SECONDS = 4.0  # from the first signal, for all of it


class Address(NamedTuple):
    """Where to listen; port 0 takes a free one."""

    host: str
    port: int


def serve(
    server: Server[Any],
    address: Address,
    *,
    token: SecretStr | None = None,
    names: tuple[str, ...] = (),
) -> int:
    """Serve until a signal comes: the last thing that a process does, in its main thread.

    Args:
        server: What is served; its lifespan is entered once, for all clients together.
        address: Where to listen.
        token: What every client has to show; without one only this machine is served.
        names: Further names or addresses under which clients reach this server.

    Returns:
        The exit status: 128 + n after signal n.

    Raises:
        OSError: The address cannot be listened on.
        ValueError: Other machines could reach the address, and there is no token.
    """
    with _listen(address) as listener:
        host, port = listener.getsockname()[:2]
        if token is None and not ip_address(host).is_loopback:
            raise ValueError(f"MCP_OLLAMA_HTTP_TOKEN: must be set to let other machines in at {address.host}")
        url = f"http://{in_url(host)}:{port}"
        app = _build_app(server, url, token)
        guarded = Guard(SessionEviction(app, server), (address.host, host), port, names)
        runner = _Uvicorn(_configured(guarded), server)
        logging.getLogger("uvicorn.error").addFilter(_is_not_cancelled)
        with suppress(OSError):  # stderr may be missing or closed
            os.write(2, f"Serving on {url}{PATH}\nDashboard at {url}/\n".encode())
        startup.freeze()
        return anyio.run(runner.run_until_signal, listener)


def _build_app(server: Server[Any], url: str, token: SecretStr | None) -> Starlette:
    """Build the SDK's app with the page of the dashboard."""
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        max_request_body_size=_BODY_LIMIT_BYTES,
        max_sessions=SESSION_LIMIT,
        # `Guard` checks all paths, and ports too.
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        # No tokens are issued here: the SDK requires the URL and shows it nowhere.
        auth=AuthSettings(issuer_url=AnyHttpUrl(url), resource_server_url=None) if token else None,
        token_verifier=_OneToken(token) if token else None,
    )
    app.router.routes.append(Route("/", _dashboard, methods=["GET"]))
    app.router.redirect_slashes = False  # a redirect would repeat a Host that nothing has checked
    return app


async def _dashboard(_: Request) -> HTMLResponse:
    # No token is needed for the page: it holds no data, and `/mcp` asks for one.
    return HTMLResponse(dashboard_html(), headers=dashboard_headers())


def _configured(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="asyncio",
        http=BoundedProtocol,
        backlog=ACCEPTED_AT_ONCE,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # nothing reads the address of a client
        server_header=False,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
    )


class _Uvicorn(uvicorn.Server):
    """Uvicorn with the signal handling of `Shutdown`, and with streams that end when it shuts down."""

    def __init__(self, config: uvicorn.Config, server: Server[Any]) -> None:
        super().__init__(config)
        self._server = server

    async def run_until_signal(self, listener: socket.socket) -> int:
        """Serve, and return the exit status."""
        shutdown = Shutdown(self._stop, _EXIT_SECONDS)
        await self.serve([listener])
        return shutdown.status

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave the signals to `Shutdown`: uvicorn would raise them again, and ignore a second SIGTERM."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams that have no end of their own, for which uvicorn would wait."""
        if listener := find_listen_handler(self._server):
            listener.close()
        for session in sessions_of(self._server).values():
            session.close_standalone_sse_stream()
        await super().shutdown(sockets)

    def _stop(self) -> None:
        self.should_exit = True  # read by the loop of uvicorn ten times a second


def _is_not_cancelled(record: logging.LogRecord) -> bool:
    """Drop the tracebacks of calls that the shutdown cancelled: uvicorn logs the cancellation itself."""
    return not (record.exc_info and isinstance(record.exc_info[1], CancelledError))


class _OneToken:
    """Verifier of a server with a single token, which permits everything."""

    def __init__(self, token: SecretStr) -> None:
        self._token = token

    async def verify_token(self, token: str) -> AccessToken | None:
        """Compare in constant time, which does not show how much of a token was right."""
        if compare_digest(token.encode(), self._token.get_secret_value().encode()):
            return AccessToken(token=token, client_id="host", scopes=[])
        return None


def _listen(address: Address) -> socket.socket:
    family, _, _, _, resolved = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0]
    listener = socket.create_server(resolved[:2], family=family)
    # asyncio sets TCP_NODELAY only where the protocol is known; without it each response takes 40 ms more.
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=listener.detach())
