"""Each claim of docs/security.md names a test that there is."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text()


def test_page_is_short_and_each_of_its_claims_names_a_test():
    assert len(PAGE.splitlines()) <= 160
    claims = re.findall(r"^- (.*?)(?=\n- |\n\n|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert len(claims) > 12
    for claim in claims:
        named = re.findall(r"`(tests/[\w/]+\.py)?(?:::(\w+))?`", claim)
        path = ""
        tests = [(path := file or path, test) for file, test in named if file or test]
        assert any(test for _, test in tests), claim
        for file, test in tests:
            assert f"def {test}(" in (ROOT / file).read_text(), (file, test)
