"""Job of `POST /api/push`, from the manifest to `success`."""

from mcp_ollama.simulator.faults import Operation
from mcp_ollama.simulator.library import MODELS_PATH
from mcp_ollama.simulator.manifests import Layer
from mcp_ollama.simulator.transfers import Transfer
from mcp_ollama.simulator.wire import Refusal


class Push(Transfer):
    """One push of a model for one client."""

    operation: Operation = "push"

    async def run(self) -> None:
        """Send all lines; the model is in the registry at the end.

        Raises:
            Refusal: The push failed.
            Cut: A fault cuts the connection.
        """
        await self.line(status="retrieving manifest")
        await self.reach("manifest")
        installed = self.simulator.library.find(self.name)
        if installed is None:
            await self.line(status="couldn't retrieve manifest")
            path = f"{self.name.host}/{self.name.namespace}/{self.name.model}/{self.name.tag}"
            raise Refusal(f"open {MODELS_PATH}/manifests/{path}: no such file or directory")
        manifest = installed.manifest.published()
        self.total = manifest.size
        for layer in manifest.blobs:
            await self._upload(layer)
            self.before += layer.size
            await self.arrive(self.before)
        await self.line(status="pushing manifest")
        await self.reach("writing")
        self.simulator.registry.store(self.name, manifest)
        await self.line(status="success")

    async def _upload(self, layer: Layer) -> None:
        registry = self.simulator.registry
        registry.open_upload(self.name, layer.digest, insecure=self.insecure)
        self.digest = layer.digest
        position = layer.size if layer.digest in registry.blobs else 0
        while position < layer.size:
            await self.simulator.pace.wait()
            limit = self.limit()
            end = layer.size if limit is None else min(layer.size, limit - self.before)
            position = min(position + self.simulator.pace.step, end)
            if position < layer.size:
                await self.progress("pushing", layer, position)
                await self.arrive(self.before + position)
        # Unlike a pull, a push reports the end of each layer.
        await self.progress("pushing", layer, layer.size)
        registry.blobs[layer.digest] = layer
