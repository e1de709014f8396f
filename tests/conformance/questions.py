"""The fixtures of 2026-07-28: results that ask the host first, and tools for what the suite looks at on the wire."""

from collections.abc import Mapping
from typing import Any

from mcp import MCPError
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequest,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
    TextContent,
)

Asking = str | InputRequiredResult


def form(message: str, field: str, kind: str = "string") -> ElicitRequest:
    schema = {"type": "object", "properties": {field: {"type": kind}}, "required": [field]}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(prompt: str, tokens: int) -> CreateMessageRequest:
    messages = [SamplingMessage(role="user", content=TextContent(type="text", text=prompt))]
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=messages, max_tokens=tokens))


def answered(ctx: Context[Any], questions: Mapping[str, InputRequest]) -> bool:
    """Return whether the client has answered every form with the fields that it asks for."""
    answers = ctx.input_responses or {}

    def is_right(key: str, question: InputRequest) -> bool:
        answer = answers.get(key)
        if not (isinstance(question, ElicitRequest) and isinstance(answer, ElicitResult)):
            return answer is not None and not isinstance(question, ElicitRequest)
        assert isinstance(question.params, ElicitRequestFormParams)
        wanted: list[str] = question.params.requested_schema["required"]
        return answer.action == "accept" and set(wanted) <= (answer.content or {}).keys()

    return all(is_right(key, question) for key, question in questions.items())


def ask(ctx: Context[Any], state: str | None = None, **questions: InputRequest) -> Asking:
    """Ask, until all is answered."""
    if answered(ctx, questions) and (state is None or ctx.request_state == state):
        return f"All was answered; state-ok: {state}"
    return InputRequiredResult(input_requests=dict(questions), request_state=state)


async def test_input_required_result_elicitation(ctx: Context[Any]) -> Asking:
    """A question to the user."""
    return ask(ctx, user_name=form("What is your name?", "name"))


async def test_input_required_result_sampling(ctx: Context[Any]) -> Asking:
    """A question to the host's model."""
    return ask(ctx, capital_question=sample("What is the capital of France?", 100))


async def test_input_required_result_list_roots(ctx: Context[Any]) -> Asking:
    """A question for the roots."""
    return ask(ctx, client_roots=ListRootsRequest())


async def test_input_required_result_request_state(ctx: Context[Any]) -> Asking:
    """A question with a state."""
    return ask(ctx, "request-state", confirm=form("Please confirm", "ok", "boolean"))


async def test_input_required_result_tampered_state(ctx: Context[Any]) -> Asking:
    """A question whose state the SDK seals."""
    return ask(ctx, "sealed", confirm=form("Please confirm", "ok", "boolean"))


async def test_input_required_result_multiple_inputs(ctx: Context[Any]) -> Asking:
    """Three questions at once."""
    return ask(
        ctx,
        "multiple",
        user_name=form("What is your name?", "name"),
        greeting=sample("Generate a greeting", 50),
        client_roots=ListRootsRequest(),
    )


async def test_input_required_result_multi_round(ctx: Context[Any]) -> Asking:
    """Two questions, one after the other."""
    first = {"step1": form("Step 1: What is your name?", "name")}
    if ctx.request_state != "second" and not (ctx.request_state == "first" and answered(ctx, first)):
        return InputRequiredResult(input_requests=dict(first), request_state="first")
    return ask(ctx, "second", step2=form("Step 2: What is your favorite color?", "color"))


async def test_input_required_result_capabilities(ctx: Context[Any]) -> Asking:
    """Questions that the host can answer."""
    able = ctx.client_capabilities
    questions: dict[str, InputRequest] = {}
    if able and able.elicitation is not None:
        questions["user_name"] = form("What is your name?", "name")
    if able and able.sampling is not None:
        questions["greeting"] = sample("Generate a greeting", 50)
    return ask(ctx, None, **questions) if questions else "nothing can be asked"


async def test_streaming_elicitation(ctx: Context[Any]) -> Asking:
    """Progress, and then a question."""
    await ctx.report_progress(1)
    return ask(ctx, user_name=form("What is your name?", "name"))


async def test_missing_capability(ctx: Context[Any]) -> str:
    """Needs a host with sampling."""
    if not (ctx.client_capabilities and ctx.client_capabilities.sampling is not None):
        data: dict[str, Any] = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, "Needs sampling", data)
    return "there"


async def test_logging_tool(ctx: Context[Any]) -> str:
    """A log message, for those that asked for them."""
    await ctx.info("logged")  # pyright: ignore[reportDeprecated]
    return "logged"


async def test_trigger_tool_change(ctx: Context[Any]) -> str:
    """A change of the tools."""
    await ctx.notify_tools_changed()
    return "changed"


async def test_trigger_prompt_change(ctx: Context[Any]) -> str:
    """A change of the prompts."""
    await ctx.notify_prompts_changed()
    return "changed"


TOOLS = (
    test_input_required_result_elicitation,
    test_input_required_result_sampling,
    test_input_required_result_list_roots,
    test_input_required_result_request_state,
    test_input_required_result_tampered_state,
    test_input_required_result_multiple_inputs,
    test_input_required_result_multi_round,
    test_input_required_result_capabilities,
    test_streaming_elicitation,
    test_missing_capability,
    test_logging_tool,
    test_trigger_tool_change,
    test_trigger_prompt_change,
)


def register(server: MCPServer[Any]) -> None:
    """Add all of it to a server."""
    for tool in TOOLS:
        server.add_tool(tool)

    @server.prompt()
    async def test_input_required_result_prompt(ctx: Context[Any]) -> Asking:
        """A question before the prompt."""
        return ask(ctx, user_context=form("What context should the prompt use?", "context"))
