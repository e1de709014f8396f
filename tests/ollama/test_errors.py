"""The errors of the client: their text, and what they carry."""

from mcp_ollama.ollama.errors import ModelError, OllamaError


def test_error_text_is_problem_and_next_step() -> None:
    assert str(OllamaError("This failed.", "Do that.")) == "This failed. Do that."
    assert str(OllamaError("This failed.")) == "This failed."
    assert not OllamaError("This failed.").retryable


def test_model_error_carries_model_and_details() -> None:
    error = ModelError("No such model.", "m", {"status_code": 404})
    assert (str(error), error.message, error.model_name) == ("No such model.", "No such model.", "m")
    assert error.details == {"status_code": 404}
    assert ModelError("No model.").details == {}
    assert ModelError("No model.").model_name is None
