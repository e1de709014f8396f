"""Chat model of Pydantic AI for what Ollama really answers; imported only where Pydantic AI is needed."""

from typing import Any

from pydantic_ai.models.ollama import OllamaModel


class OllamaChatModel(OllamaModel):
    """`OllamaModel` that takes an answer without a role.

    Ollama answers `"role": ""` where a model generates nothing, and some proxies leave the role out; the agent would
    end in a validation error. Such an answer counts as empty: Pydantic AI asks the model again.
    """

    def _validate_completion(self, response: Any) -> Any:
        # The hook that `OpenAIChatModel` has for this; it may go once pydantic-ai accepts an empty role.
        for choice in response.choices or ():
            choice.message.role = choice.message.role or "assistant"
        return super()._validate_completion(response)
