"""The language check finds what it has to find, and nothing else."""

import pytest

from scripts.plain_english import check_page, check_python


@pytest.mark.parametrize(
    "source",
    [
        '"""A client that is told."""',
        "x = 1  # nobody reads it",
        'x = "made anew"',
        'x = f"{x} was heard"',
        "told = 1",
        "def test_pull_is_switched_off(): ...",
        'def f():\n    """Give the size."""',
        'class C:\n    """What is left."""',
    ],
)
def test_check_python_banned_word_is_found(source: str):
    (finding,) = check_python("a.py", f"\n\n{source}\n")
    assert finding.line >= 3


@pytest.mark.parametrize(
    "source",
    [
        '"""Return the size of what is shared."""',
        "retold = 1",
        'x = "nobody"  # plain: quoted',
        'def f():\n    """Return what is told apart."""\n'.replace("told", "kept"),
    ],
)
def test_check_python_plain_text_is_accepted(source: str):
    assert list(check_python("a.py", source)) == []


def test_check_python_banned_start_of_a_module_is_found():
    (finding,) = check_python("a.py", '"""What is left."""\n')
    assert finding == ("a.py", 1, "docstring of the module begins with 'What'")


def test_check_page_finding_names_its_line():
    assert [(one.line, one.word) for one in check_page("README.md", "# A\n\nIt is told.\n")] == [(3, "told")]


def test_check_page_released_changelog_is_left_out():
    text = "## 0.2.0 (unreleased)\n\n- Plain.\n\n## 0.1.0 (2026-11-20)\n\n- Told.\n"
    assert list(check_page("CHANGELOG.md", text)) == []
