"""Weights files at the simulated registry: redirects, ranges, signatures, and heads that can be read."""

from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

from mcp_ollama.models.layers import read_shape
from mcp_ollama.models.memory import estimate_memory
from mcp_ollama.ollama.errors import OllamaResponseError, OllamaStatusError
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.simulator import RunningSimulator, Simulator, demo_simulator
from mcp_ollama.simulator.manifests import Layer
from mcp_ollama.simulator.weights_files import write_head
from mcp_ollama.sources.gguf import NeedMoreData, read_metadata
from mcp_ollama.sources.weights_head import WeightsHeads
from tests.simulator.conftest import Client
from tests.support.evidence import METADATA

NAME = "user/m:v1"


@pytest.fixture
def weights(simulator: Simulator) -> Layer:
    info = METADATA["gemma4:e4b"] | {"general.size_label": "x", "general.parameter_count": 2**33}
    return simulator.registry.publish(NAME, size_bytes=3_000_000, model_info=info).layers[0]


@pytest.fixture
async def heads(running: RunningSimulator) -> AsyncGenerator[WeightsHeads]:
    host = running.base_url.removeprefix("http://")
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:
        yield WeightsHeads(client, named_hosts=[host])


async def read(heads: WeightsHeads, running: RunningSimulator, layer: Layer) -> Any:
    url = f"{running.base_url}/v2/user/m/blobs/{layer.digest}"
    return await heads.read(url, digest=layer.digest, size_bytes=layer.size)


@pytest.mark.parametrize("has_ranges", [True, False])
@pytest.mark.parametrize("redirects", [True, False])
async def test_head_of_a_published_model_is_read(
    simulator: Simulator,
    running: RunningSimulator,
    heads: WeightsHeads,
    weights: Layer,
    has_ranges: bool,
    redirects: bool,
) -> None:
    simulator.registry.delivery.has_ranges = has_ranges
    simulator.registry.delivery.redirects = redirects

    metadata = await read(heads, running, weights)

    assert metadata["gemma4.attention.key_length_swa"] == 256
    assert [seen.path.split("/")[1] for seen in simulator.requests] == ["v2", "content"][: 1 + redirects]


async def test_expired_signature_is_an_error(
    simulator: Simulator, running: RunningSimulator, heads: WeightsHeads, weights: Layer
) -> None:
    simulator.registry.delivery.is_expired = True

    with pytest.raises(OllamaStatusError, match="answers 403"):
        await read(heads, running, weights)


async def test_signature_that_expires_between_two_requests_is_renewed(
    simulator: Simulator, running: RunningSimulator
) -> None:
    texts = {f"general.text{number}": "x" * 4000 for number in range(30)}
    layer = simulator.registry.publish(NAME, size_bytes=3_000_000, model_info=texts | METADATA["qwen3:8b"]).layers[0]

    async def expire_once(_: httpx.Response) -> None:
        if len(simulator.asked(f"/content/{layer.digest}")) == 1:
            simulator.registry.delivery.expire()

    host = running.base_url.removeprefix("http://")
    async with httpx.AsyncClient(trust_env=False, verify=False, event_hooks={"response": [expire_once]}) as client:
        metadata = await read(WeightsHeads(client, named_hosts=[host]), running, layer)

    assert metadata["qwen3.block_count"] == 36
    assert [seen.path.split("/")[1] for seen in simulator.requests] == ["v2", "content", "content", "v2", "content"]


async def test_redirect_to_a_private_address_is_refused(
    simulator: Simulator, running: RunningSimulator, weights: Layer
) -> None:
    simulator.registry.delivery.content_url = "https://10.0.0.7"
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:
        with pytest.raises(OllamaResponseError, match="private network"):
            await read(WeightsHeads(client), running, weights)


def test_content_needs_its_signature(client: Client, weights: Layer) -> None:
    assert client.get(f"/content/{weights.digest}").status_code == 403
    assert client.get("/content/sha256:1?X-Amz-Signature=1").status_code == 403


def test_range_behind_the_end_is_not_satisfiable(simulator: Simulator, client: Client, weights: Layer) -> None:
    simulator.registry.delivery.redirects = False

    answer = client.get(f"/v2/user/m/blobs/{weights.digest}", headers={"range": "bytes=3000000-3000001"})

    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */3000000")


def test_whole_file_has_its_size(simulator: Simulator, client: Client, weights: Layer) -> None:
    simulator.registry.delivery.redirects = False

    assert len(client.get(f"/v2/user/m/blobs/{weights.digest}").content) == weights.size


@pytest.mark.parametrize("model", sorted(METADATA))
def test_written_head_is_read_again(model: str) -> None:
    metadata: dict[str, Any] = {**METADATA[model], "empty": []}

    head = write_head(metadata)

    assert {key: value for key, value in read_metadata(head).items() if not _is_float(value)} == {
        key: value for key, value in metadata.items() if not _is_float(value)
    }
    with pytest.raises(NeedMoreData):
        read_metadata(head[:-1])


def _is_float(value: Any) -> bool:
    return isinstance(value[0] if isinstance(value, list) and value else value, float)


@pytest.mark.parametrize(("name", "kv_mib"), [("llama3.2:3b", 448), ("qwen3:8b", 576), ("all-minilm", 0)])
def test_demo_models_have_plausible_heads(name: str, kv_mib: int) -> None:
    parsed = ModelName.parse(name)
    manifest = demo_simulator().registry.manifests[parsed.namespace, parsed.model, parsed.tag]
    assert manifest.model
    assert manifest.model.weights

    metadata = read_metadata(write_head(manifest.model.weights.info))

    estimate = estimate_memory(read_shape(metadata), weights_bytes=0, context_length=4096)
    assert estimate.kv_bytes == kv_mib * 2**20
