"""The folder in which this program keeps what has to survive its process."""

import errno
import logging
import os
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
        return (Path(text) if text else _platform_dir()).expanduser().absolute()
    except RuntimeError as error:
        logger.warning("Downloads are not written down: %s. Set MCP_OLLAMA_STATE_DIR to an absolute path.", error)
        return None


def create_state_dir(folder: Path) -> None:
    """Create the state folder with mode 0700, unless it exists.

    Raises:
        NotADirectoryError: Something else has its name.
        OSError: It cannot be created.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder) from error


def _platform_dir() -> Path:
    # Imported here, since the start of the server needs no folder.
    from platformdirs import user_state_path  # noqa: PLC0415

    return user_state_path("mcp-ollama-manager", appauthor=False)
