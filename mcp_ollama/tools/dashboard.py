"""The dashboard, for clients that show pages of a server (MCP Apps)."""

from mcp_ollama.models.overview import Overview, OverviewHost, read_overview
from mcp_ollama.tools.spec import Call, ToolSpec

DASHBOARD_URI = "ui://ollama/dashboard"

_ACTIONS = ("load_model", "unload_model", "pull_model", "cancel_pull", "delete_model")
_ALLOWED = {"full": _ACTIONS, "no-delete": _ACTIONS[:-1], "read-only": ()}


async def open_dashboard(call: Call) -> Overview:
    """Show the user a dashboard of models, memory and downloads; returns a short overview.

    To answer a question yourself: list_models, list_pulls, health.
    """
    hosts = [
        OverviewHost(host=name, base_url=settings.base_url, actions=list(_ALLOWED[settings.access]))
        for name, settings in call.hosts.items()
    ]
    return await read_overview(call.app, _ALLOWED[call.app.settings.access], hosts)


TOOLS = (
    ToolSpec(
        run=open_dashboard,
        title="Open the dashboard",
        read_only=True,
        idempotent=True,
        search_hint="dashboard panel overview of models disk memory downloads",
        page=DASHBOARD_URI,
    ),
)
