"""Signs that a balancer stands at the address: it routes inference to several servers, and cannot manage one.

Olla (200c24f) answers management with 501 and marks every response with `X-Olla-*` headers. Plain round robin shows
only by its effects, such as a pull that succeeds for a model that another server then lists.
"""

from collections.abc import Iterable

NAME_EACH = (
    "Name each server behind it in MCP_OLLAMA_HOSTS or MCP_OLLAMA_HOSTS_FILE, with an address of its own, and pass "
    "`host` (see docs/several-servers.md)."
)
"""The next step for an operator."""

MISSING_PULL = "a model was pulled there and then was not installed"


def find_sign(status: int, header_names: Iterable[str]) -> str:
    """Return the sign in a response as a clause; empty when there is none.

    Args:
        status: The HTTP status.
        header_names: The names of its headers, in lower case.
    """
    if any(name.startswith("x-olla-") for name in header_names):
        return "its responses carry the headers of Olla"
    return "it answers 501" if status == 501 else ""
