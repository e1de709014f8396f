"""The tools, prompts and documents that the official suite asks for, in the words of its scenarios."""

import json
from typing import Any

import anyio
from mcp.server import MCPServer
from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.types import (
    AudioContent,
    EmbeddedResource,
    EmptyResult,
    ImageContent,
    SamplingMessage,
    SetLevelRequestParams,
    TextContent,
    TextResourceContents,
)
from pydantic import BaseModel, Field, JsonValue

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
SILENCE = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
PAUSE_SECONDS = 0.05  # which the suite asks for

image = ImageContent(type="image", data=PIXEL, mime_type="image/png")


def text(said: str) -> TextContent:
    return TextContent(type="text", text=said)


def document(uri: str, mime_type: str, content: str) -> EmbeddedResource:
    held = TextResourceContents(uri=uri, mime_type=mime_type, text=content)
    return EmbeddedResource(type="resource", resource=held)


async def test_simple_text() -> str:
    """A text."""
    return "This is a simple text response for testing."


async def test_image_content() -> list[ImageContent]:
    """A picture."""
    return [image]


async def test_audio_content() -> list[AudioContent]:
    """A sound."""
    return [AudioContent(type="audio", data=SILENCE, mime_type="audio/wav")]


async def test_embedded_resource() -> list[EmbeddedResource]:
    """A document."""
    return [document("test://embedded-resource", "text/plain", "This is an embedded resource content.")]


async def test_multiple_content_types() -> list[TextContent | ImageContent | EmbeddedResource]:
    """A text, a picture and a document."""
    mixed = document("test://mixed-content-resource", "application/json", '{"test":"data","value":123}')
    return [text("Multiple content types test:"), image, mixed]


async def test_tool_with_logging(ctx: Context[Any]) -> str:
    """Three log messages."""
    for said in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await ctx.info(said)  # pyright: ignore[reportDeprecated]
        await anyio.sleep(PAUSE_SECONDS)
    return "logged"


async def test_tool_with_progress(ctx: Context[Any]) -> str:
    """Three steps."""
    for done in (0, 50, 100):
        await ctx.report_progress(done, 100, f"{done} of 100")
        await anyio.sleep(PAUSE_SECONDS)
    return "done"


async def test_error_handling() -> str:
    """An error."""
    raise ToolError("This tool intentionally returns an error for testing")


async def test_sampling(prompt: str, ctx: Context[Any]) -> str:
    """A question to the host's model."""
    asked = [SamplingMessage(role="user", content=text(prompt))]
    # Related, or it would go over a stream that the host may not have opened yet.
    question = ctx.session.create_message(asked, max_tokens=100, related_request_id=ctx.request_id)  # pyright: ignore[reportDeprecated]
    answer = await question
    said = answer.content
    return f"LLM response: {said.text if isinstance(said, TextContent) else said}"


class Person(BaseModel):
    """Asked for by `test_elicitation`."""

    username: str = Field(description="User's response")
    email: str = Field(description="User's email address")


class Defaults(BaseModel):
    """One default of each kind."""

    name: str = "John Doe"
    age: int = 30
    score: float = 95.5
    status: str = Field("active", json_schema_extra={"enum": ["active", "inactive", "pending"]})
    verified: bool = True


def _titled(*names: str) -> list[JsonValue]:
    return [{"const": name, "title": name.title()} for name in names]


class Choices(BaseModel):
    """One choice of each kind."""

    untitledSingle: str = Field(json_schema_extra={"enum": ["option1", "option2", "option3"]})  # noqa: N815
    titledSingle: str = Field(json_schema_extra={"oneOf": _titled("value1", "value2", "value3")})  # noqa: N815
    legacyEnum: str = Field(json_schema_extra={"enum": ["opt1", "opt2"], "enumNames": ["One", "Two"]})  # noqa: N815
    untitledMulti: list[str] = Field(json_schema_extra={"items": {"type": "string", "enum": ["option1", "option2"]}})  # noqa: N815
    titledMulti: list[str] = Field(json_schema_extra={"items": {"anyOf": _titled("value1", "value2")}})  # noqa: N815


async def _ask(ctx: Context[Any], message: str, form: type[BaseModel]) -> str:
    answer = await ctx.elicit(message, form)
    content = answer.data.model_dump_json() if answer.action == "accept" else "{}"
    return f"Elicitation completed: action={answer.action}, content={content}"


async def test_elicitation(message: str, ctx: Context[Any]) -> str:
    """A question to the user."""
    return await _ask(ctx, message, Person)


async def test_elicitation_sep1034_defaults(ctx: Context[Any]) -> str:
    """A form with defaults."""
    return await _ask(ctx, "Please provide user information", Defaults)


async def test_elicitation_sep1330_enums(ctx: Context[Any]) -> str:
    """A form with choices."""
    return await _ask(ctx, "Please choose", Choices)


async def _set_level(_: ServerRequestContext[Any, Any], __: SetLevelRequestParams) -> EmptyResult:
    return EmptyResult()


TOOLS = (
    test_simple_text,
    test_image_content,
    test_audio_content,
    test_embedded_resource,
    test_multiple_content_types,
    test_tool_with_logging,
    test_tool_with_progress,
    test_error_handling,
    test_sampling,
    test_elicitation,
    test_elicitation_sep1034_defaults,
    test_elicitation_sep1330_enums,
)


def register(server: MCPServer[Any]) -> None:
    """Add all of it to a server."""
    for tool in TOOLS:
        server.add_tool(tool)
    server._lowlevel_server.add_request_handler("logging/setLevel", SetLevelRequestParams, _set_level)  # pyright: ignore[reportPrivateUsage]

    @server.resource("test://static-text", description="A text.", mime_type="text/plain")
    async def static_text() -> str:
        return "This is the content of the static text resource."

    @server.resource("test://static-binary", description="A picture.", mime_type="image/png")
    async def static_binary() -> bytes:
        return b"\x89PNG"

    @server.resource("test://watched-resource", description="Followed by the suite.", mime_type="text/plain")
    async def watched() -> str:
        return "Watched resource content"

    @server.resource("test://template/{id}/data", description="A template.", mime_type="application/json")
    async def template(id: str) -> str:
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})

    @server.prompt()
    async def test_simple_prompt() -> str:
        """A text."""
        return "This is a simple prompt for testing."

    @server.prompt()
    async def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
        """A text with arguments."""
        return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"

    @server.prompt()
    async def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:  # noqa: N803
        """A document."""
        held = document(resourceUri, "text/plain", "Embedded resource content for testing.")
        return [UserMessage(held), UserMessage("Please process the embedded resource above.")]

    @server.prompt()
    async def test_prompt_with_image() -> list[UserMessage]:
        """A picture."""
        return [UserMessage(image), UserMessage("Please analyze the image above.")]
