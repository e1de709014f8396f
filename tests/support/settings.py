"""The settings as a page or a registry entry lists them."""

from mcp_ollama.settings import OllamaSettings, variable_of


def variables() -> dict[str, str]:
    """Return the variable of every setting, with its default as one writes it."""
    return {variable_of(name): written(default) for name, default in OllamaSettings().model_dump().items()}


def written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if value else "none"
