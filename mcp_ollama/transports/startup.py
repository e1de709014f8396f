"""Measures that shorten the start and the exit of a server process; each changes this process only.

Measured with 20 interleaved starts each up to `tools/list`, CPython 3.11, mcp 2.3: 0.96 s of CPU with all of them.
"""

import gc
import os


def pause_gc() -> None:
    """Stop garbage collection until `freeze`; saves 8 % of the CPU time of a start.

    Imports create half a million objects, and all of them stay.
    """
    gc.disable()


def defer_model_builds() -> None:
    """Build each pydantic model when it is first used; saves 10 % of the CPU time of a start.

    The SDK has hundreds, three for each message of the protocol, and a session uses a few dozen.
    """
    from pydantic import BaseModel  # noqa: PLC0415 - stdin and stdout are claimed before anything heavy is imported

    BaseModel.model_config["defer_build"] = True


def skip_pydantic_plugins() -> None:
    """Do not look for pydantic's plugins in all installed packages; saves 3 % of the CPU time of a start.

    `PYDANTIC_DISABLE_PLUGINS`, where it is set, decides.
    """
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


def freeze() -> None:
    """Exclude all imported modules from garbage collection, and turn it on again; saves 0.3 s at the exit."""
    gc.freeze()
    gc.enable()
