"""An agent that manages its own model: it reads what it can run on, pulls another model, and goes on with that.

It needs a running Ollama with one chat model that can call tools, and two packages:

    pip install '.[pydantic-ai]' 'pydantic-ai-slim[mcp]'   # in a checkout, until it is published

AGENT_MODEL  the model to move to (qwen3:1.7b by default); it stays installed
AGENT_TASK   what to ask the agent afterwards
"""

import json
import os
import sys

import anyio
from fastmcp.client.transports import StdioTransport
from pydantic_ai import Agent, ModelMessage, RunContext, ToolDefinition
from pydantic_ai.mcp import MCPError, MCPToolset

from mcp_ollama import agent_from_config

MODEL = os.environ.get("AGENT_MODEL") or "qwen3:1.7b"
TASK = os.environ.get("AGENT_TASK") or "Which model are you running on now, and how large is it?"
CONFIG = "ollama://config/pydantic-ai"
TOOLS = ("list_models", "pull_model")
"""All tools together would fill the 4096 tokens that Ollama often gives a model; an agent needs a few."""


async def show_progress(progress: float, total: float | None, message: str | None) -> None:
    """Print the progress of a pull."""
    print(f"  {message or f'{progress} of {total}'}")


def server() -> MCPToolset[object]:
    """The command as a host would start it; it sees no variable that is not passed on."""
    env = {name: value for name, value in os.environ.items() if name.startswith(("MCP_OLLAMA_", "OLLAMA_"))}
    return MCPToolset(
        StdioTransport(sys.executable, ["-m", "mcp_ollama"], env=env),
        id="ollama",
        init_timeout=60,
        progress_handler=show_progress,
    )


def is_needed(_: RunContext[object], tool: ToolDefinition) -> bool:
    """Check whether the agent gets a tool of the server."""
    return tool.name in TOOLS


class Moving:
    """An agent that can be moved to another model, and keeps its conversation."""

    def __init__(self, ollama: MCPToolset[object], document: str) -> None:
        self._ollama = ollama
        self._document = document
        self._history: list[ModelMessage] = []

    @classmethod
    async def on_best_model(cls, ollama: MCPToolset[object]) -> "Moving":
        """Begin on the model that the server thinks best."""
        return cls(ollama, str(await ollama.read_resource(CONFIG)))

    async def use_model(self, model: str) -> str:
        """Run on another installed model from the next request on.

        Args:
            model: Its exact name, as list_models shows it.
        """
        try:
            self._document = str(await self._ollama.read_resource(f"{CONFIG}/{model}"))
        except MCPError as error:
            return error.message
        return f"The next request goes to {model}."

    async def ask(self, prompt: str) -> str:
        """Ask the agent, on the model of the moment."""
        agent: Agent[object, str] = agent_from_config(
            self._document, toolsets=[self._ollama.filtered(is_needed)], tools=[self.use_model]
        )
        print(f"\n[{json.loads(self._document)['metadata']['ollama']['model']}] {prompt}")
        async with agent:
            result = await agent.run(prompt, message_history=self._history, deps=None)
        self._history = result.all_messages()
        print(f"  {result.output}")
        return result.output


async def main() -> None:
    """Move the agent to another model, and go on with the conversation."""
    async with server() as ollama:
        try:
            agent = await Moving.on_best_model(ollama)
        except MCPError as error:
            sys.exit(error.message)
        await agent.ask(f"List the installed models. If {MODEL} is missing, pull it. Then use that model.")
        await agent.ask(TASK)


if __name__ == "__main__":
    anyio.run(main)
