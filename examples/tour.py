"""A tour in under a minute: start the real command over stdio, list, pull with progress, show, delete.

Without anything it talks to a simulated Ollama server. With DEMO_HOST=http://host:11434 it talks to that real
one: it pulls DEMO_MODEL (a tiny one by default), stops when that is installed already, and deletes only what
it pulled.
"""

import os
import shutil
import sys
from typing import Any

import anyio
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.types import CONNECTION_CLOSED, CallToolResult, TextContent

HOST = os.environ.get("DEMO_HOST", "")
MODEL = os.environ.get("DEMO_MODEL") or ("all-minilm:22m" if HOST else "llama3.2:1b")
BAR = 30


def server() -> StdioServerParameters:
    """The command as a host would start it."""
    passed_on = {name: value for name, value in os.environ.items() if name.startswith(("MCP_OLLAMA_", "OLLAMA_"))}
    if HOST:
        passed_on["MCP_OLLAMA_BASE_URL"] = HOST
    return StdioServerParameters(
        command=sys.executable, args=["-m", "mcp_ollama", *([] if HOST else ["--demo"])], env=passed_on
    )


def heading(text: str) -> None:
    """Say what comes."""
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}")


async def show_progress(progress: float, total: float | None, message: str | None) -> None:
    """Draw a live bar on a terminal, else a line per notification."""
    if not sys.stdout.isatty():
        print(f"  {message}")
        return
    done = int(BAR * progress / total) if total else 0
    line = f"  [{'#' * done}{'.' * (BAR - done)}] {message}"
    print(f"\r{line[: shutil.get_terminal_size().columns - 1]}\033[K", end="", flush=True)


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Call a tool; a failure ends the tour with the sentence that a model would read."""
    result: CallToolResult = await client.call_tool(tool, arguments, progress_callback=show_progress)
    if result.is_error or result.structured_content is None:
        sys.exit("\n".join(part.text for part in result.content if isinstance(part, TextContent)))
    return result.structured_content


def row(model: dict[str, Any]) -> str:
    """One model in a line."""
    words = ", ".join(model["capabilities"])
    return f"  {model['name']:<28}{model['size_bytes'] / 1e9:>8.2f} GB   {words}"


async def main() -> None:
    """Take the tour."""
    print(f"An MCP client starts `mcp-ollama-manager{'' if HOST else ' --demo'}` over stdio; it will pull {MODEL}.")
    async with Client(stdio_client(server())) as client:
        heading("list_models")
        models = (await call(client, "list_models", limit=200))["models"]
        print("\n".join(row(model) for model in models) or "  none yet")
        if any(model["name"] == MODEL for model in models):
            sys.exit(f"{MODEL} is installed already: the tour would delete it. Name another one in DEMO_MODEL.")

        heading(f"pull_model {MODEL}")
        # A call that ends before its pull does says so; calling again goes on waiting, as a model would.
        while (pull := await call(client, "pull_model", model=MODEL))["state"] != "done":
            print(f"\n  {pull['next_step']}")
        print(f"\n  {pull['state']}: {pull['completed_bytes'] / 1e6:,.0f} MB in {pull['elapsed_seconds']} s")

        heading(f"show_model {MODEL}")
        card = await call(client, "show_model", model=MODEL)
        print("\n".join(f"  {name}: {value}" for name, value in card.items() if name != "digest"))

        heading(f"delete_model {MODEL}")
        question = await call(client, "delete_model", model=MODEL)
        if not question["deleted"]:
            print(f"  {question['next_step']}")
            answer = await call(client, "delete_model", model=MODEL, confirm=question["confirmation"])
            print(f"  deleted: {answer['deleted']}")


def ending(error: BaseException) -> str | int | None:
    """Find what ended the tour in the groups that the tasks of the connection make of it."""
    match error:
        case BaseExceptionGroup(exceptions=(first, *_)):
            return ending(first)
        case SystemExit(code=code):
            return code
        case MCPError(code=code) if code == CONNECTION_CLOSED:
            return 1  # the server has said why
        case _:
            raise error


if __name__ == "__main__":
    try:
        anyio.run(main)
    except KeyboardInterrupt:
        print()  # off the line with the bar and ^C
        print(f"Interrupted: what had come of {MODEL} stays where it is.", file=sys.stderr)
        sys.exit(130)
    except BaseExceptionGroup as group:
        sys.exit(ending(group))
