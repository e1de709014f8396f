"""Tokens: good once, for one deed, for a while."""

from mcp_ollama.server.confirmations import MAX_OPEN, Confirmations

DEED = ("delete", "a", "digest")


def test_a_token_confirms_its_deed_once() -> None:
    confirmations = Confirmations()
    token = confirmations.ask(*DEED)
    assert confirmations.redeem(token, *DEED)
    confirmations.spend(token)
    assert not confirmations.redeem(token, *DEED)


def test_a_token_for_another_deed_is_used_up_in_vain() -> None:
    confirmations = Confirmations()
    token = confirmations.ask(*DEED)
    assert not confirmations.redeem(token, "delete", "b", "digest")
    assert not confirmations.redeem(token, *DEED)


def test_nobody_can_guess_a_token() -> None:
    confirmations = Confirmations()
    tokens = {confirmations.ask(*DEED) for _ in range(50)}
    assert len(tokens) == 50
    assert min(map(len, tokens)) >= 8
    for guess in ("", "guess"):
        assert not confirmations.redeem(guess, *DEED)
        assert not confirmations.redeem(guess)


def test_a_token_grows_stale() -> None:
    confirmations = Confirmations(seconds=0)
    assert not confirmations.redeem(confirmations.ask(*DEED), *DEED)


def test_only_the_newest_questions_stay_open() -> None:
    confirmations = Confirmations()
    first, *others = [confirmations.ask(*DEED) for _ in range(MAX_OPEN + 1)]
    assert not confirmations.redeem(first, *DEED)
    assert all(confirmations.redeem(token, *DEED) for token in others)


def test_no_token_is_shown_by_accident() -> None:
    confirmations = Confirmations()
    assert confirmations.ask(*DEED) not in repr(confirmations)
