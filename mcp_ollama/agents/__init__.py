"""Pydantic AI: agent specifications, models and their HTTP client."""
