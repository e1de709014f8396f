"""Measurement of a model's speed: a load, then two short texts."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

import anyio

from mcp_ollama.models.app import App
from mcp_ollama.models.catalog import Catalog
from mcp_ollama.models.errors import RefusedError
from mcp_ollama.models.facts import capabilities_of, effective_context
from mcp_ollama.models.lookup import key_of
from mcp_ollama.models.running import find_runners
from mcp_ollama.ollama.names import ModelName
from mcp_ollama.ollama.schemas import Generation, InstalledModel, RunningModel

MAX_TOKENS = 128
_FIRST_TOKENS = 8
"""Tokens of the text that is generated first: enough for a rate, which bounds the time of the second one."""
_NANOSECONDS = 1_000_000_000
_PROMPT = (
    "Draft {number}. A company moves its customer records from a spreadsheet into a database. Each record has a name, "
    "an address, two telephone numbers, a date of birth and a free text of up to two hundred words, written by many "
    "people over many years. Some records occur twice, some addresses are out of date, and nearly all dates are in one "
    "of four formats. Explain step by step how to find and merge the duplicates, how to check the addresses, and how "
    "to convert the dates without losing any of them. Write at least five hundred words."
)


@dataclass(frozen=True, slots=True)
class Speed:
    """Speed of a model in tokens per second; None where the server did not report it."""

    prompt_tokens_per_second: float | None
    tokens_per_second: float | None


async def check_measurable(catalog: Catalog, model: InstalledModel) -> None:
    """Check that a model generates text on the Ollama server.

    Raises:
        RefusedError: It runs elsewhere, or only makes embeddings.
    """
    if model.remote_host:
        problem = f"{model.name} runs on {model.remote_host}: its speed is not that of the Ollama server."
        raise RefusedError(problem, "Measure an installed model that runs there.")
    facts = (await catalog.facts([model]))[model.digest]
    if facts and facts.capabilities and "completion" not in facts.capabilities:
        problem = f"{model.name} generates no text: it is an embedding model."
        raise RefusedError(problem, "Measure a model with the capability completion.")


async def find_loaded(catalog: Catalog, model: InstalledModel, context_length: int | None) -> RunningModel | None:
    """Find the loaded model, when it has the context that is wanted; None when it is not loaded.

    Raises:
        RefusedError: It is loaded with another context: a load of its own would interrupt whoever uses it.
    """
    name = ModelName.for_pull(model.name)
    runners = await find_runners(catalog, name)
    # A model with the same weights serves this one, too; a former version of it does not.
    loaded = next((one for one in runners if one.digest == model.digest or key_of(one.name) != name.key), None)
    if loaded and context_length and loaded.context_length:
        facts = (await catalog.facts([model]))[model.digest]
        trained = (facts or model.details).context_length
        wanted = effective_context(context_length, trained, capabilities_of(model, facts))
        if wanted != loaded.context_length:
            problem = (
                f"{model.name} is loaded with a context of {loaded.context_length:,} tokens, not {wanted:,}, and may "
                "be in use."
            )
            raise RefusedError(problem, "Measure it without context_length, or call unload_model first.")
    return loaded


async def measure_speed(app: App, model: InstalledModel, loaded: RunningModel, seconds: float) -> Speed | None:
    """Measure a loaded model with one short prompt, 128 tokens of output or 10 s of it.

    Returns:
        None when the time is over before there is a result, as on a server that is busy.
    """
    speed: Speed | None = None
    # Another context than that of the loaded model would load it again.
    options = {"num_ctx": loaded.context_length} if loaded.context_length else {}
    with anyio.move_on_after(seconds):
        first = await _generate(app, model, options, _FIRST_TOKENS)
        rate = _rate(first.eval_count, first.eval_duration)
        prompt_rate = _rate(first.prompt_eval_count, first.prompt_eval_duration)
        speed = Speed(prompt_rate, rate)
        tokens = min(MAX_TOKENS, int((rate or 0) * app.timeouts.measure_output))
        if tokens > _FIRST_TOKENS:
            second = await _generate(app, model, options, tokens)
            speed = Speed(prompt_rate, _rate(second.eval_count, second.eval_duration) or rate)
    return speed


async def _generate(app: App, model: InstalledModel, options: Mapping[str, object], tokens: int) -> Generation:
    # A number in front, since a prompt that the server has cached is not evaluated again.
    prompt = _PROMPT.format(number=secrets.randbelow(1_000_000))
    return await app.ollama.generate(model.name, prompt, {**options, "temperature": 0, "num_predict": tokens})


def _rate(count: int, nanoseconds: int) -> float | None:
    return round(count * _NANOSECONDS / nanoseconds, 2) if count and nanoseconds else None
