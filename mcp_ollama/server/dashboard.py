"""The dashboard's page, `dashboard.html`: a resource for clients with MCP Apps, and the page of `--http`."""

import base64
import hashlib
import re
from importlib.resources import files

from mcp.types import Resource, TextResourceContents

from mcp_ollama.tools.dashboard import DASHBOARD_URI

MIME_TYPE = "text/html;profile=mcp-app"
"""The type that the MCP Apps extension (2026-01-26) requires, to the letter."""

# Without `csp` a client has to allow no network access; a wrong `domain` keeps Claude from showing the page.
_META = {"ui": {"prefersBorder": True}}


def dashboard_html() -> str:
    """Return the page: one self-contained HTML document."""
    return files("mcp_ollama").joinpath("server", "dashboard.html").read_text(encoding="utf-8")


def dashboard_resource() -> Resource:
    """Return the entry of the page in `resources/list`."""
    return Resource(
        uri=DASHBOARD_URI,
        name="dashboard",
        title="Dashboard",
        description="The page that open_dashboard shows.",
        mime_type=MIME_TYPE,
        _meta=_META,
    )


def dashboard_contents() -> TextResourceContents:
    """Return the answer of `resources/read`."""
    return TextResourceContents(uri=DASHBOARD_URI, text=dashboard_html(), mime_type=MIME_TYPE, _meta=_META)


def dashboard_headers() -> dict[str, str]:
    """Return the HTTP headers of the page: only its own script and style run, and it talks to its own server only."""
    html = dashboard_html()
    policy = (
        f"default-src 'none'; script-src {_hash_of('script', html)}; style-src {_hash_of('style', html)}; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'"
    )
    return {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "cache-control": "no-store",
    }


def _hash_of(tag: str, html: str) -> str:
    (text,) = re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", html, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
