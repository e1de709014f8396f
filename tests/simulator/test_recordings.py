"""The simulator answers as the real server did, exchange by exchange."""

import fnmatch
import json
from collections.abc import Callable, Iterator

import pytest

from mcp_ollama.ollama.names import ModelName
from mcp_ollama.simulator import Fail, Fault, Simulator, Stall, serve
from mcp_ollama.simulator.faults import Operation
from mcp_ollama.simulator.library import Blob
from mcp_ollama.simulator.manifests import sha256
from mcp_ollama.simulator.wire import FOREVER
from tests.simulator import recorded
from tests.simulator.recorded import BIG, TINY
from tests.simulator.replay import STAND_INS, Replay, comparable

LEFT_OUT = {
    "_manifest_big": "not an exchange: the manifest's digest is checked below",
    "blob_post_big": "the same as blob_post_created, with 210 MB",
    "generate_prompt": "the simulator generates another text",
    "options_tags": "a preflight of a browser; no client of ours is one",
}
"""Recordings that are not replayed, with the reason."""

Seed = Callable[[], Simulator]


def fresh() -> Simulator:
    """A new server; only the registry has models."""
    simulator = recorded.simulator()
    simulator.library.blobs.clear()
    return simulator


def uploaded() -> Simulator:
    """A new server to which the GGUF files were uploaded."""
    return recorded.simulator()


def several() -> Simulator:
    """After the first creates: eight models."""
    return recorded.simulator("tags_several")


def final() -> Simulator:
    """The models at the end of the recordings."""
    return recorded.simulator("tags_final")


def many() -> Simulator:
    """A hundred and thirty models."""
    return recorded.simulator("tags_many")


def created_only() -> Simulator:
    """A server with created models and an empty registry."""
    simulator = recorded.simulator("tags_several")
    simulator.registry.manifests.clear()
    simulator.registry.blobs.clear()
    for host in ("5057", "5058", "5999"):
        simulator.copy("tiny", f"localhost:{host}/test/tiny")
    return simulator


def only_tiny() -> Simulator:
    """The first model alone."""
    simulator = recorded.simulator()
    simulator.library.add(ModelName.parse("tiny"), recorded.manifests()["10ea1c6aaf0d"], 0)
    return simulator


def with_alias() -> Simulator:
    """A copy of tiny, beside all others."""
    simulator = several()
    simulator.copy("tiny", "tiny-alias")
    return simulator


def after_pushes() -> Simulator:
    """The models after the pushes, before the pulls."""
    simulator = recorded.simulator("tags_final")
    first = recorded.manifests()["e09d01306d18"]
    simulator.library.add(ModelName.parse(TINY), first, simulator.model(TINY).modified_at)
    return simulator


def before_pull() -> Simulator:
    """All models but the big one, which the registry has."""
    return recorded.simulator("tags_final", without=(f"{BIG}:latest",))


def slowly() -> Simulator:
    """The same, at 60 MB per second."""
    return recorded.simulator("tags_final", without=(f"{BIG}:latest",), rate=60_000_000)


def with_tags_of(name: str) -> Seed:
    """The models that a recorded list in the middle of an exchange shows, at 60 MB per second."""
    return lambda: recorded.simulator(name, rate=60_000_000)


def loaded(*models: tuple[str, float], base: Seed = several) -> Seed:
    """Some models are in memory, with a keep_alive."""

    def seed() -> Simulator:
        simulator = base()
        for name, keep_alive in models:
            simulator.load(name, keep_alive=keep_alive)
        return simulator

    return seed


def failing(*faults: Fault, model: str = BIG, base: Seed = before_pull) -> Seed:
    """Something goes wrong in the pull."""

    def seed() -> Simulator:
        simulator = base()
        for fault in faults:
            simulator.faults.add(model, fault)
        return simulator

    return seed


def refused(text: str, model: str, operation: Operation = "pull", base: Seed = final) -> Seed:
    """The registry refuses."""

    def seed() -> Simulator:
        simulator = base()
        simulator.faults.add(model, Fail(text=text), operation=operation)
        return simulator

    return seed


def changed(change: Callable[[Simulator], object], base: Seed = several) -> Seed:
    """A seed with one change."""

    def seed() -> Simulator:
        simulator = base()
        change(simulator)
        return simulator

    return seed


def _reload_smaller(simulator: Simulator) -> None:
    simulator.load("tiny")
    simulator.load("tiny-full:v1", context_length=256)


def _delete_loaded(simulator: Simulator) -> None:
    simulator.load("tiny-ns")
    simulator.library.remove(simulator.model("tiny-ns"))


def _publish_update(simulator: Simulator) -> None:
    simulator.registry.store(simulator.model(TINY).name, recorded.manifests()["2d2060934caf"])


def _publish_and_delete(simulator: Simulator) -> None:
    _publish_update(simulator)
    simulator.library.remove(simulator.model(TINY))


def _keep_small_blobs(simulator: Simulator) -> None:
    for layer in recorded.manifests()["beddb9997c38"].blobs[1:]:
        simulator.library.blobs[layer.digest] = Blob(size=layer.size)


def _mounted(simulator: Simulator) -> None:
    big = recorded.big_weights()
    simulator.install("localhost:5055/other/pushcut", layers=[big], system="x")
    simulator.registry.manifests.clear()
    simulator.registry.blobs = {big.digest: big}


def _stale_upload(simulator: Simulator) -> None:
    big = recorded.big_weights()
    simulator.registry.blobs = {big.digest: big}
    error = {"code": "MANIFEST_BLOB_UNKNOWN", "message": "blob unknown to registry", "detail": big.digest}
    text = json.dumps({"errors": [error]}, separators=(",", ":"))
    simulator.faults.add(BIG, Fail(text=f"400: {text}\n", at="writing"), operation="push")


def _stop_registry(simulator: Simulator) -> None:
    simulator.registry.refusing_hosts.add("localhost:5055")


def _upload_once(simulator: Simulator) -> None:
    simulator.library.blobs[sha256(STAND_INS["<file tiny.gguf 158048 bytes>"][0])] = Blob(size=158048)


def _first_byte_late(simulator: Simulator) -> None:
    simulator.pace.first_byte = 15


_BIG_DIGEST = "7bc54c9a74d06e67b4c39c21525a5c73badaeef178e341d8b5508c31d9d60eba"
_CDN = f"http://127.0.0.1:5056/docker/registry/v2/blobs/sha256/7b/{_BIG_DIGEST}/data"
_CDN_DOWN = "dial tcp 127.0.0.1:5056: connect: connection refused"
_BASIC = 'realm host "" does not match original host "localhost:5057"'
_TOKEN_401 = '{"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}'
_TOKEN_403 = '{"errors": [{"code": "DENIED", "message": "requested access to the resource is denied"}]}'
_WRONG = "sha256:788edde7c8c9ddcbfb47ac9e7c6b658c1b168eabec8ae0c69e814aaebfd8325c"
_MISMATCH = f"digest mismatch, file must be downloaded again: want {{digest}}, got {_WRONG}"

GROUPS: list[tuple[Seed, str]] = [
    (
        fresh,
        """blob_head_baddigest blob_head_missing blob_post_baddigest blob_post_created blob_post_junk
        blob_post_mismatch blob_post_trunc create_bad_name create_bad_nofiles foreign_host_header
        options_foreign_origin ps_empty root_get root_head root_trailing show_badname show_missing status
        tags_empty tags_head unknown_route unknown_route_post v1_models_empty version version_head
        method_not_allowed_delete_post method_not_allowed_pull_get method_not_allowed_tags_post
        empty_* malformed_* wrong_type_* pull_badname_*""",
    ),
    (
        uploaded,
        """blob_head_present create_bad_digest create_bad_filepath create_bad_missing_blob
        create_bad_notgguf create_bad_quantize create_bad_truncgguf create_big create_ok create_nonstream
        create_quantize create_bad_from_missing""",
    ),
    (
        several,
        """copy_bad_dst copy_bad_src copy_case copy_missing copy_nodst copy_ok copy_over copy_self
        create_bad_template delete_again delete_badname delete_missing delete_before_pull
        embed_tiny generate_missing generate_missing_stream_false load_again_keep_alive_10m chat_load
        load_bad_keep_alive load_empty_prompt load_for_delete load_keep_alive_forever load_second
        load_stream_false show show_case show_cloud show_full show_host show_legacy_name show_missing_tag
        show_trunc show_verbose tags_several unload_not_loaded unload_keep_alive_0s v1_model_id
        v1_model_id_latest v1_models v1_model_id_missing v1_model_id_slash v1_model_id_slash_encoded
        ps_after_unload_not_loaded ps_all_unloaded ps_right_after_unload ps_1s_after_unload""",
    ),
    (changed(_upload_once), "blob_post_again"),
    (only_tiny, "create_full create_from create_overwrite create_bad_parameter create_push_name"),
    (changed(lambda simulator: simulator.copy("tiny", "tiny-copy")), "delete_ok"),
    (changed(lambda simulator: simulator.copy("tiny", "Tiny-Case")), "delete_legacy_name"),
    (
        changed(_delete_loaded),
        "ps_after_delete_loaded ps_after_unload_deleted show_after_delete_loaded unload_deleted",
    ),
    (loaded(("tiny", 300)), "unload_keep_alive_0 unload_stream_false ps_loaded chat_unload"),
    (loaded(("tiny", 2)), "ps_expiry_2s"),
    (loaded(("tiny", 600)), "ps_loaded_10m"),
    (loaded(("tiny", FOREVER)), "ps_loaded_forever"),
    (loaded(("tiny", 300), base=with_alias), "ps_alias_loaded"),
    (loaded(("tiny-ns", 300)), "delete_loaded"),
    (changed(_reload_smaller), "ps_two"),
    (
        loaded((BIG, FOREVER), ("tiny-q", 3600), ("tiny", 300), base=final),
        "ps_several unload_one_of_several",
    ),
    (loaded(("tiny-q", 3600), ("tiny", 300), base=final), "ps_after_unload_one ps_after_unload_one_1s"),
    (
        final,
        """tags_final pull_again pull_missing_model pull_missing_nonstream pull_missing_tag""",
    ),
    (many, "tags_many"),
    (after_pushes, "pull_legacy_name pull_present pull_present_nonstream v1_models_final"),
    (changed(_publish_update, after_pushes), "pull_update_removes_unused"),
    (changed(_publish_and_delete, final), "pull_tiny_final"),
    (
        before_pull,
        """pull_ok pull_final pull_ok_nonstream pull_no_insecure pull_http_scheme_no_insecure
        pull_after_cdn_down pull_registry_down pull_registry_down_nonstream""",
    ),
    (changed(_stop_registry, before_pull), "pull_registry_stopped"),
    (slowly, "pull_after_cdn_died pull_concurrent_two pull_concurrent_first_cut"),
    (with_tags_of("pull_cut_then_resume"), "pull_cut_then_resume pull_server_stopped_midway"),
    (with_tags_of("delete_while_pulling"), "delete_while_pulling"),
    (
        changed(_keep_small_blobs, with_tags_of("pull_nonstream_client_left")),
        "pull_nonstream_client_left",
    ),
    (changed(_first_byte_late, before_pull), "pull_slow_first_byte"),
    (final, "pull_ok_show"),
    (failing(Stall(at=0.1, ticks=50)), "pull_stalled_30s pull_blobserver_restart_midway"),
    (
        failing(Stall(at=0.4, ticks=50), Fail(at=0.4, text=f'max retries exceeded: Get "{_CDN}": {_CDN_DOWN}')),
        "pull_cdn_dies_midway",
    ),
    (failing(Fail(at="size", text=f'Head "{_CDN}": {_CDN_DOWN}')), "pull_cdn_down"),
    (failing(Fail(at="size", text="file does not exist")), "pull_cdn_404"),
    (failing(Fail(at="verifying", keep=0.0, text=_MISMATCH)), "pull_digest_mismatch"),
    (
        failing(Fail(at="size", text="http: no Location header in response"), model="localhost:5065/test/big"),
        "pull_plain_registry",
    ),
    (
        refused(f"pull model manifest: {_BASIC}", "localhost:5057/test/other"),
        "pull_unauthorised_basic pull_unauthorised_nonstream",
    ),
    (
        refused(f"pull model manifest: 401: {_TOKEN_401}", "localhost:5058/test/other"),
        "pull_unauthorised_token_401",
    ),
    (
        refused(f"pull model manifest: 403: {_TOKEN_403}", "localhost:5058/test/other"),
        "pull_unauthorised_token_403",
    ),
    (
        refused("pull model manifest: unauthorized: access denied", "localhost:5058/test/other"),
        "pull_unauthorised_token_ok",
    ),
    (
        created_only,
        """push_ok push_big_ok push_nonstream push_badname push_missing push_missing_nonstream
        push_insecure_missing push_registry_down push_cut_then_again""",
    ),
    (several, "push_again"),
    (changed(_mounted), "push_layer_mounted"),
    (changed(_stale_upload, created_only), "push_stale_upload_blob_unknown"),
    (refused(_BASIC, "localhost:5057/test/tiny", "push", created_only), "push_unauthorised_basic"),
    (
        refused(f"401: {_TOKEN_401}", "localhost:5058/test/tiny", "push", created_only),
        "push_unauthorised_token_401",
    ),
    (
        refused(f"403: {_TOKEN_403}", "localhost:5058/test/tiny", "push", created_only),
        "push_unauthorised_token_403",
    ),
    (
        refused("unauthorized: access denied", "localhost:5058/test/tiny", "push", created_only),
        "push_unauthorised_token_ok",
    ),
]
"""Which recordings are replayed from which state."""

AT_ONCE = ("pull_concurrent_two", "pull_concurrent_first_cut", "delete_while_pulling")
"""Recordings whose pulls run at the same time."""


NAMES = recorded.names()


def _matching(patterns: str) -> Iterator[str]:
    for pattern in patterns.split():
        yield from fnmatch.filter(NAMES, pattern)


REPLAYED = [(seed, name) for seed, patterns in GROUPS for name in _matching(patterns)]


def test_every_recording_is_replayed_or_left_out_for_a_reason() -> None:
    replayed = [name for _, name in REPLAYED]
    assert sorted([*replayed, *LEFT_OUT]) == NAMES


@pytest.mark.parametrize(("seed", "name"), REPLAYED, ids=[name for _, name in REPLAYED])
def test_the_answer_is_the_recorded_one(seed: Seed, name: str) -> None:
    exchanges = recorded.load(name)
    with serve(seed()) as running, Replay(running) as replay:
        answers = replay.at_once(exchanges) if name in AT_ONCE else replay.in_turn(exchanges)
    assert answers == [comparable(each) for each in exchanges]


def test_created_pushed_and_pulled_models_have_the_recorded_digests() -> None:
    simulator = recorded.simulator()
    simulator.registry.manifests.clear()
    simulator.registry.blobs.clear()
    names = "ok full from overwrite nonstream push_name big bad_parameter"
    with serve(simulator) as running, Replay(running) as replay:
        replay.in_turn([recorded.load(f"create_{name}")[0] for name in names.split()])
        listed = {model.name.short: model.manifest.digest for model in simulator.library.models.values()}
        replay.in_turn([*recorded.load("push_ok"), *recorded.load("pull_present")])
    known = json.loads(recorded.load("tags_several")[0].answer)["models"]
    assert listed == {model["name"]: model["digest"] for model in known if model["name"] != "tiny-q:latest"}
    assert simulator.model(TINY).manifest.digest.startswith("e09d01306d18")


def test_a_manifest_is_written_byte_for_byte() -> None:
    document = json.loads((recorded.FOLDER / "_manifest_big.json").read_text(encoding="utf-8"))
    manifest = recorded.manifests()["beddb9997c38"]
    assert json.loads(manifest.body) == document
