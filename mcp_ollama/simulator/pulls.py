"""Job of `POST /api/pull`, from the manifest to `success`."""

import asyncio
from collections.abc import Sequence

from mcp_ollama.simulator.downloads import Download
from mcp_ollama.simulator.library import Blob
from mcp_ollama.simulator.manifests import Layer, Manifest
from mcp_ollama.simulator.transfers import Done, Transfer

_READ = 32 * 1024
_READS_AT_ONCE = 1024
_RESUMABLE = 64 * 1000 * 1000


class Pull(Transfer):
    """One pull of a model for one client."""

    async def run(self) -> None:
        """Send all lines; the model is installed at the end.

        Raises:
            Refusal: The pull failed.
            Cut: A fault cuts the connection.
        """
        await self.line(status="pulling manifest")
        try:
            await self._pull()
        except Done:
            return

    async def _pull(self) -> None:
        simulator = self.simulator
        await self.reach("manifest")
        await simulator.rest()
        name = simulator.library.spelled(self.name)
        manifest = simulator.registry.fetch(name, insecure=self.insecure)
        if manifest.is_safetensors:
            await self._fetch_tensors(manifest)
        else:
            await self._fetch_layers(manifest)
        await self.line(status="writing manifest")
        await self.reach("writing")
        if simulator.library.add(name, manifest, simulator.now()):
            await self.line(status="removing unused layers")
        await self.line(status="success")

    def _missing(self, manifest: Manifest) -> list[Layer]:
        return [layer for layer in manifest.blobs if layer.digest not in self.simulator.library.blobs]

    async def _fetch_layers(self, manifest: Manifest) -> None:
        self.total = manifest.size
        missing = self._missing(manifest)
        for layer in manifest.blobs:
            self.digest = layer.digest
            if layer.digest in self.simulator.library.blobs:
                await self.progress("pulling", layer, layer.size)
            else:
                await self._fetch(layer)
            self.before += layer.size
            await self.arrive(self.before)
        await self.line(status="verifying sha256 digest")
        if missing:
            self.digest = max(missing, key=lambda layer: layer.size).digest
            await self.simulator.rest()
        await self.reach("verifying")

    async def _fetch(self, layer: Layer) -> None:
        async with self.simulator.downloads.join(layer) as download:
            self.download = download
            try:
                await self._learn_size(layer, download)
                await self._follow(layer, download)
            finally:
                self.download = None
                download.limits.pop(self, None)

    async def _learn_size(self, layer: Layer, download: Download) -> None:
        if download.waiters == 1 and self.expects("size"):
            download.prepared = False
            await self.reach("size")
            # Not in a `finally`: when the first client leaves here, the others wait forever.
            download.prepared = True
        try:
            while not download.prepared:
                await download.next()
                await self.line(status=f"pulling {layer.digest[7:19]}", digest=layer.digest)
        except asyncio.CancelledError:
            # https://github.com/ollama/ollama/pull/17370: the real server calls a nil function and crashes.
            self.simulator.crash("a second waiter left before the size of the blob was known")
            raise

    async def _follow(self, layer: Layer, download: Download) -> None:
        while not download.done:
            limit = self.limit()
            download.limits[self] = layer.size if limit is None else limit - self.before
            await download.next()
            if not download.done:
                await self.progress("pulling", layer, download.completed)
                await self.arrive(self.before + download.completed)

    async def _fetch_tensors(self, manifest: Manifest) -> None:
        missing = self._missing(manifest)
        self.total = sum(layer.size for layer in missing)
        for layer in missing:
            self.digest = layer.digest
            await self._fetch_tensor(layer)
            self.before += layer.size

    async def _fetch_tensor(self, layer: Layer) -> None:
        position = self.simulator.library.partials.pop(layer.digest, 0)
        try:
            while position < layer.size:
                stop = await self._read(layer, position)
                self.simulator.downloads.count_served(layer.digest, stop - position)
                start, position = position, stop
                await self._tensor_lines(range(start, stop, _READ), self.before + stop)
        finally:
            self._keep(layer, position)

    def _keep(self, layer: Layer, position: int) -> None:
        if position >= layer.size:
            self.simulator.library.blobs[layer.digest] = Blob(size=layer.size)
        elif layer.size >= _RESUMABLE:
            self.simulator.library.partials[layer.digest] = position

    async def _read(self, layer: Layer, position: int) -> int:
        pace, limit = self.simulator.pace, self.limit()
        if pace.rate is None:
            # Unthrottled, as the real one: as fast as the client reads.
            await asyncio.sleep(0)
            step = _READ * _READS_AT_ONCE
        else:
            await pace.wait()
            step = pace.step
        end = layer.size if limit is None else min(layer.size, limit - self.before)
        return max(position, min(position + step, end))

    async def _tensor_lines(self, reads: Sequence[int], completed: int) -> None:
        head = f'{{"status":"pulling model","digest":"sha256:model","total":{self.total},"completed":'
        counts = [*(self.before + read for read in reads[1:]), completed]
        await self.stream.raw((head + ("}\n" + head).join(map(str, counts)) + "}\n").encode())
        self._line = {"status": "pulling model", "digest": "sha256:model", "total": self.total}
        await self.arrive(completed)
