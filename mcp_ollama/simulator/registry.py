"""Model registry that the simulated server pulls from and pushes to."""

from collections import Counter
from typing import Literal, Unpack

from mcp_ollama.ollama.names import ModelName
from mcp_ollama.simulator.delivery import Delivery
from mcp_ollama.simulator.hub import Hub, HubRepository
from mcp_ollama.simulator.manifests import Layer, Manifest, sha256
from mcp_ollama.simulator.recipes import Recipe, build_manifest
from mcp_ollama.simulator.wire import Refusal, encode

_LOOPBACK = ("localhost:", "127.0.0.1:")


class Registry:
    """Published models by namespace, model and tag; every host name reaches this registry."""

    def __init__(self) -> None:
        self.manifests: dict[tuple[str, str, str], Manifest] = {}
        self.blobs: dict[str, Layer] = {}
        self.bytes_served: Counter[str] = Counter()
        """Bytes downloaded so far, by digest."""
        self.delivery = Delivery()
        self.refusing_hosts: set[str] = set()
        """Hosts where nothing listens."""
        self.hub = Hub()

    def publish(self, name: str, **recipe: Unpack[Recipe]) -> Manifest:
        """Publish a model, or a new version of it."""
        parsed = ModelName.parse(name)
        manifest = build_manifest(parsed.short, recipe)
        self.store(parsed, manifest)
        return manifest

    def publish_repository(self, repository: HubRepository) -> None:
        """Put a repository on Hugging Face, with a manifest for each quantization that can be pulled."""
        self.hub.repositories[repository.id] = repository
        projectors = [
            Layer(kind="projector", digest=sha256(f"{repository.id} {path}"), size=size)
            for path, size in repository.files.items()
            if "mmproj" in path
        ]
        for label, size in repository.quantizations.items():
            self.publish(f"hf.co/{repository.id}:{label}", size_bytes=size, quantization=label, layers=projectors[:1])

    def find(self, namespace: str, model: str, tag: str) -> Manifest | None:
        """Find the manifest of a model, None when there is none.

        Raises:
            Refusal: Hugging Face holds it and cannot give it to Ollama.
        """
        return self.manifests.get((namespace, model, self.hub.resolve_tag(f"{namespace}/{model}", tag) or tag))

    def store(self, name: ModelName, manifest: Manifest) -> None:
        """Store a manifest and its blobs."""
        self.manifests[name.namespace, name.model, name.tag] = manifest
        self.blobs |= {layer.digest: layer for layer in manifest.blobs}

    def withdraw(self, name: str) -> None:
        """Remove a model from the registry; its blobs stay."""
        parsed = ModelName.parse(name)
        del self.manifests[parsed.namespace, parsed.model, parsed.tag]

    def fetch(self, name: ModelName, *, insecure: bool) -> Manifest:
        """Return the manifest for a pull.

        Raises:
            Refusal: No such host or model, or http was needed and not allowed.
        """
        url = f"{name.host}/v2/{name.namespace}/{name.model}/manifests/{name.tag}"
        self._reach("pull model manifest: Get", url, insecure=insecure)
        try:
            manifest = self.find(name.namespace, name.model, name.tag)
        except Refusal as refusal:
            raise Refusal(f"pull model manifest: {refusal.status}: {encode(refusal.document).decode()}") from refusal
        if manifest is None:
            raise Refusal("pull model manifest: file does not exist")
        return manifest

    def open_upload(self, name: ModelName, digest: str, *, insecure: bool) -> None:
        """Check the first request of a push.

        Raises:
            Refusal: No such host, or http was needed and not allowed.
        """
        self._reach("Head", f"{name.host}/v2/{name.namespace}/{name.model}/blobs/{digest}", insecure=insecure)

    def _reach(self, doing: str, url: str, *, insecure: bool) -> None:
        host = url.partition("/")[0]
        scheme: Literal["http", "https"] = "http" if insecure else "https"
        failure = ""
        if host in self.refusing_hosts:
            failure = f"dial tcp 127.0.0.1:{host.rpartition(':')[2]}: connect: connection refused"
        elif not insecure and host.startswith(_LOOPBACK):
            failure = "http: server gave HTTP response to HTTPS client"
        if failure:
            raise Refusal(f'{doing} "{scheme}://{url}": {failure}')
