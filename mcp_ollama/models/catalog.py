"""The installed models, each with the answer of `/api/show`, remembered by digest."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

import anyio

from mcp_ollama.models.concurrency import for_each, side_by_side
from mcp_ollama.models.errors import RefusedError
from mcp_ollama.models.facts import Facts, facts_of, needs_show
from mcp_ollama.models.lookup import find_all, find_model, identity, listed_name, nearest_names
from mcp_ollama.models.rows import MAX_REMEMBERED, Rows
from mcp_ollama.ollama.balancer import NAME_EACH
from mcp_ollama.ollama.client import OllamaClient
from mcp_ollama.ollama.errors import InvalidModelName, ModelNotFoundError, OllamaError
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.sanitizing import sanitize
from mcp_ollama.ollama.schemas import InstalledModel, ModelInfo, RunningModel

ValueT = TypeVar("ValueT")

MAX_INFOS = 8
"""Whole answers of `/api/show` in memory; facts are remembered of far more models."""
MAX_INFO_CHARACTERS = 1_000_000
"""Of one such answer; real ones have up to 150,000, nearly all of it licence."""
OPTIONAL_SECONDS = 5
"""Longest wait for what an answer can do without."""
REPAIR = "pull_model repairs one that comes from a registry; delete_model removes it."


@dataclass(slots=True)
class Catalog:
    """The installed models of one server.

    The same digest is the same manifest, so what is remembered never grows stale.

    Args:
        ollama: The server.
        most: How many digests are remembered; with more models than that, some are asked after again in each call.
        rows: The rows of its models.
    """

    ollama: OllamaClient
    most: int = MAX_REMEMBERED
    rows: Rows = field(default_factory=Rows)
    _facts: dict[str, Facts] = field(default_factory=dict[str, Facts])
    _infos: dict[str, ModelInfo] = field(default_factory=dict[str, ModelInfo])
    _asking: anyio.Lock = field(default_factory=lambda: anyio.Lock(fast_acquire=True))
    _loaded: dict[str, None] = field(default_factory=dict[str, None])

    async def find(self, model: ModelName | str) -> tuple[InstalledModel, list[InstalledModel]]:
        """Return the installed model of a name, and all the others.

        Raises:
            InvalidModelName: Ollama would refuse the name.
            ModelNotFoundError: It is not installed; the sentence names the nearest that are.
        """
        name = ModelName.for_pull(model) if isinstance(model, str) else model
        models = await self.ollama.list_models()
        found = find_installed(name, models)
        return found, [one for one in models if one is not found]

    async def find_usable(self, model: ModelName | str, models: list[InstalledModel]) -> InstalledModel:
        """Find a model among the installed ones, or a cloud model that needs no pull.

        The latter has no row in `/api/tags`, while `/api/show` and chats know it.

        Raises:
            InvalidModelName: Ollama would refuse the name.
            ModelNotFoundError: There is neither; the sentence names the nearest that are installed.
        """
        name = ModelName.for_pull(model) if isinstance(model, str) else model
        try:
            return find_installed(name, models)
        except ModelNotFoundError:
            if unlisted := await self._find_unlisted(name):
                return unlisted
            raise

    async def _find_unlisted(self, name: ModelName) -> InstalledModel | None:
        if name.is_cloud:
            with suppress(OllamaError):
                info = await self.ollama.get_model_info(name)
                host = info.remote_host or "https://ollama.com"
                return InstalledModel(
                    name=name.short, details=info.details, capabilities=info.capabilities, remote_host=host
                )
        return None

    async def running(self) -> list[RunningModel] | None:
        """Return the models in memory; None where `/api/ps` is missing, refused or broken.

        For answers that are useful without it. What unloads models, or refuses to delete loaded ones, insists on it.
        """
        with anyio.move_on_after(OPTIONAL_SECONDS), suppress(OllamaError):
            return await self.running_now()
        return None

    async def running_now(self) -> list[RunningModel]:
        """Return the models in memory, and remember that they were loaded.

        Raises:
            OllamaError: `/api/ps` is missing, refused or broken.
        """
        running = await self.ollama.list_running_models()
        for one in running:
            for sign in identity(one):
                _put(self._loaded, sign, None, 2 * self.most)
        return running

    def was_loaded(self, model: InstalledModel) -> bool:
        """Return whether a model, or a former version of it, was seen in memory since this server started.

        Ollama itself keeps no last use.
        """
        return any(sign in self._loaded for sign in identity(model))

    async def installed_and_running(self) -> tuple[list[InstalledModel], list[RunningModel] | None]:
        """Return what is installed and, as `running`, what is in memory; asked for side by side."""
        return await side_by_side(self.ollama.list_models, self.running)

    async def is_still(self, model: InstalledModel) -> bool:
        """Return whether the same digest still has this name."""
        now = find_model(ModelName.for_pull(model.name), await self.ollama.list_models())
        return now is not None and now.digest == model.digest

    async def info(self, model: InstalledModel) -> ModelInfo:
        """Fetch the answer of `/api/show` for a model, and remember its facts.

        Raises:
            ModelNotFoundError: It is listed, but cannot be shown.
        """
        info, _ = await self._ask(model)
        return info

    async def remembered_info(self, model: InstalledModel) -> ModelInfo:
        """Return the answer of `/api/show` for a model, fetched once for each digest.

        The answer about a cloud model is not remembered: ollama.com may change it under the same digest.

        Raises:
            ModelNotFoundError: It is listed, but cannot be shown.
        """
        if known := self._infos.get(model.digest):
            return known
        info = await self.info(model)
        if not model.remote_host and len(info.model_dump_json()) <= MAX_INFO_CHARACTERS:
            _put(self._infos, model.digest, info, MAX_INFOS)
        return info

    def is_known(self, model: InstalledModel) -> bool:
        """Return whether `/api/show` has answered for this digest."""
        return model.digest in self._facts

    async def facts(self, models: Iterable[InstalledModel], within: float = 10) -> dict[str, Facts | None]:
        """Return the facts of each model by digest, None where `/api/show` does not answer in `within` seconds.

        Models whose row says enough are not asked after, see `needs_show`.
        """
        wanted = {model.digest: model for model in models}
        found = {digest: self._facts.get(digest) for digest in wanted}
        # What is said of a model without a digest would count for all others without one.
        missing = [model for digest, model in wanted.items() if digest and not found[digest] and needs_show(model)]
        if missing:
            await self._ask_all(missing, found, within)
        return found

    async def _ask(self, model: InstalledModel) -> tuple[ModelInfo, Facts]:
        try:
            info = await self.ollama.get_model_info(model.name)
        except ModelNotFoundError as error:
            raise damaged(model, self.ollama.balancer_sign) from error
        facts = facts_of(info)
        _put(self._facts, model.digest, facts, self.most)
        return info, facts

    async def _ask_all(self, models: list[InstalledModel], found: dict[str, Facts | None], within: float) -> None:
        """Add to `found` what `/api/show` says of models, which may be more than are remembered."""

        async def ask(model: InstalledModel) -> None:
            try:
                _, found[model.digest] = await self._ask(model)
            except (OllamaError, InvalidModelName):
                # A damaged model is listed but cannot be shown; what /api/tags says of it has to do.
                return

        with anyio.move_on_after(within):
            # One caller at a time: after it, those that asked meanwhile find nearly all of it known.
            async with self._asking:
                found.update({one.digest: self._facts[one.digest] for one in models if self.is_known(one)})
                await for_each([one for one in models if not found[one.digest]], ask)


def _put(memory: dict[str, ValueT], digest: str, value: ValueT, most: int) -> None:
    """Remember what holds for a digest, and forget the oldest where there are too many."""
    if not digest or digest in memory:
        return
    while len(memory) >= most:
        del memory[next(iter(memory))]
    memory[digest] = value


def find_installed(name: ModelName, models: list[InstalledModel]) -> InstalledModel:
    """Find a model among the installed ones.

    Raises:
        ModelNotFoundError: It is not installed; the sentence names the nearest that are.
        RefusedError: Several names differ from this one only in case, and none is spelt like it.
    """
    found = find_all(name, models)
    if not found:
        raise _not_installed(name, models)
    if len(found) > 1 and listed_name(found[0].name) != name:
        twins = " and ".join(sanitize(one.name, 100) for one in found)
        raise RefusedError(f"{name} may mean {twins}, which differ only in case.", "Use the exact spelling of one.")
    return found[0]


def damaged(model: InstalledModel, balancer_sign: str = "") -> ModelNotFoundError:
    """Build the error for a model that is listed, while the server says that there is no such model.

    Args:
        model: The model.
        balancer_sign: How a balancer showed: then another server may have listed it.
    """
    if balancer_sign:
        problem = f"{model.name} is listed, but another server answers at this address, too: {balancer_sign}."
        repair = NAME_EACH
    elif model.remote_host:
        problem = f"{model.name} is listed, but {sanitize(model.remote_host, 100)} does not know it any more."
        repair = "delete_model removes it."
    else:
        problem = f"{model.name} is listed, but its files are damaged or missing."
        repair = REPAIR
    return ModelNotFoundError(problem, repair, model=model.name)


def _not_installed(name: ModelName, models: list[InstalledModel]) -> ModelNotFoundError:
    if nearest := nearest_names(name, models):
        shown = " or ".join(sanitize(one, 100) for one in nearest)
        next_step = f"Did you mean {shown}? See list_models, or pull it with pull_model."
    elif models:
        next_step = "See list_models for the installed ones, or pull it with pull_model."
    else:
        next_step = "No model is installed yet: pull one with pull_model."
    return ModelNotFoundError(f"The model {name.short} is not installed.", next_step, model=name.short)
