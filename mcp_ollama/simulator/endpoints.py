"""Handlers of Ollama's management API."""

from collections.abc import Awaitable, Callable

from mcp_ollama.simulator import contents, documents
from mcp_ollama.simulator.creations import DIGEST, Creation, read_upload
from mcp_ollama.simulator.exchange import JSON, PLAIN_JSON, Exchange, Stream
from mcp_ollama.simulator.library import Installed
from mcp_ollama.simulator.manifests import sha256
from mcp_ollama.simulator.pulls import Pull
from mcp_ollama.simulator.pushes import Push
from mcp_ollama.simulator.references import Reference, for_pull, plain, requested_name, to_use
from mcp_ollama.simulator.simulator import Simulator
from mcp_ollama.simulator.transfers import meet_faults
from mcp_ollama.simulator.wire import Refusal, decode, encode

Handler = Callable[[Simulator, Exchange], Awaitable[None]]
_CLOUD_OFF = "ollama cloud is disabled: remote model details are unavailable"
_SIGN_IN = "https://ollama.com/connect?name=simulator&key=c3NoLWVkMjU1MTk"


def answer(document: Callable[[Simulator], object]) -> Handler:
    """Build a handler that sends a document, whatever the request."""

    async def handler(simulator: Simulator, exchange: Exchange) -> None:
        await exchange.json(document(simulator))

    return handler


async def root(_: Simulator, exchange: Exchange) -> None:
    """`GET /`."""
    await exchange.reply(b"Ollama is running", media_type="text/plain; charset=utf-8")


async def tags(simulator: Simulator, exchange: Exchange) -> None:
    """`GET /api/tags`."""
    await exchange.reply(documents.tags(simulator.library), media_type=JSON)


def status(simulator: Simulator) -> object:
    """`GET /api/status`."""
    disabled = simulator.cloud_disabled
    return {"cloud": {"disabled": disabled, "source": "env" if disabled else "none"}}


def me(simulator: Simulator) -> object:
    """`POST /api/me`."""
    if simulator.account is None:
        raise Refusal("unauthorized", 401, signin_url=_SIGN_IN)
    return simulator.account


def cloud_tags(simulator: Simulator) -> object:
    """`GET https://ollama.com/api/tags`: the models that run there, by their names without `cloud`."""
    tags = [(model, tag) for namespace, model, tag in simulator.registry.manifests if namespace == "library"]
    names = [f"{model}:{tag}".removesuffix("-cloud").removesuffix(":cloud") for model, tag in tags if "cloud" in tag]
    return {"models": [{"name": name, "model": name, "size": 0, "digest": "0" * 12} for name in names]}


async def show(simulator: Simulator, exchange: Exchange) -> None:
    """`POST /api/show`."""
    request = decode(exchange.body, "ShowRequest")
    reference = to_use(requested_name(request), Refusal("model is required", 400))
    model = _described(simulator, reference)
    await meet_faults(simulator, reference.name, Stream(exchange, streamed=False), "show")
    await exchange.json(documents.show(model, verbose=request.get("verbose") is True))


def _described(simulator: Simulator, reference: Reference) -> Installed:
    model = simulator.library.find(reference.name)
    is_remote = reference.is_cloud or bool(model and model.manifest.settings.get("remote_host"))
    if simulator.cloud_disabled and is_remote:
        raise Refusal(_CLOUD_OFF, 403)
    if model is None:
        raise Refusal(f"model '{reference.name.short}' not found", 404)
    return model


async def pull(simulator: Simulator, exchange: Exchange) -> None:
    """`POST /api/pull`."""
    request = decode(exchange.body, "PullRequest")
    name = for_pull(requested_name(request), "invalid model name")
    stream = Stream(exchange, streamed=request.get("stream") is not False)
    await stream.run(Pull(simulator, name, stream, insecure=request.get("insecure") is True).run)


async def push(simulator: Simulator, exchange: Exchange) -> None:
    """`POST /api/push`."""
    request = decode(exchange.body, "PushRequest")
    text = requested_name(request)
    if not text:
        raise Refusal("model is required", 400)
    stream = Stream(exchange, streamed=request.get("stream") is not False)

    async def job() -> None:
        try:
            name = plain(text, f"unqualified name: registry.ollama.ai/library/{text}:latest")
        except Refusal:
            await stream.line(status="retrieving manifest")
            await stream.line(status="couldn't retrieve manifest")
            raise
        await Push(simulator, name, stream, insecure=request.get("insecure") is True).run()

    await stream.run(job)


async def create(simulator: Simulator, exchange: Exchange) -> None:
    """`POST /api/create`."""
    request = decode(exchange.body, "CreateRequest")
    name = plain(requested_name(request), "invalid model name")
    stream = Stream(exchange, streamed=request.get("stream") is not False)

    creation = Creation(simulator, name, request, stream)
    creation.check()

    async def job() -> None:
        await meet_faults(simulator, name, stream, "create")
        await creation.run()

    await stream.run(job)


async def copy(simulator: Simulator, exchange: Exchange) -> None:
    """`POST /api/copy`."""
    request = decode(exchange.body, "CopyRequest")
    texts = {end: request.get(end) or "" for end in ("source", "destination")}
    source, destination = (
        simulator.library.spelled(plain(text, f'{end} "{text}" is invalid')) for end, text in texts.items()
    )
    await meet_faults(simulator, source, Stream(exchange, streamed=False), "copy")
    model = simulator.library.find(source)
    if model is None:
        raise Refusal(f'model "{texts["source"]}" not found', 404)
    if source.key != destination.key:
        simulator.library.write(destination, model.manifest, simulator.now())
    await exchange.reply()


async def delete(simulator: Simulator, exchange: Exchange) -> None:
    """`DELETE /api/delete`; a loaded model stays loaded."""
    text = requested_name(decode(exchange.body, "DeleteRequest"))
    if not text:
        raise Refusal("model is required", 400)
    name = for_pull(text, f'name "{text}" is invalid')
    await meet_faults(simulator, name, Stream(exchange, streamed=False), "delete")
    model = simulator.library.find(name)
    if model is None:
        raise Refusal(f"model '{text}' not found", 404)
    simulator.library.remove(model)
    await exchange.reply()


async def blob(simulator: Simulator, exchange: Exchange) -> None:
    """`HEAD` and `POST /api/blobs/<digest>`."""
    found = DIGEST.fullmatch(exchange.variables["digest"])
    if not found:
        raise Refusal("invalid digest format", 400)
    digest = f"sha256:{found[1]}"
    if digest in simulator.library.blobs:
        await exchange.reply()
    elif exchange.method == "HEAD":
        raise Refusal(f'blob "{digest}" not found', 404)
    elif (actual := sha256(exchange.body)) != digest:
        raise Refusal(f'digest mismatch, expected "{digest}", got "{actual}"', 400)
    else:
        simulator.library.blobs[digest] = read_upload(exchange.body)
        await exchange.reply(status=201)


async def openai_models(simulator: Simulator, exchange: Exchange) -> None:
    """`GET /v1/models`; an empty list is null."""
    listed = documents.newest_first(simulator.library)
    models = [_openai_model(model, model.name.short) for model in listed]
    document = {"object": "list", "data": models or None}
    await exchange.reply(encode(document) + b"\n", media_type=PLAIN_JSON)


async def openai_model(simulator: Simulator, exchange: Exchange) -> None:
    """`GET /v1/models/<model>`."""
    text = exchange.variables["model"]
    try:
        reference = to_use(text, Refusal("model is required", 400))
        document = _openai_model(_described(simulator, reference), text)
        status_code = 200
    except Refusal as refusal:
        status_code = refusal.status
        kind = {400: "invalid_request_error", 404: "not_found_error"}.get(status_code, "api_error")
        error = {"message": str(refusal), "type": kind, "param": None, "code": None}
        document = {"error": error}
    await exchange.reply(encode(document) + b"\n", status_code, PLAIN_JSON)


def _openai_model(model: Installed, name: str) -> dict[str, object]:
    created = int(model.modified_at)
    return {"id": name, "object": "model", "created": created, "owned_by": model.name.namespace}


async def registry_manifest(simulator: Simulator, exchange: Exchange) -> None:
    """`GET /v2/<namespace>/<model>/manifests/<tag>`, the registry's own protocol."""
    path = exchange.variables
    manifest = simulator.registry.find(path["namespace"], path["model"], path["tag"])
    if manifest is None:
        await exchange.json({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}, 404)
        return
    media_type = "application/vnd.docker.distribution.manifest.v2+json"
    await exchange.reply(manifest.body, media_type=media_type)


async def hub(simulator: Simulator, exchange: Exchange) -> None:
    """`GET /api/models` and below: Hugging Face's API, on the same socket as the registry."""
    await simulator.registry.hub.answer(exchange)


async def registry_blob(simulator: Simulator, exchange: Exchange) -> None:
    """`GET` and `HEAD /v2/<namespace>/<model>/blobs/<digest>`; blobs of text and of weights have a content."""
    layer = simulator.registry.blobs.get(exchange.variables["digest"])
    if layer is None or (exchange.method == "GET" and not layer.text and not layer.weights):
        await exchange.json({"errors": [{"code": "BLOB_UNKNOWN", "message": "blob unknown"}]}, 404)
    elif exchange.method == "GET" and layer.weights:
        await contents.deliver(simulator, exchange, layer)
    elif exchange.method == "GET":
        await exchange.reply(layer.text.encode(), media_type="application/octet-stream")
    else:
        await exchange.reply(media_type="application/octet-stream", content_length=str(layer.size))
