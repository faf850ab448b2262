"""How a command and the server of a project prove to each other that they know its secret, and keep it.

Whatever listens on the port of yesterday's server may ask for anything: so neither side ever sends the secret.
Each sends a number that was never used, and shows an HMAC (RFC 2104) of both numbers under the secret. The
server shows first. The port is part of what is shown, so nothing is gained by handing it on to another server.
"""

from __future__ import annotations

import hmac
import re
import secrets
import time
from collections.abc import Callable
from threading import Lock
from typing import Literal

HELLO = "/api/hello"
"""The one address that answers without the cookie, with nothing but a number and its proof."""

SCHEME = "proof"
"""``Authorization: Proof NUMBER SHOWN`` admits one request."""

_NONCE = re.compile(r"[A-Za-z0-9_-]{43}")


def new_nonce() -> str:
    """A number that was never used: 32 random bytes, 43 characters of URL-safe base 64."""
    return secrets.token_urlsafe(32)


def is_nonce(text: str) -> bool:
    """Whether a text could be such a number."""
    return _NONCE.fullmatch(text) is not None


def proof(secret: str, side: Literal["server", "command"], port: int, asked: str, answered: str) -> str:
    """What a side shows to the other: 64 hexadecimal digits.

    Args:
        secret: of the project.
        side: who shows it; what one side has shown is of no use as the other's.
        port: where the server listens.
        asked: the command's number.
        answered: the server's number.
    """
    return hmac.digest(secret.encode(), f"{side} {port} {asked} {answered}".encode(), "sha256").hex()


class OneTime:
    """Tokens that are good once, for a while, each with a text that belongs to it.

    Args:
        seconds: how long a token is good.
        most: how many there may be; a further one takes the place of the oldest.
        clock: seconds that never run backwards.
    """

    def __init__(self, seconds: float, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._lock = Lock()
        self._kept: dict[str, tuple[float, str]] = {}

    def new(self, text: str = "") -> str:
        """A new token."""
        token, now = new_nonce(), self._clock()
        with self._lock:
            self._kept = {name: kept for name, kept in self._kept.items() if kept[0] > now}
            while len(self._kept) >= self._most:
                del self._kept[next(iter(self._kept))]
            self._kept[token] = (now + self._seconds, text)
        return token

    def spend(self, token: str) -> str | None:
        """The text of a token that is good, which it is no longer; None for any other."""
        with self._lock:
            ends, text = self._kept.pop(token, (self._clock(), ""))
        return text if ends > self._clock() else None
