"""The list of installed models (`GET /api/tags`): read in bounded time, remembered while it does not change."""

from datetime import datetime

from anyio.lowlevel import checkpoint

from mcp_ollama.ollama.addresses import is_ollama_com
from mcp_ollama.ollama.decoding import MAX_LISTED_VALUES, decode
from mcp_ollama.ollama.error_messages import unexpected_response
from mcp_ollama.ollama.sanitizing import Redactor
from mcp_ollama.ollama.schemas import InstalledModel, InstalledModels

MAX_CACHED_BYTES = 2_000_000
"""Of a response: a list of some 4,000 models."""

ROWS_PER_TURN = 200
"""Rows that are validated before other tasks run; some 3 ms."""


class TagsReader:
    """Reads responses of one server.

    Args:
        base_url: Address of the server.
        redact: Removes its secrets from texts.
    """

    def __init__(self, base_url: str, redact: Redactor) -> None:
        self._base_url = base_url
        self._redact = redact
        # Parsing hundreds of models takes longer than the rest of a call, and they seldom change.
        self._last: tuple[bytes | None, list[InstalledModel]] = None, []

    async def read(self, content: bytes) -> list[InstalledModel]:
        """Return the models of a response, newest first, equal seconds by name.

        Raises:
            OllamaResponseError: It is not a list of models.
        """
        if content == self._last[0]:
            return list(self._last[1])
        models = await self._validate(content)
        # Ollama shuffles models of the same second, so that two consecutive responses may differ.
        models.sort(key=lambda model: (-_second(model.modified_at), model.name))
        self._last = (content, models) if len(content) <= MAX_CACHED_BYTES else (None, [])
        return list(models)

    async def _validate(self, content: bytes) -> list[InstalledModel]:
        models: list[InstalledModel] = []
        try:
            for number, row in enumerate(decode(InstalledModels, content, max_values=MAX_LISTED_VALUES).models or []):
                if number % ROWS_PER_TURN == ROWS_PER_TURN - 1:
                    await checkpoint()
                models.append(InstalledModel.model_validate(row, context=self._redact))
        except ValueError as error:
            raise unexpected_response(content, self._base_url, "/api/tags", error) from error
        return [self._mark_remote(model) for model in models] if is_ollama_com(self._base_url) else models

    def _mark_remote(self, model: InstalledModel) -> InstalledModel:
        # ollama.com lists its models with their real sizes and without `remote_host`; none is on a disk of the user.
        return model.model_copy(update={"remote_host": self._base_url, "remote_model": model.name, "size": 0})


def _second(time: datetime | None) -> int:
    return int(time.timestamp()) if time else 0
