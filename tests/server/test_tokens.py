"""Confirmation tokens: valid once, for one action, for a while."""

import pytest

from mcp_ollama.models.errors import RefusedError
from mcp_ollama.server.tokens import MAX_OPEN, ConfirmationTokens

TARGET, ACTION = ("a", "digest"), ("delete", "a", "digest")


def test_token_confirms_its_action_until_spent() -> None:
    tokens = ConfirmationTokens(600)
    token = tokens.issue(TARGET, ACTION)
    assert tokens.reserve(token, ACTION)
    tokens.spend(token)
    assert not tokens.reserve(token, ACTION)


def test_token_of_an_action_in_progress_confirms_no_second_one() -> None:
    tokens = ConfirmationTokens(600)
    token = tokens.issue(TARGET, ACTION)
    assert tokens.reserve(token, ACTION)
    assert not tokens.reserve(token, ACTION)
    tokens.release(token)
    assert tokens.reserve(token, ACTION)


def test_token_of_another_action_is_used_up() -> None:
    tokens = ConfirmationTokens(600)
    token = tokens.issue(TARGET, ACTION)
    assert not tokens.reserve(token, ("delete", "b", "digest"))
    assert not tokens.reserve(token, ACTION)


def test_new_token_replaces_the_waiting_one_of_its_target() -> None:
    tokens = ConfirmationTokens(600)
    first = tokens.issue(TARGET, ("create", *TARGET))
    second = tokens.issue(TARGET, ACTION)
    assert not tokens.reserve(first, ("create", *TARGET))
    assert tokens.reserve(second, ACTION)


def test_new_token_keeps_the_reserved_one_of_its_target() -> None:
    tokens = ConfirmationTokens(600)
    token = tokens.issue(TARGET, ACTION)
    assert tokens.reserve(token, ACTION)
    tokens.issue(TARGET, ACTION)
    tokens.release(token)
    assert tokens.reserve(token, ACTION)


def test_tokens_are_distinct_and_hard_to_guess() -> None:
    tokens = ConfirmationTokens(600)
    issued = {tokens.issue((str(number),), ACTION) for number in range(50)}
    assert len(issued) == 50
    assert min(map(len, issued)) >= 8
    for guess in ("", "guess"):
        assert not tokens.reserve(guess, ACTION)
        assert not tokens.reserve(guess, ())


def test_expired_token_confirms_nothing() -> None:
    tokens = ConfirmationTokens(seconds=0)
    assert not tokens.reserve(tokens.issue(TARGET, ACTION), ACTION)


def test_full_store_refuses_a_new_token_and_drops_none() -> None:
    tokens = ConfirmationTokens(600)
    issued = [tokens.issue((str(number),), ACTION) for number in range(MAX_OPEN)]
    with pytest.raises(RefusedError, match="100 confirmations are open already"):
        tokens.issue(TARGET, ACTION)
    assert all(tokens.reserve(token, ACTION) for token in issued)


def test_expired_tokens_make_room() -> None:
    tokens = ConfirmationTokens(seconds=0)
    for number in range(MAX_OPEN + 1):
        assert tokens.issue((str(number),), ACTION)


def test_repr_of_the_store_hides_its_tokens() -> None:
    tokens = ConfirmationTokens(600)
    assert tokens.issue(TARGET, ACTION) not in repr(tokens)
