"""The floor: the SDK's own server with one tool that does nothing, on the SDK's own stdio loop."""

from mcp.server import MCPServer

server = MCPServer("bare")


@server.tool()
async def nothing() -> str:
    """Nothing."""
    return "x"


if __name__ == "__main__":
    server.run()
