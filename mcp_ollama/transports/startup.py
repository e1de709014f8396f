"""Measures that shorten the start and the exit of a server process; each changes this process only."""

import gc


def pause_gc() -> None:
    """Stop garbage collection until `freeze`: half a million objects are created by imports, and all of them stay."""
    gc.disable()


def defer_model_builds() -> None:
    """Build each pydantic model when it is first used: the SDK has hundreds, and a session uses a few dozen."""
    from pydantic import BaseModel  # noqa: PLC0415 - `--help` must not wait for it

    BaseModel.model_config["defer_build"] = True


def freeze() -> None:
    """Exclude all imported modules from garbage collection, and turn it on again."""
    gc.freeze()
    gc.enable()
