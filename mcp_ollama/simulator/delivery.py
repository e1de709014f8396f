"""Delivery of weights files by the simulated registry, as a set of switches."""

from dataclasses import dataclass


@dataclass(slots=True)
class Delivery:
    """How weights files are delivered, to be changed by tests.

    Attributes:
        redirects: Answer 307 to the content host; otherwise the registry serves the file itself.
        content_url: Base URL of the content host; empty for this server under the name `localhost`.
        has_ranges: Honour `Range`; otherwise the whole file is sent with 200.
        signature: What addresses are signed with; a change expires those handed out before.
        is_expired: Hand out addresses whose signature has expired already.
    """

    redirects: bool = True
    content_url: str = ""
    has_ranges: bool = True
    signature: int = 1
    is_expired: bool = False

    def expire(self) -> None:
        """Expire all signatures handed out so far."""
        self.signature += 1

    def sign(self, digest: str, port: str) -> str:
        """Return the address of a blob at the content host."""
        base = self.content_url or f"http://localhost:{port}"
        return f"{base}/content/{digest}?X-Amz-Signature={0 if self.is_expired else self.signature}"

    def accepts(self, query: str) -> bool:
        """Check the signature of an address."""
        return query == f"X-Amz-Signature={self.signature}"
