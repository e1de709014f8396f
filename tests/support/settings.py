"""The settings as a page or a registry entry lists them."""

from mcp_ollama.settings import OllamaSettings


def variables() -> dict[str, str]:
    """Return the variable of every setting, with its default as one writes it."""
    fields = OllamaSettings.model_fields
    defaults = OllamaSettings().model_dump()
    return {
        str(field.validation_alias or f"MCP_OLLAMA_{name.upper()}"): written(defaults[name])
        for name, field in fields.items()
    }


def written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if value else "none"
