"""Texts that a person starts: each names the tools, and a plan that works."""

from typing import Annotated

from mcp.server import MCPServer
from pydantic import Field

from mcp_ollama.models.app import App

_ASK = "Change nothing before I have agreed."


def register(server: MCPServer[App]) -> None:
    """Add the prompts."""

    @server.prompt(title="Choose a model")
    def choose_a_model(
        task: Annotated[str, Field(description="What it is for, such as: summarise German e-mails.", max_length=2000)],
        memory: Annotated[str, Field(description="Memory there is for it, such as: 8 GB.", max_length=100)] = "",
    ) -> str:
        """Find the best model for a task, installed or not."""
        room = f"\nMemory for it: {memory}" if memory else ""
        return (
            f"Find the Ollama model that fits this task best.\nTask: {task}{room}\n\n"
            "1. list_models with the capability that the task needs (tools, vision, embedding, thinking): look at "
            "size, context_length and quantization of what is installed.\n"
            "2. recommend_models (with max_memory_bytes, when the memory is known) for what is not.\n"
            "3. plan_pull for the best one that is not installed: its download_bytes, and whether it fits on disk.\n"
            "4. Give me one first choice and one alternative, each with size, context length and the reason. "
            f"{_ASK} Then pull_model, and load_model to see that it runs on the GPU."
        )

    @server.prompt(title="Free disk space")
    def free_disk_space(
        gigabytes: Annotated[float, Field(description="How much is needed.", gt=0, le=100_000)],
    ) -> str:
        """Find models that can go."""
        return (
            f"Free {gigabytes:g} GB on the disk of the Ollama server.\n\n"
            "1. list_models with sort=size; list_running_models for what is in use.\n"
            "2. Prefer models that are old, large, superseded by another one, and not loaded. Two names with the same "
            "digest share their weights: deleting one of them frees nothing.\n"
            f"3. Give me a list that adds up to {gigabytes:g} GB, each with its size and why it can go. {_ASK}\n"
            "4. delete_model for each that I agree to; its frees_bytes is what really becomes free. Stop when it is "
            "enough, and tell me the sum."
        )

    @server.prompt(title="Update models")
    def update_models() -> str:
        """See which models have an update, and fetch those that are wanted."""
        return (
            "Update the models of the Ollama server.\n\n"
            "1. check_updates: tell me which are outdated, with the download_bytes and the reason of each. When "
            "complete is false, say which could not be looked up, and why.\n"
            f"2. {_ASK}\n"
            "3. pull_model for each that I want, one after the other; while its state is not done, call it again. "
            "list_pulls shows all of them.\n"
            "4. check_updates once more for those, and tell me the result."
        )

    @server.prompt(title="Diagnose")
    def diagnose() -> str:
        """Find out what is wrong with the Ollama server, and how to mend it."""
        return (
            "Find out what is wrong with the Ollama server.\n\n"
            "1. health: go through its checks in their order; each that is not ok has a fix.\n"
            "2. When it is reachable: list_pulls for failed downloads, list_running_models for models on the CPU or "
            "with a short context, list_models for what is there.\n"
            "3. For a model that answers badly or slowly: show_model (context lengths, capabilities) and load_model "
            "(where it runs).\n"
            f"4. Tell me what is wrong, in order of weight, and the fix of each. {_ASK}"
        )
