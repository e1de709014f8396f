"""Memory of the machine that Ollama runs on: seen from here, or stated by the operator."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

import anyio
from anyio import to_thread

from mcp_ollama.models.concurrency import side_by_side
from mcp_ollama.models.hardware import PROBE_SECONDS, Gpu, Ram, System, read_gpus, read_ram
from mcp_ollama.models.sizes import parse_size

Origin = Literal["machine", "machine_assumed", "operator"]
"""How the memory is known: Ollama is proved to run here, is assumed to, or the operator states it."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory that models can use.

    Attributes:
        gpus: The GPUs; empty when models run on the CPU; None when they are unknown.
        ram: The RAM; None when it is unknown.
        origin: How it is known.
    """

    gpus: tuple[Gpu, ...] | None
    ram: Ram | None
    origin: Origin


def parse_memory(text: str) -> Memory:
    """Parse the operator's statement of memory, which the settings have checked.

    `24GB`, `24GB,24GB`, `gpu:24GB,24GB ram:64GB` and `ram:32GB` are statements; GB is 1024³ bytes.

    Raises:
        ValueError: A size is malformed.
    """
    gpu_sizes, _, ram_size = text.lower().partition("ram:")
    sizes = [parse_size(one, binary=True) for one in gpu_sizes.removeprefix("gpu:").split(",") if one.strip()]
    ram = parse_size(ram_size, binary=True) if ram_size else None
    # `gpu:0GB` states that there is none.
    gpus = tuple(Gpu(f"GPU {number}", size, size) for number, size in enumerate(filter(None, sizes)))
    return Memory(gpus, Ram(ram, ram) if ram else None, "operator")


async def read_memory(origin: Origin = "machine", system: System | None = None) -> Memory:
    """Read the memory of this machine; each part within 2 s, and unknown when it cannot be read.

    Args:
        origin: How it is known that Ollama runs here.
        system: Where the operating system is looked at.
    """
    system = system or System()
    gpus, ram = await side_by_side(
        lambda: run_probe(lambda: read_gpus(system)), lambda: run_probe(lambda: read_ram(system))
    )
    return Memory(None if gpus is None else tuple(gpus), ram, origin)


async def run_probe(probe: Callable[[], T]) -> T | None:
    """Run a blocking look at this machine in a thread; None when it fails or takes over 2 s.

    A sleeping GPU or a dead network drive can block a plain read for minutes; its thread is then abandoned.
    """
    try:
        with anyio.fail_after(PROBE_SECONDS):
            return await to_thread.run_sync(probe, abandon_on_cancel=True)
    except (OSError, ValueError, LookupError):
        return None
