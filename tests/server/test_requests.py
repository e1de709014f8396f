"""The number of requests to Ollama that a call costs."""

import anyio

from mcp_ollama.simulator import Simulator
from tests.conftest import Connect


def requests(simulator: Simulator) -> int:
    return len(simulator.asked("/api/tags") + simulator.asked("/api/ps") + simulator.asked("/api/show"))


async def test_list_of_known_models_costs_two_requests(simulator: Simulator, connect: Connect) -> None:
    for number in range(12):
        simulator.install(f"m{number}")
    async with connect() as host:
        before = await host("list_models")
        count = requests(simulator)
        assert await host("list_models") == before
        assert requests(simulator) - count == 2
        count = requests(simulator)
        await host("open_dashboard")
        assert requests(simulator) - count == 2


async def test_lists_at_once_read_each_new_model_once(simulator: Simulator, connect: Connect) -> None:
    for number in range(12):
        simulator.install(f"m{number}")
    async with connect() as host:
        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                for _ in range(20):
                    group.start_soon(host, "list_models")
        assert len(simulator.asked("/api/show")) == 12


async def test_details_of_a_known_model_cost_two_requests(simulator: Simulator, connect: Connect) -> None:
    simulator.install("a")
    simulator.install("cloud", remote_host="https://ollama.com:443", remote_model="cloud")
    async with connect() as host:
        before = await host("show_model", model="a")
        count = requests(simulator)
        assert await host("show_model", model="a") == before
        assert requests(simulator) - count == 2
        simulator.install("a", size_bytes=5_000_000)
        after = await host("show_model", model="a")
        assert after["digest"] != before["digest"]
        asked = len(simulator.asked("/api/show"))
        for _ in range(2):
            await host("show_model", model="cloud")
        assert len(simulator.asked("/api/show")) - asked == 2


async def test_health_reads_eight_new_models_in_one_call(simulator: Simulator, connect: Connect) -> None:
    for number in range(20):
        simulator.install(f"m{number}")
    async with connect() as host:
        for expected in (8, 16, 20, 20):
            await host("health")
            assert len(simulator.asked("/api/show")) == expected
