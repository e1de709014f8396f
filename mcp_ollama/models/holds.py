"""One change at a time for each model name: no pull, copy, create or delete runs into another one."""

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

from mcp_ollama.models.errors import RefusedError
from mcp_ollama.ollama.names import ModelName


class Holds:
    """The names that a change is replacing or removing now, and those that one is reading."""

    def __init__(self) -> None:
        self._changed: dict[str, str] = {}
        self._read: Counter[str] = Counter()

    @contextmanager
    def change(self, name: ModelName, how: str) -> Generator[None]:
        """Hold a name while its model is changed.

        Args:
            name: The name.
            how: The change as a participle, such as "deleted".

        Raises:
            RefusedError: Another change holds or reads the name.
        """
        self.ensure_free(name)
        if self._read[name.key]:
            raise RefusedError(f"{name} is being copied.", "Let that end, then call again.")
        self._changed[name.key] = how
        try:
            yield
        finally:
            del self._changed[name.key]

    @contextmanager
    def read(self, name: ModelName) -> Generator[None]:
        """Hold a name while another model is made from it; any number may do so at once.

        Raises:
            RefusedError: A change holds the name.
        """
        self.ensure_free(name)
        self._read[name.key] += 1
        try:
            yield
        finally:
            self._read[name.key] -= 1

    def ensure_free(self, name: ModelName) -> None:
        """Check that no change holds the name.

        Raises:
            RefusedError: One does.
        """
        if how := self._changed.get(name.key):
            raise RefusedError(f"{name} is being {how}.", "Let that end, then call again.")
