"""Arguments that several tools have."""

from typing import Annotated

from pydantic import Field

Model = Annotated[str, Field(description="Model name, such as llama3.2:3b; without a tag it means latest.")]
Confirm = Annotated[
    str, Field(description="Confirmation token from the previous call, after the user agreed; omit otherwise.")
]
