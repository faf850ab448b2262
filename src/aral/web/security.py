"""Who may talk to the labelling server: one-time links, the cookie they turn into, host names, origins.

A server on this machine is attacked through the browser of its own user: a page from elsewhere can send
requests to 127.0.0.1 (cross-site requests), and a name it controls can be pointed at 127.0.0.1 (DNS
rebinding). So every request must carry a secret that no other page knows, must name a host on a short
list, and must not come from another origin when it can change something.
"""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
import socket
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from http.cookies import CookieError, SimpleCookie
from pathlib import Path

from aral.web.proof import SCHEME, OneTime, proof

LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""Names under which a server on this machine may be called."""

SECRET_FILE = "web-secret"
"""In the project's folder, readable by its owner alone: a page that was open before a restart goes on."""

SECRET_LENGTH = 43
"""Characters of 32 random bytes in URL-safe base 64."""

COOKIE_SECONDS = 30 * 24 * 3600

LINK_SECONDS, MOST_LINKS = 600.0, 100
"""How long a link may wait to be opened, and how many may wait; beyond, the oldest is void."""

HELLO_SECONDS, MOST_HELLOS = 10.0, 100
"""How long a command may take from the server's proof to its own, and how many may be about it."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing; all others are checked for their origin."""

_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")


@dataclass
class Security:
    """The rules of one server.

    Attributes:
        secret: what the cookie holds; whoever knows it may label.
        port: the port people use; part of the cookie's name, because cookies are not kept apart by port.
        hosts: host names that requests may be addressed to, without port; an address in brackets for IPv6.
        any_address: also accept every literal IP address as host; a rebinding attack needs a name.
    """

    secret: str
    port: int
    hosts: frozenset[str] = LOOPBACK
    any_address: bool = False
    _links: OneTime = field(default_factory=lambda: OneTime(LINK_SECONDS, MOST_LINKS), repr=False)
    _hellos: OneTime = field(default_factory=lambda: OneTime(HELLO_SECONDS, MOST_HELLOS), repr=False)

    @property
    def cookie_name(self) -> str:
        """``aral-PORT``."""
        return f"aral-{self.port}"

    @property
    def project_key(self) -> str:
        """Names the project to the page without telling the secret: the browser keeps its queue under it."""
        return sha256(b"project:" + self.secret.encode()).hexdigest()[:16]

    def new_link(self) -> str:
        """A token that opens the page once, within ten minutes: ``/?token=…``."""
        return self._links.new()

    def redeem(self, token: str) -> bool:
        """Whether a link's token is good; it is spent by asking."""
        return self._links.spend(token) is not None

    def set_cookie(self) -> str:
        """The ``Set-Cookie`` header that follows a redeemed link."""
        return (
            f"{self.cookie_name}={self.secret}; HttpOnly; SameSite=Strict; Path=/; Max-Age={COOKIE_SECONDS}"
        )

    def admits(self, headers: Mapping[str, str]) -> bool:
        """Whether a request carries the secret, as cookie or as bearer or basic authorisation, or its proof.

        Programs use the second way: ``Authorization: Bearer SECRET``, or basic authorisation with the
        secret as password, which is what Label Studio can be told to send. A proof is good once.
        """
        if self._is_proved(headers):
            return True
        shown = [self._from_cookie(headers.get("cookie", "")), *_authorisation(headers)]
        return any(secrets.compare_digest(each.encode(), self.secret.encode()) for each in shown)

    def hello(self, nonce: str) -> dict[str, str]:
        """This server's proof to a command that has sent a number, and a number for the command to prove."""
        ours = self._hellos.new(nonce)
        return {"nonce": ours, "proof": proof(self.secret, "server", self.port, nonce, ours)}

    def _is_proved(self, headers: Mapping[str, str]) -> bool:
        """Whether a request follows a hello of this server and shows that the command knows the secret."""
        scheme, _, rest = headers.get("authorization", "").partition(" ")
        ours, _, shown = rest.strip().partition(" ")
        if scheme.lower() != SCHEME:
            return False
        nonce = self._hellos.spend(ours)
        if nonce is None:
            return False
        expected = proof(self.secret, "command", self.port, nonce, ours)
        return secrets.compare_digest(shown.encode(), expected.encode())

    def allows_host(self, host: str | None) -> bool:
        """Whether the ``Host`` header names this server.

        The port is not compared: it differs behind a tunnel, and an attacker cannot choose the name.
        """
        match = _HOST.fullmatch(host or "")
        if match is None or int(match["port"] or 0) > 65535:
            return False
        name = match["name"].lower().removesuffix(".")
        return name in self.hosts or (self.any_address and _is_address(name))

    def _from_cookie(self, header: str) -> str:
        try:
            cookie = SimpleCookie(header).get(self.cookie_name)
        except CookieError:
            return ""
        return cookie.value if cookie else ""


def for_project(folder: Path, port: int, hosts: frozenset[str] = LOOPBACK, remote: bool = False) -> Security:
    """The rules for a project's server; the secret is made on first use and kept in the project's folder.

    Args:
        folder: the project's own folder (``.aral``).
        port: where the server listens.
        hosts: names it may be called by.
        remote: it is reachable from other machines, under this machine's name and any of its addresses.
    """
    if remote:
        hosts = hosts | LOOPBACK | {socket.gethostname().lower(), socket.getfqdn().lower()}
    return Security(kept_secret(folder) or _new_secret(folder / SECRET_FILE), port, hosts, any_address=remote)


def same_origin(headers: Mapping[str, str]) -> bool:
    """Whether a request comes from our own page, from the address bar, or from a program.

    Browsers say where a request comes from in ``Sec-Fetch-Site``, older ones in ``Origin``; a page can
    forge neither. A request with neither was not made by a page.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is None or origin.lower() == f"http://{headers.get('host', '').lower()}"


def kept_secret(folder: Path) -> str | None:
    """The secret in a project's folder; None when there is none, or none that could be one."""
    try:
        kept = (folder / SECRET_FILE).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return kept if len(kept) == SECRET_LENGTH else None


def _new_secret(path: Path) -> str:
    secret = secrets.token_urlsafe(32)
    fresh = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secret)
        file.flush()
        os.fsync(descriptor)
    fresh.replace(path)
    return secret


def _authorisation(headers: Mapping[str, str]) -> list[str]:
    """The secret in an ``Authorization`` header, if there is one."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return [value.strip()]
    if scheme.lower() == "basic":
        return [_password(value.strip())]
    return []


def _password(encoded: str) -> str:
    try:
        return b64decode(encoded, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
