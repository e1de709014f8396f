"""The folder in which this program keeps what has to survive its process."""

import logging
from pathlib import Path

logger = logging.getLogger(__name__)


def state_dir(setting: str | None = None) -> Path | None:
    """Return the folder that `MCP_OLLAMA_STATE_DIR` names, else the platform's; None when there is none.

    Nothing is created here. On Linux the default is `~/.local/state/mcp-ollama-manager` (XDG base directories).

    Args:
        setting: A path, `off`, or nothing.
    """
    text = (setting or "").strip()
    if text.lower() == "off":
        return None
    try:
        return Path(text).expanduser().absolute() if text else _platform_dir()
    except RuntimeError as error:
        logger.warning("Downloads are not written down: %s. Set MCP_OLLAMA_STATE_DIR to an absolute path.", error)
        return None


def _platform_dir() -> Path:
    # Imported here, since the start of the server needs no folder.
    from platformdirs import user_state_path  # noqa: PLC0415

    return user_state_path("mcp-ollama-manager", appauthor=False)
