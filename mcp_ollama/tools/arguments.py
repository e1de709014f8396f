"""Arguments that several tools have."""

from typing import Annotated

from pydantic import Field

Model = Annotated[str, Field(description="Model name, such as llama3.2:3b; without a tag it means latest.")]
Confirm = Annotated[
    str, Field(description="The confirmation of the answer before, once the user has agreed. Else leave it out.")
]
ContextLength = Annotated[
    int | None, Field(ge=1, le=10_000_000, description="Tokens of context to estimate memory for; default: Ollama's.")
]
