"""A tour of several hosts: list all, pull on one, see that another is down.

Starts simulated Ollama servers on this machine, and the real command over stdio with `MCP_OLLAMA_HOSTS`. The last of
the hosts is stopped before the tour, as a server in a fleet may be.
"""

import argparse
import json
import os
import sys
from contextlib import ExitStack
from typing import Any

import anyio
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.types import TextContent

from mcp_ollama.simulator import demo_simulator, serve

MODEL = "llama3.2:1b"


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Call a tool, and print an error as the model would read it."""
    shown = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    print(f"\n{tool}({shown})")
    result = await client.call_tool(tool, arguments)
    if result.is_error or result.structured_content is None:
        print("  " + "\n  ".join(part.text for part in result.content if isinstance(part, TextContent)))
        return {}
    return result.structured_content


async def tour(hosts: dict[str, str]) -> None:
    """Take the tour."""
    names = list(hosts)
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "mcp_ollama"],
        # The simulated servers end with the tour: there is nothing to resume.
        env=dict(os.environ) | {"MCP_OLLAMA_HOSTS": json.dumps(hosts), "MCP_OLLAMA_STATE_DIR": "off"},
    )
    async with Client(stdio_client(server)) as client:
        models = await call(client, "list_models", host="all", limit=100)
        for one in models["hosts"]:
            print(f"  {one['host']:<8}{one['total_count']} models, {one['total_size_bytes'] / 1e9:.1f} GB")
        for error in models.get("errors", ()):
            print(f"  {error['host']:<8}{error['error']}")
        await call(client, "pull_model", model=MODEL)
        pull = await call(client, "pull_model", model=MODEL, host=names[1])
        print(f"  {pull['host']}: {pull['state']}, {pull['completed_bytes'] / 1e9:.1f} GB")
        await call(client, "show_model", model=MODEL)
        health = await call(client, "health", host="all")
        for report in health["hosts"]:
            print(f"  {report['host']:<8}{report['status']:<10}{report['base_url']}")


def main(count: int) -> None:
    """Serve as many simulated hosts, and tour them."""
    with ExitStack() as stack:
        running = [stack.enter_context(serve(demo_simulator())) for _ in range(count)]
        running[-1].stop()
        anyio.run(tour, {f"gpu-{number}": one.base_url for number, one in enumerate(running)})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("hosts", type=int, nargs="?", default=3, help="how many, 3 at least")
    main(max(3, parser.parse_args().hosts))
