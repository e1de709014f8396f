"""Cost of a pull: a flood of progress lines against a bare loop, other calls meanwhile, and a pull at Ollama's pace.

Run it alone: `python -m bench.pulls [LINES]`. Ratios within one run count; the machine decides on the rest.
"""

import gc
import http.client
import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from urllib.parse import urlsplit

import anyio
from mcp import Client

from bench.backend import answer, serve_forever
from mcp_ollama import OllamaSettings, build_server
from mcp_ollama.sources.registry import Registry

LINES = 1_000_000
MODEL_BYTES = LINES * 32_768
MODELS = 20
TICK_SECONDS = 0.06
TICKS = 300
HEAD = b'{"status":"pulling model","digest":"sha256:model","total":%d,"completed":%d}\n'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
NAME = "flood:latest"


def chunk(data: bytes) -> bytes:
    """Frame a piece of a body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def flood(lines: int, lines_per_chunk: int) -> Iterator[bytes]:
    """Return the body of a safetensors pull in pieces of some 64 KB."""
    yield chunk(b'{"status":"pulling manifest"}\n')
    batch = 500
    for start in range(0, lines, batch):
        numbered = [HEAD % (MODEL_BYTES, number * 32_768) for number in range(start + 1, min(start + batch, lines) + 1)]
        joined = [b"".join(numbered[i : i + lines_per_chunk]) for i in range(0, len(numbered), lines_per_chunk)]
        yield b"".join(map(chunk, joined))
    yield chunk(b'{"status":"writing manifest"}\n') + chunk(b'{"status":"success"}\n') + chunk(b"")


def ticking(ticks: int) -> Iterator[bytes]:
    """Return the body of a pull at the real server's pace: a line every 60 ms."""
    yield chunk(b'{"status":"pulling manifest"}\n')
    for number in range(1, ticks + 1):
        time.sleep(TICK_SECONDS)
        yield chunk(HEAD % (ticks * 6_000_000, number * 6_000_000))
    yield chunk(b'{"status":"success"}\n') + chunk(b"")


def tags() -> bytes:
    """Return the answer of `/api/tags`."""
    names = [NAME, *(f"model{number}:latest" for number in range(MODELS - 1))]
    details = {"family": "llama", "families": ["llama"], "parameter_size": "8B", "quantization_level": "Q4_K_M"}
    rows: list[dict[str, object]] = [
        {
            "name": name,
            "size": MODEL_BYTES,
            "digest": f"{number:064x}",
            "details": details,
            "capabilities": ["completion"],
        }
        for number, name in enumerate(names)
    ]
    return json.dumps({"models": rows}).encode()


def stand_in(pipe: Connection, body: Callable[[], Iterator[bytes]]) -> None:
    """Serve the few answers of Ollama that are needed here, until killed."""
    known = {b"/api/tags": tags(), b"/api/ps": b'{"models":[]}', b"/api/show": b'{"capabilities":["completion"]}'}

    def reply(path: bytes) -> Iterator[bytes]:
        if path == b"/api/pull":
            yield ANSWER
            yield from body()
        else:
            yield answer(known[path]) if path in known else answer(b"", b"404 Not Found")

    serve_forever(reply, pipe.send)


@contextmanager
def served(body: Callable[[], Iterator[bytes]]) -> Generator[str]:
    """Run the stand-in, and yield its address."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=stand_in, args=(theirs, body), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.kill()
        process.join()


def bare_loop(base_url: str) -> tuple[float, float]:
    """Read the flood with http.client, and parse each line: CPU and wall seconds."""
    connection = http.client.HTTPConnection(urlsplit(base_url).netloc)
    cpu, wall = time.process_time(), time.perf_counter()
    connection.request("POST", "/api/pull", b'{"model":"flood"}')
    response = connection.getresponse()
    rest = b""
    while data := response.read1(65_536):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            json.loads(line)
    return time.process_time() - cpu, time.perf_counter() - wall


async def idle_latencies(base_url: str) -> list[float]:
    """Return the latencies of list_models while nothing is pulled."""
    latencies: list[float] = []
    async with Client(build_server(OllamaSettings(base_url=base_url))) as client:
        await client.call_tool("list_models", {})
        gc.collect()
        gc.freeze()
        for _ in range(50):
            began = time.perf_counter()
            await client.call_tool("list_models", {})
            latencies.append(time.perf_counter() - began)
            await anyio.sleep(0.02)
    return latencies


def milliseconds(latencies: list[float], part: float) -> float:
    """Return a percentile."""
    return sorted(latencies)[int(len(latencies) * part)] * 1000


async def pull(base_url: str, *, other_calls: bool) -> tuple[float, float, list[float]]:
    """Pull through our server: CPU and wall seconds, and the latencies of list_models meanwhile."""
    settings = OllamaSettings(base_url=base_url)
    server = build_server(settings, registry=Registry((), {"registry.ollama.ai": base_url}))
    latencies: list[float] = []
    async with Client(server) as client:
        await client.call_tool("list_models", {})
        gc.collect()
        gc.freeze()
        done = anyio.Event()

        async def look() -> None:
            while not done.is_set():
                began = time.perf_counter()
                await client.call_tool("list_models", {})
                latencies.append(time.perf_counter() - began)
                with anyio.move_on_after(0.05):
                    await done.wait()

        cpu, wall = time.process_time(), time.perf_counter()
        async with anyio.create_task_group() as group:
            if other_calls:
                group.start_soon(look)
            result = await client.call_tool("pull_model", {"model": NAME, "wait_seconds": 3600})
            assert not result.is_error, result.content
            done.set()
    return time.process_time() - cpu, time.perf_counter() - wall, latencies


def peak_megabytes() -> float:
    """Return the most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_own_process(work: Callable[[], object]) -> object:
    """Run something where no earlier measurement has left anything."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def run() -> None:
        theirs.send(work())

    process = context.Process(target=run)
    process.start()
    result = ours.recv()
    process.join()
    return result


def measure_ours(base_url: str) -> dict[str, float]:
    """Pull twice: alone, and with other calls; then make those calls with nothing else going on."""
    cpu, _, _ = anyio.run(lambda: pull(base_url, other_calls=False))
    before = peak_megabytes()
    _, _, busy = anyio.run(lambda: pull(base_url, other_calls=True))
    growth = peak_megabytes() - before
    idle = anyio.run(idle_latencies, base_url)
    return {
        "cpu": cpu,
        "growth": growth,
        "p50": milliseconds(busy, 0.5),
        "p99": milliseconds(busy, 0.99),
        "idle p50": milliseconds(idle, 0.5),
        "idle p99": milliseconds(idle, 0.99),
    }


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Print the table."""
    lines = int(sys.argv[1]) if len(sys.argv) > 1 else LINES
    say(f"{lines:,} progress lines at full speed; in a second run, and then idle, a list_models every 50 ms")
    say("lines per chunk | bare loop |     ours | ratio | memory  | list p50, p99 in the flood | list p50, p99 idle")
    for lines_per_chunk in (1, 500):
        with served(lambda per_chunk=lines_per_chunk: flood(lines, per_chunk)) as base_url:
            bare, _ = bare_loop(base_url)
            ours = in_own_process(lambda url=base_url: measure_ours(url))
        assert isinstance(ours, dict)
        say(
            f"{lines_per_chunk:>15} | {bare / lines * 1e6:>6.1f} µs | {ours['cpu'] / lines * 1e6:>5.1f} µs"
            f" | {ours['cpu'] / bare:>5.2f} | {ours['growth']:>4.1f} MB"
            f" | {ours['p50']:>12.1f}, {ours['p99']:>6.1f} ms   "
            f" | {ours['idle p50']:>6.1f}, {ours['idle p99']:>6.1f} ms"
        )
    with served(lambda: ticking(TICKS)) as base_url:
        cpu, wall, _ = anyio.run(lambda: pull(base_url, other_calls=False))
    say(f"a line every 60 ms for {wall:.0f} s: {100 * cpu / wall:.2f} % of a core")


if __name__ == "__main__":
    main()
