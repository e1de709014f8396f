"""Tool calls: the one place that chooses the application of a call, limits its time and translates its errors."""

import logging
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
from mcp.server.context import ServerRequestContext
from mcp.types import CallToolRequestParams, CallToolResult, InputRequiredResult

from mcp_ollama.models.all_transfers import explain_missing
from mcp_ollama.models.hosts import ALL_HOSTS, Hosts, ask_each
from mcp_ollama.models.lookup import find_model, nearest_names
from mcp_ollama.ollama.errors import InvalidModelName, ModelNotFoundError, OllamaError
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.sanitizing import sanitize
from mcp_ollama.server.arguments import InvalidArgumentsError
from mcp_ollama.server.consent import Consent, InputRequiredError
from mcp_ollama.server.host_answers import adapt, join_answers, label_answer
from mcp_ollama.server.host_argument import HOST, HostArgument
from mcp_ollama.server.limits import RequestLimits
from mcp_ollama.server.results import (
    EXPECTED_ERRORS,
    LastAnswers,
    failure,
    failure_from,
    has_pages,
    success_of,
    text_of,
    timeout_sentence,
)
from mcp_ollama.server.subscriptions import Subscriptions
from mcp_ollama.server.tokens import ConfirmationTokens
from mcp_ollama.server.tool_registry import RegisteredTool, ToolRegistry
from mcp_ollama.tools.spec import AskConsent, Call, ConsentResult, DestructiveAction, ReportProgress, ToolSpec

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServerState:
    """The state of a running server, shared by its clients.

    Args:
        hosts: The applications behind all requests.
        tokens: The confirmation tokens of destructive actions.
        slots: One for each request that may work at the same time.
        subscriptions: The clients that changes are sent to.
    """

    hosts: Hosts
    tokens: ConfirmationTokens
    slots: anyio.Semaphore
    subscriptions: Subscriptions


Context = ServerRequestContext[ServerState, Any]


@dataclass(frozen=True, slots=True)
class ToolCalls:
    """Answers `tools/call`.

    Args:
        tools: The tools.
        argument: The argument that names a host.
    """

    tools: ToolRegistry
    argument: HostArgument
    last_answers: LastAnswers = field(default_factory=LastAnswers)

    async def handle(self, ctx: Context, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
        """Run a tool and return its result, an error result, or a question for the user.

        Raises:
            MCPError: The tool is unknown.
        """
        given = params.arguments or {}
        tool = self.tools.find(params.name, self.argument.requested(given))
        if isinstance(tool, CallToolResult):
            return tool
        # Among named hosts none, until the arguments have named one: no setting of a host is to blame before.
        host = ""
        try:
            host, arguments = self.argument.split(tool.spec, given)
            result = await self._call(tool, ctx, params, host, tool.parameters.validate(arguments))
        except InputRequiredError as question:
            return question.request
        except InvalidArgumentsError as error:
            result = failure(str(error))
        except ModelNotFoundError as error:
            result = await self._missing(ctx.lifespan_context.hosts, host, error)
        except InvalidModelName as error:
            result = failure_from(error, await self._installed_near(ctx.lifespan_context.hosts, host, error.nearest))
        except EXPECTED_ERRORS as error:
            result = failure_from(error)
        except Exception:
            logger.exception("Unexpected exception in tool %s", params.name)
            result = failure(f"Error executing tool {params.name}")
        if not result.is_error:
            return result
        return self.tools.with_disabled_tools(self._adapt(result, params.name, host), host)

    async def _call(
        self,
        tool: RegisteredTool,
        ctx: Context,
        params: CallToolRequestParams,
        host: str,
        arguments: Mapping[str, Any],
    ) -> CallToolResult:
        """Run a tool on one host within its time limit, or on all."""
        if host == ALL_HOSTS:
            return await self._call_all(tool.spec, ctx, params, arguments)
        if refusal := self.tools.refusal(tool.spec.name, host):
            return refusal
        state = ctx.lifespan_context
        with anyio.move_on_after(state.hosts.timeouts.call) as scope:
            limits = RequestLimits(state.slots, scope)
            call = await self._build_call(ctx, params, host, limits)
            async with limits.working():
                answer = self.tools.complete_next_step(await tool.spec.run(call, **arguments), host)
            named = self.argument.named
            if not named.default:
                return self.last_answers.success(answer, arguments)
            return success_of(label_answer(answer, named, host), arguments, has_pages=has_pages(answer))
        return failure(f"{timeout_sentence(state.hosts.timeouts.call)}, then retry.")

    async def _call_all(
        self, spec: ToolSpec, ctx: Context, params: CallToolRequestParams, arguments: Mapping[str, Any]
    ) -> CallToolResult:
        """Ask every host side by side, each within its own time limit."""
        state = ctx.lifespan_context
        limits = RequestLimits(state.slots, anyio.CancelScope())
        calls = {host: await self._build_call(ctx, params, host, limits) for host in self.argument.named.hosts}
        async with limits.working():
            if spec.across is None:
                answers = await ask_each(calls, lambda call: spec.run(call, **arguments), state.hosts.timeouts.call)
            else:
                answers = await spec.across(calls, **arguments)
        each = {host: self.tools.complete_next_step(answer, host) for host, answer in answers.answers.items()}
        return success_of(
            join_answers(spec, self.argument.named, replace(answers, answers=each)),
            arguments,
            has_pages=any(map(has_pages, answers.answers.values())),
        )

    async def _build_call(self, ctx: Context, params: CallToolRequestParams, host: str, limits: RequestLimits) -> Call:
        """Build the call of a handler with the application of its host; progress and questions name the host."""
        state = ctx.lifespan_context
        app = await state.hosts.app(host)
        consent = Consent(ctx, params, app, state.tokens, limits)
        if not self.argument.named.are_several:
            return Call(app, ctx.session.report_progress, consent.ask, limits.waiting)
        report, ask = _naming_progress(ctx.session.report_progress, host), _naming_consent(consent.ask, host)
        return Call(app, report, ask, limits.waiting, self.argument.named.hosts)

    def _adapt(self, error: CallToolResult, called: str, host: str) -> CallToolResult:
        """Return an error result whose advice is about its host, where hosts are named."""
        named = self.argument.named
        if not named.default:
            return error
        text = named.adapt_advice(text_of(error))
        is_other = host in named.hosts and host != named.default
        # Without `host`, a tool that is recommended would read the default host.
        if is_other and f"`{HOST}`" not in text and self.tools.names_another(text, called):
            text += f' Pass {HOST}="{host}" there.'
        return failure(text, adapt(error.meta, named))

    async def _installed_near(self, hosts: Hosts, host: str, name: str) -> str:
        """Return a sentence with the installed names next to one; empty when there is none, or it is unknown."""
        if not name or host == ALL_HOSTS:
            return ""
        near: list[str] = []
        with anyio.move_on_after(hosts.timeouts.hint), suppress(OllamaError):
            app = await hosts.app(host)
            near = nearest_names(ModelName.for_pull(name), await app.ollama.list_models())
        return f"The nearest installed: {', '.join(sanitize(one, 100) for one in near)}." if near else ""

    async def _missing(self, hosts: Hosts, host: str, error: ModelNotFoundError) -> CallToolResult:
        """Return the error result for a model that a host lacks, with its pull there and the hosts that have it."""
        if host != ALL_HOSTS:
            app = await hosts.app(host)
            error = await explain_missing(app.transfers, error)
        return failure_from(error, await self._elsewhere(hosts, host, error.model))

    async def _elsewhere(self, hosts: Hosts, host: str, model: str) -> str:
        """Return a sentence with the other hosts that have a model (`GET /api/tags`); empty when none is known to."""
        others = {name: name for name in self.argument.named.hosts if name != host}
        if not others or host == ALL_HOSTS:
            return ""

        async def has_model(other: str) -> bool:
            app = await hosts.app(other)
            return find_model(ModelName.for_pull(model), await app.ollama.list_models()) is not None

        found = await ask_each(others, has_model, hosts.timeouts.hint)
        names = [name for name, has in found.answers.items() if has]
        return f"It is on {' and '.join(names)}, not on {host}: pass that as `host`." if names else ""


def _naming_progress(report: ReportProgress, host: str) -> ReportProgress:
    async def report_named(progress: float, total: float | None, message: str) -> None:
        await report(progress, total, f"{host}: {message}")

    return report_named


def _naming_consent(ask: AskConsent, host: str) -> AskConsent:
    """Return the same with the host in the question, and in the identity of the target: a token holds for one host."""

    def ask_named(action: DestructiveAction, token: str) -> AbstractAsyncContextManager[ConsentResult]:
        named = replace(action, description=f"{action.description}, on the host {host}", target=(host, *action.target))
        return ask(named, token)

    return ask_named
