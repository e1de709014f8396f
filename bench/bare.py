"""The floor: the SDK's own server with one tool that does nothing, over stdio or, with `--http PORT`, over HTTP."""

import sys

from mcp.server import MCPServer

server = MCPServer("bare", log_level="WARNING")


@server.tool()
async def nothing() -> str:
    """Nothing."""
    return "x"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--http"]:
        server.run(transport="streamable-http", port=int(sys.argv[2]))
    else:
        server.run()
