"""The application: everything that lives as long as the server does, without any protocol."""

import math
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from mcp_ollama.models.all_transfers import resume_transfers
from mcp_ollama.models.attempts import Attempts
from mcp_ollama.models.catalog import Catalog
from mcp_ollama.models.events import Changes, Publish
from mcp_ollama.models.holds import Holds
from mcp_ollama.models.loading import Loads
from mcp_ollama.models.locality import Locality
from mcp_ollama.models.persistence.shared_state import SharedState, open_shared_state
from mcp_ollama.models.search.clients import SearchClients
from mcp_ollama.models.transfer_times import TransferTimes
from mcp_ollama.models.transfers import Transfers
from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.ollama.names import REGISTRIES
from mcp_ollama.settings import OllamaSettings
from mcp_ollama.sources.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts(TransferTimes):
    """Limits of time of the application, in seconds, beside those of a transfer.

    Args:
        call: Limit for a tool call that does not wait for a transfer or a load; clients time out after 60.
        hint: What an error looks up for its sentence, such as the other hosts that have a model.
        check: One request of `health`; four of them and `health_extra` stay under `call`.
        health_extra: All further checks of `health`, side by side.
        unload: Until a model that is to be deleted has left memory.
        cancel: Until a cancelled transfer has ended.
        confirmation_ttl: Lifetime of a confirmation token.
        elicitation: Limit for the user to answer a question; not part of `call`.
        progress_interval: Between two progress notifications while bytes move (four a second at most).
        progress_keepalive: The same while none move; some clients give up on a call that reports nothing.
        load: Until a model is in memory; Ollama gives up sooner.
        updates: All registry lookups of `check_updates` together.
        memory: The head of a weights file, and beside it the memory of the server.
        measure_output: Output of `measure_model`.
    """

    call: float = 40
    hint: float = 2
    check: float = 7
    health_extra: float = 5
    unload: float = 10
    cancel: float = 35
    confirmation_ttl: float = 600
    elicitation: float = 120
    progress_interval: float = 0.34
    progress_keepalive: float = 5
    load: float = 3600
    updates: float = 35
    memory: float = 8
    measure_output: float = 10


@dataclass(frozen=True, slots=True)
class App:
    """One Ollama server with its settings, and the work in progress on it."""

    settings: OllamaSettings
    timeouts: Timeouts
    ollama: OllamaClient
    registry: Registry
    catalog: Catalog
    shared: SharedState
    transfers: Transfers
    loads: Loads
    changes: Changes
    holds: Holds
    search_clients: SearchClients
    locality: Locality


def build_client(settings: OllamaSettings, *, base_url: str | None = None, limit: float = math.inf) -> OllamaClient:
    """Build a client of the server of these settings, with its key and headers.

    Args:
        settings: Address, timeout, key and headers.
        base_url: Another address of the same server.
        limit: Seconds for one request, where the settings allow more.
    """
    return OllamaClient(
        base_url or settings.base_url,
        min(settings.timeout, limit),
        api_key=settings.plain_api_key(),
        headers=settings.plain_headers(),
        ca_file=settings.extra_certificates(),
    )


def build_registry(settings: OllamaSettings) -> Registry:
    """Build a client of the registries that these settings allow."""
    return Registry((*REGISTRIES, *settings.registry_hosts), settings.plain_http_registries)


@asynccontextmanager
async def open_app(
    settings: OllamaSettings,
    registry: Registry | None = None,
    timeouts: Timeouts | None = None,
    publish: Publish | None = None,
    *,
    shared: SharedState | None = None,
    host: str | None = None,
) -> AsyncGenerator[App]:
    """Start the application: the first request opens the first connection, the end closes all.

    Args:
        settings: The operator's settings.
        registry: The client of model registries.
        timeouts: Limits of time.
        publish: Sends changes to the subscribers.
        shared: The journal and turns, where several applications of a process have them together.
        host: The name of the server in the settings, when there are several.
    """
    ollama = build_client(settings)
    registry = registry or build_registry(settings)
    timeouts = timeouts or Timeouts()
    times = replace(timeouts, stall=settings.stall_seconds, outage=settings.outage_seconds)
    changes = Changes(publish)
    async with AsyncExitStack() as stack:
        # Closed last: what the journal still holds then is what the next process finds interrupted.
        shared = shared or await stack.enter_async_context(open_shared_state(settings.state_dir))
        stack.push_async_callback(registry.aclose)
        stack.push_async_callback(ollama.aclose)
        holds = Holds()
        attempts = Attempts(ollama, registry, shared.journal, times)
        transfers = Transfers(attempts, turns=shared.turns, holds=holds, host=host, changed=changes.transfer_changed)
        loads = Loads(ollama, longest=timeouts.load, changed=changes.running_changed, holds=holds)
        search_clients = SearchClients(settings, ollama, registry)
        stack.push_async_callback(search_clients.aclose)
        await stack.enter_async_context(transfers.running())
        await stack.enter_async_context(loads.running())
        if settings.resume:
            await resume_transfers(transfers, settings)
        yield App(
            settings=settings,
            timeouts=timeouts,
            ollama=ollama,
            registry=registry,
            catalog=Catalog(ollama),
            shared=shared,
            transfers=transfers,
            loads=loads,
            changes=changes,
            holds=holds,
            search_clients=search_clients,
            locality=Locality(settings.base_url),
        )
