"""Hugging Face as the simulator plays it: the shapes, statuses and sentences of the recorded answers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from mcp_ollama.simulator import (
    BAD_GATEWAY,
    RATE_LIMITED,
    RATE_LIMITED_WITHOUT_TIME,
    SIGN_IN_PAGE,
    HubRepository,
    Simulator,
)
from tests.simulator.conftest import Client

FOLDER = Path(__file__).parents[1] / "data" / "finding"
LLAMA = HubRepository(
    id="bartowski/Llama-3.2-1B-Instruct-GGUF",
    quantizations={"Q4_K_M": 807_694_464, "Q8_0": 1_321_083_008},
    split={"BF16": (900_000_000, 800_000_000)},
    base_model="meta-llama/Llama-3.2-1B-Instruct",
    downloads=50,
    parameter_count=1_235_814_400,
)
GEMMA = HubRepository(
    id="ggml-org/gemma-3-4b-it-GGUF",
    quantizations={"Q8_0": 4_130_226_336, "Q4_0": 2_400_000_000},
    files={"mmproj-model-f16.gguf": 851_251_104},
    downloads=100,
)
SPLIT = HubRepository(id="owalsh/SmolLM2-135M-Instruct-GGUF-Split", split={"Q4_0": (1, 2, 3)})
GATED = HubRepository(id="example-lab/gated-model-GGUF", quantizations={"Q4_K_M": 5}, gated="manual")


@pytest.fixture
def simulator() -> Simulator:
    simulator = Simulator()
    for repository in (LLAMA, GEMMA, SPLIT, GATED):
        simulator.registry.publish_repository(repository)
    return simulator


def recorded(name: str) -> list[dict[str, Any]]:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))["exchanges"]


def manifest(client: Client, repository: str, tag: str) -> httpx.Response:
    return client.get(f"/v2/{repository}/manifests/{tag}")


def test_list_is_sorted_cut_and_shows_asked_fields_only(client: Client) -> None:
    answer = client.get("/api/models", params={"apps": "ollama", "sort": "downloads", "limit": "2", "expand[]": "tags"})
    assert [row["id"] for row in answer.json()] == [GEMMA.id, LLAMA.id]
    assert [set(row) for row in answer.json()] == [{"_id", "id", "tags"}] * 2
    assert answer.headers["link"].endswith('cursor=2>; rel="next"')
    rest = client.get("/api/models", params={"limit": "2", "cursor": "2"})
    assert len(rest.json()) == 2
    assert "link" not in rest.headers


def test_list_matches_words_in_any_order_without_separators(client: Client) -> None:
    answer = client.get("/api/models", params={"search": "1b llama3.2"})
    assert [row["id"] for row in answer.json()] == [LLAMA.id]


def test_list_shows_rows_of_strangers_as_they_are(simulator: Simulator, client: Client) -> None:
    trap = recorded("hf_search_traps")[0]["response"]["body"]
    simulator.registry.hub.rows += trap
    fields = [key for key in trap[0] if key not in ("_id", "id", "library_name")]
    answer = client.get("/api/models", params={"limit": "100", "expand[]": [*fields, "baseModels", "library_name"]})
    shown = {row["id"]: row for row in answer.json()}
    assert [shown[row["id"]] for row in trap] == trap


def test_row_has_the_fields_and_types_of_a_recorded_one(client: Client) -> None:
    row = recorded("hf_search")[0]["response"]["body"][0]
    left_out = {"likes", "library_name", "trendingScore"}
    answer = client.get("/api/models", params={"search": "llama", "expand[]": [*(set(row) - {"_id", "id"})]})
    assert _types(answer.json()[0]) == _types({key: value for key, value in row.items() if key not in left_out})


def test_repository_has_sizes_of_all_files(client: Client) -> None:
    document = client.get(f"/api/models/{LLAMA.id}?blobs=true").json()
    shape = recorded("hf_model_info")[1]["response"]["body"]["siblings"][2]
    sizes = {one["rfilename"]: one["size"] for one in document["siblings"]}
    assert sizes == {
        "README.md": 480,
        "Llama-3.2-1B-Instruct-Q4_K_M.gguf": 807_694_464,
        "Llama-3.2-1B-Instruct-Q8_0.gguf": 1_321_083_008,
        "BF16/Llama-3.2-1B-Instruct-BF16-00001-of-00002.gguf": 900_000_000,
        "BF16/Llama-3.2-1B-Instruct-BF16-00002-of-00002.gguf": 800_000_000,
    }
    assert set(document["siblings"][1]) == set(shape) - {"blobId"}
    assert set(document["siblings"][1]["lfs"]) == set(shape["lfs"])
    assert document["gguf"]["total"] == LLAMA.parameter_count


def test_tree_has_the_same_files_by_path(client: Client) -> None:
    answer = client.get(f"/api/models/{GEMMA.id}/tree/main", params={"recursive": "true"})
    assert {row["path"]: row["size"] for row in answer.json()} == GEMMA.paths
    assert len(answer.headers["x-repo-commit"]) == 40


def test_renamed_repository_is_redirected_with_its_query(simulator: Simulator, client: Client) -> None:
    simulator.registry.hub.renamed["old/name"] = LLAMA.id
    answer = client.get("/api/models/old/name?blobs=true")
    assert (answer.status_code, answer.headers["location"]) == (307, f"/api/models/{LLAMA.id}?blobs=true")
    assert client.get("/api/models/old/name").headers["location"] == f"/api/models/{LLAMA.id}"


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/api/models/no-such-user/no-such-repo", 401, "Invalid username or password."),
        (f"/api/models/{LLAMA.id}/tree/nope", 404, "Invalid rev id: nope"),
        ("/api/models?sort=trending", 400, '✖ Invalid option: expected one of "createdAt"|"downloads"'),
        ("/api/models?expand[]=cardData.license", 400, "→ at expand[0]"),
    ],
)
def test_refusal_has_the_recorded_status_and_sentence(client: Client, path: str, status: int, words: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, words in answer.json()["error"]) == (status, True)
    assert answer.headers["ratelimit"] == '"api";r=499;t=295'


@pytest.mark.parametrize("status", [200, 429, 502])
def test_fault_is_answered_to_every_request_until_cleared(simulator: Simulator, client: Client, status: int) -> None:
    fault = {200: SIGN_IN_PAGE, 429: RATE_LIMITED_WITHOUT_TIME, 502: BAD_GATEWAY}[status]
    simulator.registry.hub.fault = fault
    for path in ("/api/models", f"/api/models/{LLAMA.id}"):
        answer = client.get(path)
        assert (answer.status_code, answer.content, "ratelimit" in answer.headers) == (status, fault.body, False)
    simulator.registry.hub.fault = None
    assert client.get("/api/models").json() != []


def test_rate_limit_is_reached_after_the_last_request(simulator: Simulator, client: Client) -> None:
    simulator.registry.hub.remaining = 1
    assert client.get("/api/models").headers["ratelimit"] == '"api";r=0;t=295'
    answer = client.get("/api/models")
    assert (answer.status_code, answer.headers["ratelimit"]) == (429, RATE_LIMITED.headers["ratelimit"])


@pytest.mark.parametrize(
    ("repository", "tag", "size"),
    [
        (LLAMA.id, "latest", 807_694_464),
        (LLAMA.id, "q8_0", 1_321_083_008),
        (LLAMA.id, LLAMA.file_of("Q8_0"), 1_321_083_008),
        (GEMMA.id, "latest", 2_400_000_000 + 851_251_104),
    ],
)
def test_manifest_of_a_tag_has_the_weights_and_projector(client: Client, repository: str, tag: str, size: int) -> None:
    layers = manifest(client, repository, tag).json()["layers"]
    assert sum(layer["size"] for layer in layers) == size


@pytest.mark.parametrize(
    ("repository", "tag", "status", "words"),
    [
        (LLAMA.id, "BF16", 400, "This tag is a sharded GGUF"),
        (LLAMA.id, "Q9_X", 400, "not a valid quantization scheme"),
        (LLAMA.id, "other.gguf", 400, "GGUF file does not exist"),
        (SPLIT.id, "latest", 400, "only contains sharded GGUF files"),
        (GATED.id, "Q4_K_M", 401, "is restricted"),
    ],
)
def test_manifest_that_cannot_be_pulled_is_refused(
    client: Client, repository: str, tag: str, status: int, words: str
) -> None:
    answer = manifest(client, repository, tag)
    assert (answer.status_code, words in answer.json()["error"]) == (status, True)
    last: Mapping[str, Any] = client.pull(f"hf.co/{repository}:{tag}")[-1]
    assert last["error"].startswith(f'pull model manifest: {status}: {{"error":"')
    assert words in last["error"]


def test_quantization_on_the_hub_is_pulled_by_its_tag(simulator: Simulator, client: Client) -> None:
    assert client.pull(f"hf.co/{LLAMA.id}:Q4_K_M")[-1] == {"status": "success"}
    assert simulator.is_installed(f"hf.co/{LLAMA.id}:Q4_K_M")


def _types(row: Mapping[str, Any]) -> dict[str, type]:
    return {key: type(value) for key, value in row.items()}
