"""Lines and faults shared by pulls and pushes."""

from mcp_ollama.ollama.names import ModelName
from mcp_ollama.simulator.downloads import Download
from mcp_ollama.simulator.exchange import Stream
from mcp_ollama.simulator.faults import Armed, Fail, FakeSuccess, Operation, Point, Rewind, Send, Silence, Stall
from mcp_ollama.simulator.manifests import Layer, Manifest
from mcp_ollama.simulator.simulator import Simulator
from mcp_ollama.simulator.wire import Cut, Refusal


class Done(Exception):  # noqa: N818 - not an error: a fault has ended the stream
    """Premature end of the stream."""


class Transfer:
    """Base of pulls and pushes."""

    operation: Operation = "pull"

    def __init__(self, simulator: Simulator, name: ModelName, stream: Stream, *, insecure: bool = False) -> None:
        self.simulator = simulator
        self.name = name
        self.stream = stream
        self.insecure = insecure
        self.total = 0
        self.before: int = 0
        """Bytes of the finished layers."""
        self.digest = ""
        self.download: Download | None = None
        self._ahead = simulator.faults.ahead(name, self.operation)
        self._line: dict[str, object] = {}

    async def line(self, **fields: object) -> None:
        """Send a line, and store it for faults that repeat it."""
        self._line = fields
        await self.stream.line(**fields)
        self.simulator.notify()

    async def progress(self, verb: str, layer: Layer, completed: int) -> None:
        """Send a progress line; zeros are omitted, as in Go."""
        counts = {key: count for key, count in (("total", layer.size), ("completed", completed)) if count}
        await self.line(status=f"{verb} {layer.digest[7:19]}", digest=layer.digest, **counts)

    async def reach(self, point: Point) -> None:
        """Run the faults of a named point."""
        for armed in [armed for armed in self._ahead if armed.fault.at == point]:
            self._ahead.remove(armed)
            await self.strike(armed)

    async def arrive(self, completed: int) -> None:
        """Run the faults within the given number of bytes."""
        for point in sorted(self._fractions()):
            if int(point * self.total) <= completed:
                await self.reach(point)

    def limit(self) -> int | None:
        """Return the byte at which the next fault stops the transfer."""
        return min((int(point * self.total) for point in self._fractions()), default=None)

    def _fractions(self) -> set[float]:
        return {armed.fault.at for armed in self._ahead if not isinstance(armed.fault.at, str)}

    def expects(self, point: Point) -> bool:
        """Return whether a fault is set at a point."""
        return any(armed.fault.at == point for armed in self._ahead)

    async def strike(self, armed: Armed) -> None:
        """Run a fault."""
        armed.happen()
        match armed.fault:
            case Fail(text=text, status=status, keep=keep):
                self._lose(keep)
                file = self.digest.replace(":", "-")
                raise Refusal(text.replace("{digest}", self.digest).replace("{file}", file), status)
            case Stall(ticks=ticks):
                await self._last(armed, ticks, repeat=True)
            case Silence(ticks=ticks):
                await self._last(armed, ticks, repeat=False)
            case Send(data=data):
                await self.stream.raw(data)
            case Rewind(keep=keep):
                self._lose(keep)
            case FakeSuccess(empty=empty):
                await self._pretend(empty=empty)
            case _:
                raise Cut

    async def _last(self, armed: Armed, ticks: int | None, *, repeat: bool) -> None:
        while not armed.is_released and ticks != 0:
            await self.simulator.pace.wait()
            if repeat:
                await self.line(**self._line)
            ticks = ticks if ticks is None else ticks - 1

    def _lose(self, keep: float) -> None:
        if self.download:
            self.download.completed = int(self.download.completed * keep)
        elif keep < 1:
            self.simulator.library.blobs.pop(self.digest, None)

    async def _pretend(self, *, empty: bool) -> None:
        for status in ("verifying sha256 digest", "writing manifest"):
            await self.line(status=status)
        if empty:
            self.simulator.library.add(self.name, Manifest.empty(), self.simulator.now())
        await self.line(status="success")
        raise Done


async def meet_faults(simulator: Simulator, name: ModelName, stream: Stream, operation: Operation) -> None:
    """Run all faults of an operation without stages."""
    scene = Transfer(simulator, name, stream)
    for armed in simulator.faults.ahead(name, operation):
        await scene.strike(armed)
