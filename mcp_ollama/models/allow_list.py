"""The registries that models may come from and go to."""

from mcp_ollama.models.errors import RefusedError
from mcp_ollama.ollama.names import REGISTRIES, ModelName
from mcp_ollama.settings import OllamaSettings


def parse_allowed_name(settings: OllamaSettings, model: str, *, insecure: bool) -> ModelName:
    """Parse the name of a model to transfer.

    An agent may have been talked into a foreign registry, or into plain http to a known one.

    Raises:
        InvalidModelName: Ollama would refuse the name.
        RefusedError: The registry, or plain http to it, is not allowed.
    """
    name = ModelName.for_pull(model)
    if not settings.allows_registry(name.host):
        allowed = ", ".join((*REGISTRIES, *settings.registry_hosts))
        raise RefusedError(
            f"{name} belongs to the registry {name.host}, which is not among the allowed ones ({allowed}).",
            "If the user trusts that host, they can add it to MCP_OLLAMA_REGISTRIES and restart this server.",
        )
    if insecure and name.host.lower() not in settings.registry_hosts:
        raise RefusedError(
            f"Plain http to {name.host} is not allowed.",
            "Call again without insecure; only hosts named in MCP_OLLAMA_REGISTRIES may be reached so.",
        )
    return name
