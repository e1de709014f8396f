"""Consent elicited through the client, in both protocol eras: only an explicit true allows an action."""

from typing import Any, cast

import anyio
import pytest
from mcp import Client, MCPError
from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.session import ServerSession
from mcp.types import (
    METHOD_NOT_FOUND,
    CallToolRequestParams,
    CallToolResult,
    ClientCapabilities,
    CreateMessageResult,
    ElicitationCapability,
    ElicitRequestParams,
    ElicitResult,
    ErrorData,
    InputRequiredResult,
    TextContent,
)

from mcp_ollama import OllamaSettings
from mcp_ollama.models.app import Timeouts, open_app
from mcp_ollama.server.consent import Consent
from mcp_ollama.server.limits import RequestLimits
from mcp_ollama.server.tokens import ConfirmationTokens
from mcp_ollama.simulator import RunningSimulator, Silence, Simulator, Stall
from mcp_ollama.tools.spec import ConsentResult, DestructiveAction
from tests.support.client import Era, Host, built

MODEL = "llama3.2:3b"


class User:
    """A user who answers every question in the same way; the questions are recorded."""

    def __init__(self, answer: ElicitResult | ErrorData | None) -> None:
        self.answer = answer
        self.questions: list[str] = []
        self.forms: list[Any] = []
        self.asked = anyio.Event()

    async def __call__(self, context: Any, params: ElicitRequestParams) -> ElicitResult | ErrorData:
        self.questions.append(params.message)
        self.forms.append(params.model_dump()["requested_schema"])
        self.asked.set()
        if self.answer is None:
            await anyio.sleep_forever()
        assert self.answer is not None
        return self.answer


def said(action: Any, **content: Any) -> User:
    return User(ElicitResult(action=action, content=content or None))


@pytest.fixture(autouse=True)
def _furnished(simulator: Simulator, running: RunningSimulator) -> None:
    simulator.install(MODEL, size_bytes=2_000_000_000)


async def delete(era: Era, user: User, timeouts: Timeouts | None = None, **more: Any) -> dict[str, Any]:
    async with Client(built(timeouts or Timeouts()), mode=era, elicitation_callback=user) as client:
        return await Host(client)("delete_model", model=MODEL, **more)


async def test_consent_given_deletes_after_one_question_with_name_and_bytes(simulator: Simulator, era: Era):
    digest = simulator.model(MODEL).manifest.digest
    user = said("accept", confirm=True)
    with anyio.fail_after(5):
        answer = await delete(era, user, confirm="ignored")
    assert answer["deleted"]
    assert not simulator.is_installed(MODEL)
    assert user.questions == [f"Delete llama3.2:3b ({digest[:12]}), which frees 2.0 GB? This cannot be undone."]
    field = {"type": "boolean", "title": "Yes, do it", "description": "Without it, nothing is changed."}
    assert user.forms == [{"type": "object", "properties": {"confirm": field}, "required": ["confirm"]}]


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        (said("decline"), "declined"),
        (said("accept", confirm=False), "declined"),
        (said("cancel"), "cancelled"),
    ],
    ids=["decline", "accept but no", "cancel"],
)
async def test_consent_refused_keeps_the_model(user: User, reason: str, simulator: Simulator, era: Era):
    with anyio.fail_after(5):
        answer = await delete(era, user)
    assert (answer["deleted"], answer["reason"]) == (False, reason)
    assert "nothing was deleted" in answer["next_step"]
    shown = user.answer == ElicitResult(action="accept", content={"confirm": False})
    assert "MCP_OLLAMA_CONFIRM_DELETE=false" in answer["next_step"] or shown
    assert "confirmation" not in answer
    assert not simulator.asked("/api/delete")


@pytest.mark.parametrize(
    "content",
    [None, {"confirm": "perhaps"}, {"confirm": "yes"}, {"confirm": "true"}, {"confirm": 1}, {"other": True}],
    ids=repr,
)
async def test_malformed_answer_keeps_the_model(content: Any, simulator: Simulator, era: Era):
    with anyio.fail_after(5):
        answer = await delete(era, User(ElicitResult(action="accept", content=content)))
    assert (answer["deleted"], answer["reason"]) == (False, "cancelled")
    assert not simulator.asked("/api/delete")


async def test_client_error_on_asking_leads_to_a_token(simulator: Simulator, era: Era):
    user = User(ErrorData(code=METHOD_NOT_FOUND, message="no window"))
    async with Client(built(Timeouts()), mode=era, elicitation_callback=user) as client:
        if era == "auto":
            # The question goes no further than the client, which ends the call by itself.
            with pytest.raises(MCPError, match="no window"):
                await client.call_tool("delete_model", {"model": MODEL})
            return
        answer = await Host(client)("delete_model", model=MODEL)
        assert (answer["deleted"], answer["reason"]) == (False, "needs_confirmation")
        assert not simulator.asked("/api/delete")
        assert (await Host(client)("delete_model", model=MODEL, confirm=answer["confirmation"]))["deleted"]


class MalformedChannel:
    """The way to a client that answers each request with an object that is not a result of it."""

    can_send_request = True

    async def send_raw_request(self, method: str, params: object, opts: object = None) -> dict[str, Any]:
        return {"action": "perhaps"}

    async def notify(self, method: str, params: object, opts: object = None) -> None:
        raise AssertionError


async def ask_over(channel: MalformedChannel, base_url: str) -> ConsentResult:
    """Ask for consent in the handshake era, over a channel of a client that declares elicitation."""
    connection = Connection.for_loop(channel)
    connection.client_capabilities = ClientCapabilities(elicitation=ElicitationCapability())
    session = ServerSession(cast("Any", channel), connection)
    ctx = ServerRequestContext[Any, Any](
        session=session, lifespan_context=None, protocol_version="2025-11-25", method="tools/call", request_id=1
    )
    limits = RequestLimits(anyio.Semaphore(1), anyio.CancelScope())
    action = DestructiveAction(tool="delete_model", description="delete a", past="deleted", target=("a",))
    async with open_app(OllamaSettings(base_url=base_url)) as app, limits.working():
        params = CallToolRequestParams(name="delete_model")
        async with Consent(ctx, params, app, ConfirmationTokens(600), limits).ask(action, "") as result:
            return result
    raise AssertionError


async def test_answer_with_an_unknown_action_keeps_the_model(nowhere: str):
    result = await ask_over(MalformedChannel(), nowhere)
    assert result.reason == "cancelled"


async def test_unanswered_question_times_out_and_keeps_the_model(simulator: Simulator, era: Era):
    user = User(None)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            if era == "auto":
                # The newer revisions answer the call with the question: only the host's own time passes.
                group.start_soon(delete, era, user)
                await user.asked.wait()
                group.cancel_scope.cancel()
            else:
                answer = await delete(era, user, Timeouts(elicitation=0.2))
                assert (answer["deleted"], answer["reason"]) == (False, "timed_out")
    assert len(user.questions) == 1
    assert not simulator.asked("/api/delete")
    assert Timeouts().elicitation == 120


async def test_timeout_of_a_call_excludes_the_time_of_its_question(simulator: Simulator):
    class Slow(User):
        async def __call__(self, context: Any, params: ElicitRequestParams) -> ElicitResult | ErrorData:
            # A call that began later times out before the user answers.
            assert "Timed out" in await Host(client).refusal("show_model", model=MODEL)
            return await super().__call__(context, params)

    simulator.faults.add(MODEL, Silence(), operation="show")
    user = Slow(ElicitResult(action="accept", content={"confirm": True}))
    with anyio.fail_after(5):
        async with Client(built(Timeouts(call=0.4)), mode="legacy", elicitation_callback=user) as client:
            assert (await Host(client)("delete_model", model=MODEL))["deleted"]


@pytest.mark.parametrize("change", ["replaced", "gone"])
async def test_model_changed_during_the_question_is_kept(change: str, simulator: Simulator, era: Era):
    class Meanwhile(User):
        async def __call__(self, context: Any, params: ElicitRequestParams) -> ElicitResult | ErrorData:
            simulator.library.remove(simulator.model(MODEL))
            if change == "replaced":
                simulator.install(MODEL, size_bytes=3_000_000_000)
            return await super().__call__(context, params)

    user = Meanwhile(ElicitResult(action="accept", content={"confirm": True}))
    async with Client(built(Timeouts()), mode=era, elicitation_callback=user) as client:
        result = await client.call_tool("delete_model", {"model": MODEL})
    if change == "gone" and era == "auto":
        assert result.is_error
    else:
        assert result.structured_content is not None
        assert (result.structured_content["deleted"], result.structured_content["reason"]) == (False, "changed")
        assert "was changed" in result.structured_content["next_step"]
    assert not simulator.asked("/api/delete")


async def rounds(client: Client, **more: Any) -> CallToolResult | InputRequiredResult:
    result = await client.session.call_tool("delete_model", {"model": MODEL}, allow_input_required=True, **more)
    assert isinstance(result, CallToolResult | InputRequiredResult)
    return result


def yes(**content: Any) -> dict[str, Any]:
    return {"consent": ElicitResult(action="accept", content=content or {"confirm": True})}


def outcome(result: CallToolResult | InputRequiredResult) -> tuple[bool, str | None]:
    assert isinstance(result, CallToolResult)
    assert result.structured_content is not None
    return result.structured_content["deleted"], result.structured_content.get("reason")


TAKEN = {
    "delete_model": {"model": MODEL},
    "copy_model": {"source": "other", "destination": MODEL, "overwrite": True},
    "create_model": {"model": MODEL, "from_model": "other", "overwrite": True},
}


@pytest.mark.parametrize("tool", TAKEN)
async def test_pull_started_during_the_question_blocks_the_action(tool: str, simulator: Simulator, era: Era):
    simulator.install("other")
    simulator.registry.publish(MODEL, size_bytes=9_000_000)
    simulator.faults.add(MODEL, Stall(at=0.5))

    async def agree(context: Any, params: ElicitRequestParams) -> ElicitResult | ErrorData:
        await Host(client)("pull_model", model=MODEL, wait_seconds=0)
        return ElicitResult(action="accept", content={"confirm": True})

    with anyio.fail_after(5):
        async with Client(built(Timeouts()), mode=era, elicitation_callback=agree) as client:
            assert "is being pulled" in await Host(client).refusal(tool, **TAKEN[tool])
            simulator.faults.clear()
    for path in ("/api/delete", "/api/copy", "/api/create"):
        assert not simulator.asked(path)


async def test_answer_repeated_confirms_nothing(simulator: Simulator):
    async with Client(built(Timeouts()), elicitation_callback=said("cancel")) as client:
        question = await rounds(client)
        assert isinstance(question, InputRequiredResult)
        state = question.request_state
        assert outcome(await rounds(client, input_responses=yes(), request_state=state)) == (True, None)
        simulator.install(MODEL, size_bytes=2_000_000_000)
        assert outcome(await rounds(client, input_responses=yes(), request_state=state)) == (False, "changed")
    assert simulator.is_installed(MODEL)


async def test_late_or_missing_answer_keeps_the_model(simulator: Simulator):
    async with Client(built(Timeouts(confirmation_ttl=0)), elicitation_callback=said("cancel")) as client:
        question = await rounds(client)
        assert isinstance(question, InputRequiredResult)
        late = await rounds(client, input_responses=yes(), request_state=question.request_state)
        assert outcome(late) == (False, "changed")
    async with Client(built(Timeouts()), elicitation_callback=said("cancel")) as client:
        question = await rounds(client)
        assert isinstance(question, InputRequiredResult)
        again = await rounds(client, request_state=question.request_state)
        assert isinstance(again, InputRequiredResult)
        assert again.input_requests == question.input_requests
        text = CreateMessageResult(role="user", content=TextContent(type="text", text="yes"), model="m")
        odd = await rounds(client, input_responses={"consent": text}, request_state=again.request_state)
        assert outcome(odd) == (False, "cancelled")
    assert not simulator.asked("/api/delete")


async def test_unrequested_answer_keeps_the_model(simulator: Simulator):
    async with Client(built(Timeouts()), elicitation_callback=said("cancel")) as client:
        assert isinstance(await rounds(client, input_responses=yes()), InputRequiredResult)
        with pytest.raises(MCPError):
            await rounds(client, input_responses=yes(), request_state="forged")
    assert not simulator.asked("/api/delete")


async def test_disabled_confirmation_deletes_without_a_question(simulator: Simulator, era: Era):
    user = said("decline")
    async with Client(built(Timeouts(), confirm_delete=False), mode=era, elicitation_callback=user) as client:
        assert (await Host(client)("delete_model", model=MODEL))["deleted"]
    assert not user.questions


async def test_client_that_cannot_be_asked_in_this_session_gets_a_token(nowhere: str):
    class OneWay(MalformedChannel):
        can_send_request = False

    result = await ask_over(OneWay(), nowhere)
    assert (result.reason, bool(result.confirmation)) == ("needs_confirmation", True)
