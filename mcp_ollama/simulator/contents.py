"""Delivery of weights files: the registry redirects to a content host, which serves ranges under a signature."""

import re

from mcp_ollama.simulator.delivery import Delivery
from mcp_ollama.simulator.exchange import Exchange
from mcp_ollama.simulator.manifests import Layer
from mcp_ollama.simulator.simulator import Simulator
from mcp_ollama.simulator.weights_files import read_part

_BINARY = "application/octet-stream"
_CHUNK = 65_536
_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


async def deliver(simulator: Simulator, exchange: Exchange, layer: Layer) -> None:
    """Answer a request for weights at the registry."""
    delivery = simulator.registry.delivery
    if delivery.redirects:
        port = exchange.headers["host"].rpartition(":")[2]
        await exchange.reply(status=307, location=delivery.sign(layer.digest, port))
    else:
        await _send(delivery, exchange, layer)


async def content(simulator: Simulator, exchange: Exchange) -> None:
    """`GET /content/<digest>`, of the content host."""
    layer = simulator.registry.blobs.get(exchange.variables["digest"])
    query = exchange.scope["query_string"].decode()
    if layer is None or not simulator.registry.delivery.accepts(query):
        await exchange.reply(b"<Error><Code>AccessDenied</Code></Error>", 403, "application/xml")
    else:
        await _send(simulator.registry.delivery, exchange, layer)


async def _send(delivery: Delivery, exchange: Exchange, layer: Layer) -> None:
    found = _RANGE.fullmatch(exchange.headers.get("range", ""))
    if found is None or not delivery.has_ranges:
        await exchange.begin(_BINARY)
        for start in range(0, layer.size, _CHUNK):
            await exchange.chunk(read_part(layer, start, start + _CHUNK))
        await exchange.chunk(b"", last=True)
        return
    start, end = int(found[1]), min(int(found[2]) + 1, layer.size)
    if start >= end:
        await exchange.reply(status=416, content_range=f"bytes */{layer.size}")
        return
    stated = f"bytes {start}-{end - 1}/{layer.size}"
    await exchange.reply(read_part(layer, start, end), 206, _BINARY, content_range=stated)
