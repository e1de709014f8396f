"""A tour in under a minute: start the command over stdio, then list, pull with progress, show and delete a model.

It uses a simulated Ollama server. With DEMO_HOST=http://host:11434 it uses that real one: it pulls DEMO_MODEL (a tiny
one by default), stops when the server says that it is installed, and deletes only what it pulled.
"""

import os
import shutil
import sys
from collections.abc import Collection
from typing import Any

import anyio
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.types import CONNECTION_CLOSED, CallToolResult, TextContent

HOST = os.environ.get("DEMO_HOST", "")
MODEL = os.environ.get("DEMO_MODEL") or ("all-minilm:22m" if HOST else "llama3.2:1b")
BAR = 30
ERROR = "io.github.mcp-ollama-manager/error"
"""The key under which an error carries data for programs, in `_meta`."""


def server() -> StdioServerParameters:
    """Return the command as a client would start it."""
    passed_on = {name: value for name, value in os.environ.items() if name.startswith(("MCP_OLLAMA_", "OLLAMA_"))}
    if HOST:
        passed_on["MCP_OLLAMA_BASE_URL"] = HOST
    return StdioServerParameters(
        command=sys.executable, args=["-m", "mcp_ollama", *([] if HOST else ["--demo"])], env=passed_on
    )


def print_heading(text: str) -> None:
    """Print the name of the next step."""
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}")


async def show_progress(progress: float, total: float | None, message: str | None) -> None:
    """Draw a live bar on a terminal, else a line for each notification."""
    if not sys.stdout.isatty():
        print(f"  {message}")
        return
    done = int(BAR * progress / total) if total else 0
    line = f"  [{'#' * done}{'.' * (BAR - done)}] {message}"
    print(f"\r{line[: shutil.get_terminal_size().columns - 1]}\033[K", end="", flush=True)


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Call a tool; an error ends the tour with the sentence that a model would read."""
    result: CallToolResult = await client.call_tool(tool, arguments, progress_callback=show_progress)
    if result.is_error or result.structured_content is None:
        sys.exit(text_of(result))
    return result.structured_content


def text_of(result: CallToolResult) -> str:
    """Return what a model reads of a result."""
    return "\n".join(part.text for part in result.content if isinstance(part, TextContent))


async def is_installed(client: Client, model: str, listed: Collection[str]) -> bool:
    """Ask the server, because one model has several spellings; an answer that is not clear ends the tour."""
    result = await client.call_tool("show_model", {"model": model})
    if not result.is_error:
        return True
    error = (result.meta or {}).get(ERROR, {})
    if error.get("kind") != "ModelNotFoundError":
        sys.exit(text_of(result))
    return error["model"] in listed  # a damaged model is listed and cannot be shown


async def installed_names(client: Client) -> dict[str, str]:
    """List all models; returns a line for each name."""
    lines: dict[str, str] = {}
    offset: int | None = 0
    while offset is not None:
        page = await call(client, "list_models", limit=200, offset=offset)
        lines |= {model["name"]: row(model) for model in page["models"]}
        offset = page.get("next_offset")
    return lines


def row(model: dict[str, Any]) -> str:
    """Format a model as one line."""
    size = "in the cloud" if model["remote"] else format_bytes(model["size_bytes"])
    return f"  {model['name']:<28}{size:>12}   {', '.join(model['capabilities'])}"


def format_bytes(count: int) -> str:
    """Format a size as the server does: 1.3 GB, 46 MB."""
    if count >= 1e9:
        return f"{count / 1e9:.1f} GB"
    return f"{count / 1e6:.0f} MB" if count >= 1e6 else f"{count / 1e3:.0f} KB"


def format_fields(card: dict[str, Any]) -> str:
    """Format a result as a line for each field that says something."""
    return "\n".join(
        f"  {name.removesuffix('_bytes').replace('_', ' ')}: {format_value(name, value)}"
        for name, value in card.items()
        if name != "digest" and value not in ({}, [], None)
    )


def format_value(name: str, value: Any) -> str:
    """Format a value of a result for a person."""
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return format_bytes(value) if name.endswith("_bytes") else f"{value:,}"
        case list():
            return ", ".join(map(str, value))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        case dict():
            return ", ".join(f"{key} {format_value('', one)}" for key, one in value.items())  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        case _:
            return str(value)


async def main() -> None:
    """Take the tour."""
    print(f"An MCP client starts `mcp-ollama-manager{'' if HOST else ' --demo'}` over stdio; it will pull {MODEL}.")
    async with Client(stdio_client(server())) as client:
        print_heading("list_models")
        before = await installed_names(client)
        print("\n".join(before.values()) or "  none yet")
        if await is_installed(client, MODEL, before):
            sys.exit(f"{MODEL} is installed already: the tour deletes what it pulls. Set DEMO_MODEL to another model.")

        print_heading(f"pull_model {MODEL}")
        # A call that ends before its pull returns `next_step`; a model would call again, too.
        while (pull := await call(client, "pull_model", model=MODEL))["state"] != "done":
            print(f"\n  {pull['next_step']}")
        print(f"\n  done: {format_bytes(pull['completed_bytes'])} in {pull['elapsed_seconds']:.1f} s")

        print_heading(f"show_model {MODEL}")
        card = await call(client, "show_model", model=MODEL)
        print(format_fields(card))

        await delete(client, card["name"])


async def delete(client: Client, model: str) -> None:
    """Delete what the tour has pulled, with the confirmation that a client without questions needs."""
    print_heading(f"delete_model {model}")
    result = await call(client, "delete_model", model=model)
    if not result["deleted"]:
        print(f"  {result['next_step']}")
        result = await call(client, "delete_model", model=model, confirm=result["confirmation"])
    print(f"  deleted: {format_value('', result['deleted'])}")


def ending(error: BaseException) -> str | int | None:
    """Find the exit status in the exception groups of the connection's tasks."""
    match error:
        case BaseExceptionGroup(exceptions=(first, *_)):
            return ending(first)
        case SystemExit(code=code):
            return code
        case MCPError(code=code) if code == CONNECTION_CLOSED:
            return 1  # the server has printed the reason
        case _:
            raise error


if __name__ == "__main__":
    try:
        anyio.run(main)
    except KeyboardInterrupt:
        print()  # off the line with the bar and ^C
        print(f"Interrupted: the part of {MODEL} that was downloaded is kept.", file=sys.stderr)
        sys.exit(130)
    except BaseExceptionGroup as group:
        sys.exit(ending(group))
