"""The parameters that a model can be made with."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_ollama.models.parameters import KNOWN, check_parameters


def test_each_type_is_read_as_ollama_would_have_it():
    given = {"num_ctx": 8192.0, "temperature": 0, "use_mmap": True, "stop": "END", "top_p": 0.5, "seed": -1}
    assert check_parameters(given) == {**given, "num_ctx": 8192, "stop": ["END"]}
    assert check_parameters({"stop": ["a", "b"]}) == {"stop": ["a", "b"]}


def test_what_show_model_gives_can_be_given_back():
    shown = {"num_ctx": "1.048576e+06", "temperature": "0.2", "use_mmap": "true", "seed": None}
    assert check_parameters(shown) == {"num_ctx": 1_048_576, "temperature": 0.2, "use_mmap": True}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_ctx", "eight"),
        ("num_ctx", "inf"),
        ("num_ctx", 0),
        ("num_ctx", 0.5),
        ("num_ctx", 2**40),
        ("seed", True),
        ("temperature", "hot"),
        ("temperature", math.inf),
        ("temperature", math.nan),
        ("use_mmap", 1),
        ("use_mmap", "perhaps"),
        ("stop", []),
        ("stop", ["a", 1]),
        ("stop", ["x"] * 101),
        ("stop", {"a": 1}),
    ],
    ids=repr,
)
def test_a_value_of_another_type_is_refused(name: str, value: object):
    with pytest.raises(ValueError, match=f"The parameter {name} must be"):
        check_parameters({name: value})


def test_an_unknown_parameter_is_refused_with_the_nearest_known():
    with pytest.raises(ValueError, match=r"no parameter 'num_ctz'\. Did you mean num_ctx or"):
        check_parameters({"num_ctz": 1})
    with pytest.raises(ValueError, match=r"There are: frequency_penalty, .*use_mmap\."):
        check_parameters({"§" * 500: 1})


@given(
    st.dictionaries(
        st.sampled_from(sorted(KNOWN)) | st.text(),
        st.none() | st.text() | st.floats() | st.integers() | st.lists(st.text()),
    )
)
def test_nothing_but_a_sentence_comes_of_a_wrong_parameter(parameters: dict[str, object]):
    try:
        checked: object = list(check_parameters(parameters))
    except ValueError as error:
        checked = str(error)
    if isinstance(checked, str):
        assert len(checked) < 600
        assert checked.endswith((".", "?"))
    else:
        assert checked == [name for name, value in parameters.items() if value is not None]
