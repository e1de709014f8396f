"""The user's consent to a destructive action: elicited where the client can ask, else confirmed by a token.

The SDK's `Resolve` and `Elicit` serve both eras, too, but know neither our time limit nor tokens that count once.
An error, silence, a malformed answer and the answer to another question never count as consent.
"""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import anyio
from mcp import MCPError
from mcp.server.context import ServerRequestContext
from mcp.types import (
    CallToolRequestParams,
    ElicitRequest,
    ElicitRequestedSchema,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
)

from mcp_ollama.models.app import App
from mcp_ollama.server._sdk_compat import connection_of
from mcp_ollama.server.limits import RequestLimits
from mcp_ollama.server.tokens import ConfirmationTokens
from mcp_ollama.tools.spec import ConsentResult, DestructiveAction, Reason

STATELESS_SINCE = "2026-07-28"
"""The revision of MCP without a handshake: a question is the result of a call, its answer comes with a second call."""

FORM: ElicitRequestedSchema = {
    "type": "object",
    "properties": {
        "confirm": {"type": "boolean", "title": "Yes, do it", "description": "Without it, nothing is changed."}
    },
    "required": ["confirm"],
}
"""The form that a client shows its user."""

_KEY = "consent"
_NEVER_SHOWN = (
    " If this client never shows questions, the operator can disable them with MCP_OLLAMA_CONFIRM_DELETE=false."
)


class InputRequiredError(Exception):
    """The client has to ask its user first, and to repeat the call with the answer."""

    def __init__(self, request: InputRequiredResult) -> None:
        super().__init__("The user has to be asked first.")
        self.request = request


@dataclass(frozen=True, slots=True)
class Consent:
    """Asks for consent on behalf of one tool call.

    Args:
        ctx: The request.
        params: Its parameters, with the user's answer where they carry one.
        app: The application that the call is about.
        tokens: The tokens of the server.
        limits: The limits of the call, which do not apply while the user decides.
    """

    ctx: ServerRequestContext[Any]
    params: CallToolRequestParams
    app: App
    tokens: ConfirmationTokens
    limits: RequestLimits

    @asynccontextmanager
    async def ask(self, action: DestructiveAction, token: str) -> AsyncGenerator[ConsentResult]:
        """Ask for consent, unless the operator has disabled that; see `AskConsent`.

        Args:
            action: The action, which belongs inside the context.
            token: The token that the call brings; ignored where the user can be asked.

        Raises:
            InputRequiredError: The client has to ask its user, and to repeat the call.
            RefusedError: Too many confirmations are open.
        """
        reserved, result = await self._decide(action, token)
        try:
            yield result
        except BaseException:
            self.tokens.release(reserved)
            raise
        if not result.reason:
            self.tokens.spend(reserved)

    async def _decide(self, action: DestructiveAction, token: str) -> tuple[str, ConsentResult]:
        """Return the reserved token, if any, and the result."""
        if not self.app.settings.confirm_delete:
            return "", ConsentResult()
        if not self._can_elicit():
            return self._check_token(action, token)
        if self.ctx.protocol_version >= STATELESS_SINCE:
            return self._check_answer(action)
        if not self.ctx.session.can_send_request:
            return self._check_token(action, token)
        try:
            return "", await self._elicit(action)
        except MCPError:
            # It declares elicitation, and yet cannot ask: some unattended clients do so.
            return self._check_token(action, token)

    def _can_elicit(self) -> bool:
        # A bare `elicitation: {}` is from before there were modes, and means forms.
        declared = self.ctx.session.client_capabilities and self.ctx.session.client_capabilities.elicitation
        return bool(declared is not None and (declared.form is not None or declared.url is None))

    def _check_token(self, action: DestructiveAction, token: str) -> tuple[str, ConsentResult]:
        target, bound = self._identity(action)
        if self.tokens.reserve(token, bound):
            return token, ConsentResult()
        why = (
            "That confirmation is wrong, used, older than 10 minutes, or the model has changed since. " if token else ""
        )
        return "", ConsentResult(
            reason="needs_confirmation",
            confirmation=self.tokens.issue(target, bound),
            next_step=f"{why}Nothing is {action.past} yet. Ask the user whether to {action.description}. "
            f"If they agree, call {action.tool} again with this confirmation.",
        )

    def _identity(self, action: DestructiveAction) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the target of an action and its whole identity, both within the session where there is one."""
        session = connection_of(self.ctx).session_id or ""
        whole = json.dumps([action.tool, action.target, action.replacement]).encode()
        return (session, *action.target), (session, sha256(whole).hexdigest())

    def _check_answer(self, action: DestructiveAction) -> tuple[str, ConsentResult]:
        """Check the answer that the repeated call carries.

        Its state is a token, since the SDK signs the state but accepts it twice.
        """
        target, bound = self._identity(action)
        state, answer = self.params.request_state, (self.params.input_responses or {}).get(_KEY)
        if state is None or answer is None:
            form = ElicitRequestFormParams(message=action.question, requested_schema=FORM)
            request = InputRequiredResult(
                input_requests={_KEY: ElicitRequest(params=form)}, request_state=self.tokens.issue(target, bound)
            )
            raise InputRequiredError(request)
        if not self.tokens.reserve(state, bound):
            why = "The model was changed since that question, or the answer was used already or older than 10 minutes"
            return "", _refusal("changed", action, why)
        result = _read(action, answer)
        if result.reason:
            self.tokens.spend(state)
        return state, result

    async def _elicit(self, action: DestructiveAction) -> ConsentResult:
        """Ask through the client of the handshake era.

        Raises:
            MCPError: The client answers with an error.
        """
        seconds = self.app.timeouts.elicitation
        try:
            async with self.limits.waiting():
                with anyio.fail_after(seconds):
                    answer = await self.ctx.session.elicit_form(action.question, FORM, self.ctx.request_id)
        except TimeoutError:
            return _refusal("timed_out", action, f"No answer came within {seconds:g} s")
        except ValueError:
            # The answer is malformed: a ValidationError of the SDK.
            return _read(action, None)
        return _read(action, answer)


def _read(action: DestructiveAction, answer: object) -> ConsentResult:
    """Return what an answer means; only the JSON value true is consent."""
    if not isinstance(answer, ElicitResult):
        return _refusal("cancelled", action, "The client did not return its user's answer")
    if answer.action == "cancel":
        return _refusal("cancelled", action, "The question was closed without an answer", _NEVER_SHOWN)
    confirm = (answer.content or {}).get("confirm")
    if answer.action == "decline" or confirm is False:
        return _refusal("declined", action, "The user declined", _NEVER_SHOWN)
    if confirm is not True:
        return _refusal("cancelled", action, "The client did not return its user's answer")
    return ConsentResult()


def _refusal(reason: Reason, action: DestructiveAction, why: str, hint: str = "") -> ConsentResult:
    next_step = f"{why}: nothing was {action.past}. Call again only if the user wants it.{hint}"
    return ConsentResult(reason=reason, next_step=next_step)
