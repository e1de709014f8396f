"""The dashboard as the page of `--http`."""

from collections.abc import Iterator

import httpx
import pytest

from mcp_ollama.server.dashboard import dashboard_headers, dashboard_html
from tests.transports.test_http import started, url_of

http = httpx.Client(verify=False, trust_env=False)  # reading certificates takes longer than a test


@pytest.fixture(scope="module")
def root() -> Iterator[str]:
    """The address of a server that needs a token."""
    with started("0", None, MCP_OLLAMA_HTTP_TOKEN="secret") as wire:
        yield url_of(wire).removesuffix("mcp")


def test_http_root_serves_the_page_without_a_token_and_mcp_does_not(root: str):
    page = http.get(root)
    refused = http.post(f"{root}mcp", json={})
    assert page.status_code == 200
    assert page.text == dashboard_html()
    assert {name: page.headers[name] for name in dashboard_headers()} == dashboard_headers()
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert refused.status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Sec-Fetch-Site": "none"}, 200),
    ],
)
def test_http_root_refuses_foreign_pages_and_names(root: str, headers: dict[str, str], status: int):
    assert http.get(root, headers=headers).status_code == status


def test_dashboard_page_is_small_and_never_sets_markup():
    html = dashboard_html()
    assert len(html.encode()) <= 25_600
    assert "innerHTML" not in html
    assert "default-src 'none'" in dashboard_headers()["content-security-policy"]
