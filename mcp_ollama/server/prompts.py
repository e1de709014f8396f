"""Prompts that a person starts: each names the tools, and a plan that works."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from mcp import MCPError
from mcp.types import INVALID_PARAMS, GetPromptResult, Prompt, PromptArgument, PromptMessage, TextContent
from pydantic import AfterValidator, Field

from mcp_ollama.models.sizes import parse_size
from mcp_ollama.server.arguments import InvalidArgumentsError, Parameters
from mcp_ollama.server.host_argument import HOST, HostArgument
from mcp_ollama.server.results import protocol_errors
from mcp_ollama.server.tool_registry import ToolRegistry

_ASK = "Change nothing before I have agreed."


@dataclass(frozen=True, slots=True)
class PromptSpec:
    """A prompt as data: its name is the function's, its description the docstring.

    Args:
        render: Returns the text; its parameters become the prompt's arguments.
        title: The name that clients show to people.
    """

    render: Callable[..., str]
    title: str


class PromptRegistry:
    """The prompts of a server.

    Args:
        specs: All prompts, in the order in which clients list them.
        argument: The argument that names a host.
        tools: The tools that the prompts name.
    """

    def __init__(self, specs: Sequence[PromptSpec], argument: HostArgument, tools: ToolRegistry) -> None:
        self._prompts = {spec.render.__name__: _RegisteredPrompt(spec, argument, tools) for spec in specs}

    def definitions(self) -> list[Prompt]:
        """Return the entries of `prompts/list`."""
        return [prompt.definition for prompt in self._prompts.values()]

    def get(self, name: str, arguments: Mapping[str, str]) -> GetPromptResult:
        """Return a prompt with its arguments filled in.

        Raises:
            MCPError: The prompt is unknown, its arguments do not fit, or its function has a bug.
        """
        if name not in self._prompts:
            raise MCPError(INVALID_PARAMS, f"Unknown prompt: {name[:100]}")
        with protocol_errors(f"rendering prompt {name}"):
            return self._prompts[name].get(arguments)


class _RegisteredPrompt:
    def __init__(self, spec: PromptSpec, argument: HostArgument, tools: ToolRegistry) -> None:
        self._spec = spec
        self._argument = argument
        self._tools = tools
        self._parameters = Parameters(spec.render)

    @cached_property
    def definition(self) -> Prompt:
        schema = self._parameters.json_schema
        arguments = [
            PromptArgument(name=name, description=one.get("description"), required=name in schema.get("required", ()))
            for name, one in schema["properties"].items()
        ]
        return Prompt(
            name=self._spec.render.__name__,
            title=self._spec.title,
            description=self._spec.render.__doc__,
            arguments=[*arguments, *self._argument.prompt_arguments()],
        )

    def get(self, arguments: Mapping[str, str]) -> GetPromptResult:
        definition = self.definition
        required = [one.name for one in definition.arguments or () if one.required]
        if missing := [name for name in required if not arguments.get(name, "").strip()]:
            raise MCPError(INVALID_PARAMS, f"The prompt {definition.name} needs {', '.join(missing)}.")
        try:
            hosts, others = self._argument.split_prompt(definition.name, arguments)
            given = self._parameters.validate(others)
        except InvalidArgumentsError as error:
            raise MCPError(INVALID_PARAMS, str(error)) from error
        text = self._spec.render(**given)
        if disabled := self._tools.disabled_sentences(text, arguments.get(HOST) or self._argument.named.default):
            text = f"{text}\n\n{disabled}"
        message = PromptMessage(role="user", content=TextContent(type="text", text=f"{text}{hosts}"))
        return GetPromptResult(description=definition.description, messages=[message])


def _check_size(text: str) -> str:
    """Return a size in the person's own words, once it is certain that a tool takes them."""
    if not parse_size(text, binary=True):
        raise ValueError('should be more than nothing, such as "20 GB"')
    return text.strip()


Size = Annotated[str, AfterValidator(_check_size)]


def choose_a_model(
    task: Annotated[str, Field(description="What it is for, such as: summarise German e-mails.", max_length=2000)],
    memory: Annotated[Size, Field(description="Memory there is for it, such as: 8 GB.")] = "",
) -> str:
    """Find the best model for a task, installed or not."""
    limit = f"\nMemory for it: {memory}" if memory else ""
    return (
        f"Find the Ollama model that fits this task best.\nTask: {task}{limit}\n\n"
        "1. list_models with the capability that the task needs (tools, vision, embedding, thinking): look at "
        "size, context_length and quantization of what is installed.\n"
        f"2. search_models{_with_memory(memory)} for what is not: a name of a family, or the task in a few words.\n"
        "3. plan_pull for the best one that is not installed: its download_bytes, and whether it fits on disk and into "
        "memory.\n"
        "4. Give me one first choice and one alternative, each with size, context length and the reason. "
        f"{_ASK} Then pull_model, load_model to see that it runs on the GPU, and measure_model: report its speed."
    )


def _with_memory(memory: str) -> str:
    return f' with max_memory "{memory}"' if memory else ""


def free_disk_space(
    size: Annotated[Size, Field(description="Space that is needed, such as: 20 GB.")],
) -> str:
    """Find models that can go."""
    return (
        f"Free {size} on the disk of the Ollama server.\n\n"
        f'1. plan_cleanup with free_at_least "{size}": it deletes nothing.\n'
        "2. Show me its models in their order, each with its bytes and reason, and frees_bytes of all together. "
        f"{_ASK} Those that I want to keep go into keep of another plan_cleanup.\n"
        "3. delete_model with models: all names that I agree to, in one call. Its frees_bytes is what really becomes "
        "free.\n"
        "4. Report the sum. When it is not enough, start again."
    )


def update_models() -> str:
    """See which models have an update, and fetch those that are wanted."""
    return (
        "Update the models of the Ollama server.\n\n"
        "1. check_updates: list which are outdated, with the download_bytes and the reason of each. When "
        "complete is false, say which could not be looked up, and why.\n"
        f"2. {_ASK}\n"
        "3. pull_model for each that I want, one after the other; while its state is not done, call it again. "
        "list_pulls shows all of them.\n"
        "4. check_updates once more for those, and report the result."
    )


def diagnose() -> str:
    """Find out what is wrong with the Ollama server, and how to fix it."""
    return (
        "Find out what is wrong with the Ollama server.\n\n"
        "1. health: go through its checks in their order; each that is not ok has a fix.\n"
        "2. When it is reachable: list_pulls for failed downloads, list_running_models for models on the CPU or "
        "with a short context, list_models for what is there.\n"
        "3. For a model that answers badly or slowly: show_model (context lengths, capabilities) and load_model "
        "(where it runs).\n"
        f"4. List the problems, the worst first, and the fix of each. {_ASK}"
    )


def tune_for_agents(
    model: Annotated[str, Field(description="Model to tune, installed or not.", max_length=200)],
) -> str:
    """Tune a model for agents: the largest context that fits, and its speed."""
    return (
        f"Tune the model {model} for agents, which need a long context for instructions and tool definitions.\n\n"
        f"1. plan_pull with {model}: memory.largest_context_length is the largest context that fits (for a model that "
        f"no registry has: show_model with include memory). Then pull_model when it is not installed. {_ASK}\n"
        "2. When the verdict is unknown, ask me for the memory of the GPU, or take 16384 tokens. When it is another "
        "and there is no largest_context_length, no context fits entirely: stop and name a smaller quantization.\n"
        f"3. create_model from {model} with parameters num_ctx = that length, 65536 at most, under a name such as "
        f"{_variant(model)}.\n"
        "4. load_model with the new name: it should be loaded on the GPU; when next_step names a smaller context, "
        "create it again with that one.\n"
        "5. measure_model with the new name: report its context length, its tokens per second, and the memory it "
        "takes. Below 15 tokens per second, say that agents will be slow."
    )


def _variant(model: str) -> str:
    """Return a name for a variant; its tag keeps that of the model apart."""
    name, _, tag = model.rpartition("/")[2].partition(":")
    return f"{name}-agent:{tag or 'latest'}"


ALL = (
    PromptSpec(choose_a_model, "Choose a model"),
    PromptSpec(free_disk_space, "Free disk space"),
    PromptSpec(update_models, "Update models"),
    PromptSpec(diagnose, "Diagnose"),
    PromptSpec(tune_for_agents, "Tune for agents"),
)
"""The prompts, in the order in which clients list them."""
