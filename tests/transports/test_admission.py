"""Which requests of one client work, and which are held."""

from mcp_ollama.transports.admission import HELD_LIMIT_BYTES, LISTEN, WORKING_LIMIT, Admission, Request


def request(number: int, tool: str | None = "list_models", size: int = 10, method: str = "tools/call") -> Request:
    return Request((True, str(number)), method, tool, b"x" * size)


def full() -> Admission:
    """An admission in which as many requests work as may."""
    admission = Admission(frozenset({"pull_model"}))
    assert all(admission.admit(request(number)) for number in range(WORKING_LIMIT))
    return admission


def test_admission_over_the_limit_holds_until_one_is_closed():
    admission = full()
    held = request(100)
    assert not admission.admit(held)
    assert admission.next_held() is None
    assert admission.count(streams=False) == WORKING_LIMIT + 1
    admission.close((True, "0"))
    assert admission.next_held() is held
    assert admission.is_open(held.key)
    assert admission.next_held() is None


def test_admission_of_waiting_tools_pings_and_streams_is_never_held():
    admission = full()
    assert admission.admit(request(101, "pull_model"))
    assert admission.admit(request(102, None, method="ping"))
    assert admission.admit(request(103, None, method=LISTEN))
    assert admission.count(streams=True) == 1


def test_admission_of_a_cancelled_held_request_frees_its_bytes():
    admission = full()
    admission.admit(request(100, size=HELD_LIMIT_BYTES + 1))
    assert admission.is_full
    admission.drop_held((True, "100"))
    assert not admission.is_full
    assert admission.next_held() is None


def test_admission_with_an_open_question_lets_another_request_work():
    admission = full()
    admission.questions.add("q")
    assert admission.admit(request(100))
