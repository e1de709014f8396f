"""Behaviour of the endpoints that no recording shows."""

from typing import Any

import pytest

from mcp_ollama.simulator import Simulator, Weights, serve
from mcp_ollama.simulator.demo import demo_simulator
from mcp_ollama.simulator.manifests import sha256
from tests.simulator.conftest import Client


def _error(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


def test_tags_are_newest_first_with_ties_in_any_order(simulator: Simulator, client: Client) -> None:
    for number in range(20):
        simulator.install(f"m{number}", modified_at=1000 + number % 2)
    orders = [[model["name"] for model in client.get("/api/tags").json()["models"]] for _ in range(5)]
    assert all(set(order[:10]) == {f"m{number}:latest" for number in range(1, 20, 2)} for order in orders)
    assert len({tuple(order) for order in orders}) > 1


def test_tags_lack_capabilities_that_only_the_template_shows(simulator: Simulator, client: Client) -> None:
    able = ("completion", "tools", "thinking")
    simulator.install("jinja", capabilities=able, chat_template="{{ x }}")
    simulator.install("go", capabilities=able, template="{{ .Tools }}")
    listed = {model["name"]: model["capabilities"] for model in client.get("/api/tags").json()["models"]}
    assert listed == {"jinja:latest": ["completion"], "go:latest": list(able)}
    assert client.ask("/api/show", model="jinja").json()["capabilities"] == list(able)


def test_cloud_stub_names_the_host_of_its_model(simulator: Simulator, client: Client) -> None:
    simulator.install("big:cloud", remote_host="https://ollama.com:443", remote_model="big", family="glm")
    (listed,) = client.get("/api/tags").json()["models"]
    assert (listed["remote_host"], listed["remote_model"]) == ("https://ollama.com:443", "big")
    shown = client.ask("/api/show", model="big:cloud").json()
    assert shown["model_info"] == {
        "general.architecture": "glm",
        "glm.context_length": 8192,
        "glm.embedding_length": 2048,
    }
    assert "tensors" not in shown
    simulator.cloud_disabled = True
    simulator.copy("big:cloud", "plain")
    for name in ("big:cloud", "plain"):
        assert client.ask("/api/show", model=name).status_code == 403


def test_a_stub_can_be_created(simulator: Simulator, client: Client) -> None:
    assert client.lines("/api/create", model="a", **{"from": "gpt-oss:120b-cloud"})[-1] == {"status": "success"}
    client.ask("/api/create", model="b", remote_host="https://ollama.example", **{"from": "x"})
    assert client.ask("/api/show", model="a").json()["remote_model"] == "gpt-oss:120b"
    assert client.ask("/api/show", model="b").json()["remote_host"] == "https://ollama.example"


def test_variant_keeps_the_parameters_that_are_not_replaced(simulator: Simulator, client: Client) -> None:
    simulator.install("base", parameters={"temperature": 0.5, "stop": ["a"]})
    client.lines("/api/create", model="new", parameters={"stop": ["b"], "num_ctx": 64}, **{"from": "base"})
    assert simulator.model("new").manifest.parameters == {"temperature": 0.5, "stop": ["b"], "num_ctx": 64}
    client.lines("/api/create", model="other", system="x", **{"from": "base"})
    assert simulator.model("other").manifest.parameters == {"temperature": 0.5, "stop": ["a"]}


def test_creating_from_an_absent_model_pulls_it(simulator: Simulator, client: Client) -> None:
    simulator.registry.publish("base", size_bytes=10)
    lines = client.lines("/api/create", model="new", requires="0.20.0", **{"from": "base"})
    assert lines[0] == {"status": "pulling manifest"}
    assert simulator.is_installed("base")
    shown = client.ask("/api/show", model="new").json()
    assert (shown["requires"], shown["details"]["parent_model"]) == ("0.20.0", "base:latest")


def test_an_uploaded_file_can_be_made_into_a_model(simulator: Simulator, client: Client) -> None:
    for data, end in ((b"GGUF" + bytes(100), "success"), (b"GGUF", "unexpected EOF")):
        digest = sha256(data)
        assert client.post(f"/api/blobs/{digest.replace(':', '-')}", content=data).status_code == 201
        assert client.head(f"/api/blobs/{digest}").status_code == 200
        assert end in client.lines("/api/create", model="new", files={"x.gguf": digest})[-1].values()


def test_the_modelfile_quotes_what_needs_it(simulator: Simulator, client: Client) -> None:
    simulator.install("quoting", system='two\n"lines"', parameters={"stop": [" a", "b"]}, requires="0.14.0")
    shown = client.ask("/api/show", model="quoting").json()
    assert 'SYSTEM """two\n"lines""""\nPARAMETER stop " a"\nPARAMETER stop b\n' in shown["modelfile"]
    assert shown["parameters"] == f'{"stop":<30} " a"\n{"stop":<30} "b"'
    assert shown["requires"] == "0.14.0"


@pytest.mark.parametrize(
    ("path", "body", "error"),
    [
        ("/api/pull", "a:local:cloud", (400, 'use either :local or :cloud, not both: "a:local:cloud"')),
        ("/api/show", "a:local:cloud", (400, 'use either :local or :cloud, not both: "a:local:cloud"')),
        ("/api/show", "absent:local", (404, "model 'absent:latest' not found")),
        ("/api/chat", "", (400, "model is required")),
        ("/api/embed", "", (404, "model '' not found")),
        ("/api/embed", "absent", (404, 'model "absent" not found, try pulling it first')),
        ("/api/generate", "a b", (400, "invalid model name")),
    ],
)
def test_each_endpoint_refuses_names_in_its_own_words(
    client: Client, path: str, body: str, error: tuple[int, str]
) -> None:
    assert _error(client.ask(path, model=body)) == error


def test_bodies_are_read_as_go_does(simulator: Simulator, client: Client) -> None:
    simulator.install("a")
    assert client.post("/api/show", content=b' {"MODEL": "a", "x": 1} trailing').status_code == 200
    for content, error in (
        (b"[]", "json: cannot unmarshal array into Go value of type api.ShowRequest"),
        (b'{"model": x}', "invalid character 'x' looking for beginning of value"),
        (b'{"model": "x', "unexpected EOF"),
        (b'{"model": null, "verbose": {}}', None),
    ):
        assert _error(client.post("/api/show", content=content)) == (
            400,
            error or "json: cannot unmarshal object into Go struct field ShowRequest.verbose of type bool",
        )


def test_embedding_models_are_loaded_by_embed_alone(simulator: Simulator, client: Client) -> None:
    simulator.install("emb", capabilities=("embedding",))
    for verb in ("generate", "chat"):
        assert _error(client.ask(f"/api/{verb}", model="emb")) == (400, f'"emb" does not support {verb}')
    assert client.ask("/api/embed", model="emb").json() == {"model": "emb", "embeddings": []}
    assert [model["name"] for model in client.get("/api/ps").json()["models"]] == ["emb:latest"]
    assert len(client.ask("/api/embed", model="emb", input=["a", "b"]).json()["embeddings"]) == 2
    assert len(client.ask("/api/embed", model="emb", input="a", keep_alive=0).json()["embeddings"]) == 1
    assert client.get("/api/ps").json() == {"models": []}
    pooling = client.ask("/api/show", model="emb").json()["model_info"]["llama.pooling_type"]
    assert pooling == 1


TIMINGS = {
    "total_duration",
    "load_duration",
    "prompt_eval_count",
    "prompt_eval_duration",
    "eval_count",
    "eval_duration",
}


def test_generate_sends_a_text_with_its_timings(simulator: Simulator, client: Client) -> None:
    simulator.install("a")
    lines = client.lines("/api/generate", model="a", prompt="hi", options={"num_predict": 3})
    assert [line["response"] for line in lines] == [" 1", " 2", " 3", ""]
    assert lines[-1].keys() == {"model", "created_at", "response", "done", "done_reason", *TIMINGS}
    whole = client.ask("/api/generate", model="a", prompt="hi", stream=False).json()
    assert (whole["eval_count"], whole["eval_duration"]) == (16, 400_000_000)
    assert whole["response"].startswith(" 1 2")
    assert [model["name"] for model in client.get("/api/ps").json()["models"]] == ["a:latest"]


def test_chat_with_messages_is_not_implemented(simulator: Simulator, client: Client) -> None:
    simulator.install("a")
    assert client.ask("/api/chat", model="a", messages=[{"role": "user", "content": "hi"}]).status_code == 501


def test_the_account_is_asked_for(simulator: Simulator, client: Client) -> None:
    answer = client.post("/api/me")
    assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized")
    assert answer.json()["signin_url"].startswith("https://ollama.com/connect?name=")
    simulator.account = {"name": "ann", "plan": "free"}
    assert client.post("/api/me").json() == {"name": "ann", "plan": "free"}


def test_the_registry_serves_raw_manifests_and_sizes(simulator: Simulator, client: Client) -> None:
    manifest = simulator.registry.publish("user/m:v1", size_bytes=1234, system="be brief")
    answer = client.get("/v2/user/m/manifests/v1")
    assert answer.content == manifest.body
    assert sha256(answer.content) == f"sha256:{manifest.digest}"
    model, system = manifest.layers
    assert client.head(f"/v2/user/m/blobs/{model.digest}").headers["content-length"] == "1234"
    assert client.get(f"/v2/user/m/blobs/{system.digest}").text == "be brief"
    assert client.get(f"/v2/user/m/blobs/{sha256('absent')}").status_code == 404
    simulator.registry.withdraw("user/m:v1")
    assert client.get("/v2/user/m/manifests/v1").status_code == 404


def test_a_model_can_be_built_from_layers(simulator: Simulator) -> None:
    (layer, *_) = simulator.registry.publish("a", size_bytes=7).layers
    manifest = simulator.registry.publish("b", layers=[layer], parameter_size="unknown")
    assert manifest.layers == (layer,)
    assert Weights().family == "llama"
    odd = simulator.registry.publish("c", parameter_size="unknown")
    assert odd.model
    assert odd.model.weights
    assert odd.model.weights.info["general.parameter_count"] == 0


def test_the_demo_has_believable_models() -> None:
    simulator = demo_simulator()
    simulator.pace.tick = simulator.pause = 0.0
    with serve(simulator) as running, Client(running.base_url) as client:
        models = client.get("/api/tags").json()["models"]
        newest = client.ask("/api/show", model="llama3.2:3b")
        lines = client.pull("llama3.2:1b")
        recommended = client.get("/api/experimental/model-recommendations").json()["recommendations"]
    assert [model["name"] for model in models[:3]] == ["assistant:latest", "llama3.2:3b", "gpt-oss:120b-cloud"]
    assert models[0]["digest"] == models[1]["digest"]
    assert 90_000 < len(newest.content) < 110_000
    assert lines[-1] == {"status": "success"}
    assert 100 < len(lines) < 130
    assert recommended[0]["model"] == "llama3.2:1b"


def test_create_recomputes_what_the_config_of_the_base_states(simulator: Simulator, client: Client) -> None:
    simulator.install("tiny", size_bytes=300_000, parameter_size="300K", published={"model_type": "148K"})
    client.post("/api/create", json={"model": "variant", "from": "tiny", "system": "Be brief."})
    sizes = {row["name"]: row["details"]["parameter_size"] for row in client.get("/api/tags").json()["models"]}
    assert sizes == {"tiny:latest": "148K", "variant:latest": "300K"}
    tiny, variant = simulator.model("tiny").manifest, simulator.model("variant").manifest
    assert tiny.model
    assert variant.model
    assert tiny.model.digest == variant.model.digest


def test_stub_of_an_older_server_is_listed_without_capabilities(simulator: Simulator, client: Client) -> None:
    simulator.install(
        "cloud:8b-cloud", remote_host="https://ollama.com:443", capabilities=("tools",), lists_capabilities=False
    )
    (row,) = client.get("/api/tags").json()["models"]
    assert "capabilities" not in row
    assert row["remote_host"] == "https://ollama.com:443"
    assert client.post("/api/show", json={"model": "cloud:8b-cloud"}).json()["capabilities"] == ["tools"]


def test_case_twins_are_deleted_by_their_exact_name(simulator: Simulator, client: Client) -> None:
    simulator.install("qwen3", size_bytes=1000)
    simulator.add_case_twin("qwen3", "Qwen3")
    assert {row["name"] for row in client.get("/api/tags").json()["models"]} == {"qwen3:latest", "Qwen3:latest"}
    client.request("DELETE", "/api/delete", json={"model": "qwen3"})
    assert [row["name"] for row in client.get("/api/tags").json()["models"]] == ["Qwen3:latest"]
