"""The user's consent to what cannot be undone: asked through the host where it can ask, else by a token.

Whatever goes wrong on the way counts as no: a host that answers with an error, stays silent, answers another
question or an old one.
"""

from dataclasses import dataclass
from typing import Literal

import anyio
from mcp import MCPError
from mcp.server.elicitation import render_elicitation_schema
from mcp.types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult
from pydantic import BaseModel, Field

from mcp_ollama.models.app import STATELESS_SINCE, App, Call, QuestionError, app_of, user_decides

Reason = Literal["needs_confirmation", "declined", "cancelled", "timed_out", "changed"]

_KEY = "consent"


class Consent(BaseModel):
    """The form that a host shows its user."""

    confirm: bool = Field(title="Yes, do it", description="Nothing is changed without a yes.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """Something that cannot be undone.

    Args:
        tool: Who does it.
        what: As in "delete llama3.2:3b (a80c4f17acd5), which frees 2.0 GB".
        done: As in "deleted".
        key: What a yes is bound to: the names and the digest.
    """

    tool: str
    what: str
    done: str
    key: tuple[str, ...]

    @property
    def question(self) -> str:
        """The same words each time, since the host may compare them."""
        return f"{self.what[:1].upper()}{self.what[1:]}? This cannot be undone."


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of asking; a `reason` is a no."""

    reason: Reason | None = None
    confirmation: str | None = None
    next_step: str | None = None


async def consent(call: Call, deed: Deed, confirm: str) -> Verdict:
    """Ask for consent to a deed, unless the operator has turned that off.

    Args:
        call: The call that will do it.
        deed: What is to be done.
        confirm: The token that the call brings; ignored where the user can be asked.

    Raises:
        QuestionError: The host has to ask its user, and call again.
    """
    app = app_of(call)
    if not app.settings.confirm_delete:
        return Verdict()
    if not _can_ask(call):
        return _by_token(app, deed, confirm)
    # Since then a question is an answer to the call, and the user's word comes with a second call.
    if (call.protocol_version or "") >= STATELESS_SINCE:
        return _in_rounds(app, call, deed)
    return await _at_once(app, call, deed) if call.session.can_send_request else _by_token(app, deed, confirm)


def _can_ask(call: Call) -> bool:
    # A bare `elicitation: {}` is from before there were modes, and means forms.
    asking = call.client_capabilities and call.client_capabilities.elicitation
    return bool(asking is not None and (asking.form is not None or asking.url is None))


def _by_token(app: App, deed: Deed, confirm: str) -> Verdict:
    if app.confirmations.redeem(confirm, *deed.key):
        return Verdict()
    why = "That confirmation is wrong, used, older than 10 minutes, or the model has changed since. " if confirm else ""
    return Verdict(
        reason="needs_confirmation",
        confirmation=app.confirmations.ask(*deed.key),
        next_step=f"{why}Nothing is {deed.done} yet. Ask the user whether to {deed.what}. "
        f"If they agree, call {deed.tool} again with this confirmation.",
    )


def _in_rounds(app: App, call: Call, deed: Deed) -> Verdict:
    answer = (call.input_responses or {}).get(_KEY)
    if call.request_state is None or answer is None:
        form = ElicitRequestFormParams(message=deed.question, requested_schema=render_elicitation_schema(Consent))
        # The SDK seals the state, but would take it twice.
        state = app.confirmations.ask(*deed.key)
        raise QuestionError(InputRequiredResult(input_requests={_KEY: ElicitRequest(params=form)}, request_state=state))
    if not app.confirmations.redeem(call.request_state, *deed.key):
        return _no("changed", deed, "That answer was to another question, used already or older than 10 minutes")
    app.confirmations.spend(call.request_state)
    try:
        return _judged(deed, *_read(answer))
    except ValueError:
        return _no("cancelled", deed, "The host did not give its user's answer")


def _read(answer: object) -> tuple[str, bool]:
    if not isinstance(answer, ElicitResult):
        raise ValueError("no answer to a form")  # noqa: TRY004 - as a form that is filled in wrongly
    return answer.action, answer.action == "accept" and Consent.model_validate(answer.content or {}).confirm


async def _at_once(app: App, call: Call, deed: Deed) -> Verdict:
    try:
        with user_decides(), anyio.fail_after(app.timeouts.elicitation):
            answer = await call.elicit(deed.question, Consent)
    except TimeoutError:
        return _no("timed_out", deed, f"Nobody answered within {app.timeouts.elicitation:g} s")
    except (MCPError, ValueError):
        return _no("cancelled", deed, "The host could not ask its user")
    return _judged(deed, answer.action, answer.action == "accept" and answer.data.confirm)


def _judged(deed: Deed, action: str, agreed: bool) -> Verdict:  # noqa: FBT001
    if action == "accept" and agreed:
        return Verdict()
    if action == "cancel":
        return _no("cancelled", deed, "The user closed the question without an answer")
    return _no("declined", deed, "The user said no")


def _no(reason: Reason, deed: Deed, why: str) -> Verdict:
    return Verdict(reason=reason, next_step=f"{why}: nothing was {deed.done}. Call again only if the user wants it.")
