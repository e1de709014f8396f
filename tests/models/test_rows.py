"""Rows are built once while a model stays the same, and again when anything of it changes."""

from collections.abc import Collection

import pytest

from mcp_ollama.models.facts import Facts, facts_of
from mcp_ollama.models.rows import Rows
from mcp_ollama.ollama.schemas import InstalledModel, ModelInfo, RunningModel

DIGEST = "ab" * 32
FACTS = facts_of(ModelInfo(capabilities=["completion", "tools"]))
LOADED = RunningModel(name="one:latest", digest=DIGEST)


def installed(size: int = 1, name: str = "one:latest") -> InstalledModel:
    return InstalledModel(name=name, size=size, digest=DIGEST)


MODEL = installed()


def test_row_of_unchanged_model_is_the_same() -> None:
    rows = Rows(2)
    assert rows.row(MODEL, FACTS, [LOADED]) is rows.row(MODEL, FACTS, [LOADED.model_copy()])


@pytest.mark.parametrize(
    ("model", "facts", "running", "changed"),
    [
        (installed(2), FACTS, (), {"size_bytes": 2}),
        (MODEL, None, (), {"capabilities": []}),
        (MODEL, FACTS, (LOADED,), {"loaded": True}),
        (MODEL, FACTS, None, {"loaded": None}),
    ],
)
def test_row_of_changed_model_is_built_again(
    model: InstalledModel, facts: Facts | None, running: Collection[RunningModel] | None, changed: dict[str, object]
) -> None:
    rows = Rows(2)
    before = rows.row(MODEL, FACTS, ())
    assert rows.row(model, facts, running).model_dump() == before.model_dump() | changed


def test_rows_kept_are_limited() -> None:
    rows = Rows(2)
    first = rows.row(MODEL, FACTS, ())
    for name in ("two", "three"):
        rows.row(installed(name=name), FACTS, ())
    assert rows.row(MODEL, FACTS, ()) is not first
