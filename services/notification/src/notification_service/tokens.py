"""Links by which a customer unsubscribes without logging in.

Guarantee: only who knows the key can make a token, and a token is good for one customer's
preferences and nothing else. It holds no address.
"""

import base64
import binascii
import hashlib
import hmac

from pydantic import SecretStr

_PURPOSE = b"unsubscribe:"


class Unsubscribing:
    """Makes and reads tokens: the customer's id and its signature (HMAC-SHA256), URL-safe."""

    def __init__(self, key: SecretStr, public_url: str) -> None:
        self._key = key.get_secret_value().encode()
        self._public_url = public_url.rstrip("/")

    def token(self, customer_id: str) -> str:
        """The customer's token; it never expires, as a mail may be read years later."""
        return f"{_encoded(customer_id.encode())}.{_encoded(self._signature(customer_id))}"

    def link(self, customer_id: str) -> str:
        """Where mail programs post to, and people click."""
        return f"{self._public_url}/unsubscribe?token={self.token(customer_id)}"

    def customer_of(self, token: str) -> str | None:
        """Whose token it is; None if it was not made here."""
        name, _, signature = token.partition(".")
        try:
            customer_id = _decoded(name).decode()
            given = _decoded(signature)
        except (ValueError, binascii.Error):
            return None
        if not hmac.compare_digest(given, self._signature(customer_id)):
            return None
        return customer_id

    def _signature(self, customer_id: str) -> bytes:
        return hmac.digest(self._key, _PURPOSE + customer_id.encode(), hashlib.sha256)


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    padded = text.encode("ascii") + b"=" * (-len(text) % 4)
    return base64.b64decode(padded, altchars=b"-_", validate=True)
