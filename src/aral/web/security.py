"""Who may use the labelling server, and the middleware that checks every request.

A server on this machine is attacked through the browser of its own user: a page from elsewhere can send
requests to 127.0.0.1 (cross-site request forgery), and a name it controls can be pointed at 127.0.0.1 (DNS
rebinding). So every request must carry a secret that no other page knows and name a host on a short list, and
requests from another origin are refused.

A browser gets the secret as a cookie in exchange for a link with a one-time token. A command of the same user
proves that it knows the secret by a challenge and its response, because any program may listen on the port of
a server that has ended: neither side ever sends the secret. Each sends a nonce, and shows an HMAC (RFC 2104) of
both nonces under the secret, the server first. The port is part of the HMAC, so a response is of no use to
another server.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import logging
import re
import secrets
import socket
import time
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from html import escape
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from threading import Lock
from typing import Literal

from starlette.datastructures import Headers, QueryParams
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aral.durable import write_file

LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""Host names of a server on this machine."""

SECRET_FILE = "web-secret"
"""In the project's folder, readable by its owner only; kept across restarts, so that open pages continue to work."""

SECRET_LENGTH = 43
"""Characters of 32 random bytes in URL-safe base 64."""

COOKIE_SECONDS = 30 * 24 * 3600

LINK_SECONDS, MOST_LINKS = 600.0, 100
"""How long a link is valid, and how many are valid at a time; one more makes the oldest void."""

CHALLENGE_SECONDS, MOST_CHALLENGES = 10.0, 100
"""The same for challenges."""

CHALLENGE_PATH = "/api/hello"
"""The one path that answers without the cookie, with nothing but a nonce and the server's response."""

SCHEME = "proof"
"""``Authorization: Proof NONCE RESPONSE`` admits one request."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""

MOST_BODY_BYTES = 1_000_000
"""Of a request; 64 answers of a grid need some 20,000."""

CONTENT_POLICY = "; ".join(
    (
        "default-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "object-src 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""Nothing from elsewhere, nothing inline, never in a frame; no string can be turned into markup."""

HEADERS = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
"""On every response."""

_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")
_NONCE = re.compile(r"[A-Za-z0-9_-]{43}")

log = logging.getLogger(__name__)


class OneTimeTokens:
    """Tokens that are valid once and for a limited time, each with a text that belongs to it.

    Args:
        seconds: how long a token is valid.
        most: how many there may be; one more replaces the oldest.
        clock: gives seconds that never run backwards.
    """

    def __init__(self, seconds: float, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._lock = Lock()
        self._tokens: dict[str, tuple[float, str]] = {}

    def new(self, text: str = "") -> str:
        """A new token."""
        token, now = new_nonce(), self._clock()
        with self._lock:
            self._tokens = {name: each for name, each in self._tokens.items() if each[0] > now}
            while len(self._tokens) >= self._most:
                del self._tokens[next(iter(self._tokens))]
            self._tokens[token] = (now + self._seconds, text)
        return token

    def spend(self, token: str) -> str | None:
        """The text of a valid token, which is void from now on; None for any other."""
        with self._lock:
            ends, text = self._tokens.pop(token, (self._clock(), ""))
        return text if ends > self._clock() else None


@dataclass
class Security:
    """The rules of one server.

    Attributes:
        secret: the value of the cookie; every request that carries it is admitted.
        port: the server's port; part of the cookie's name, because browsers share cookies between ports.
        hosts: host names without port that requests may be addressed to besides those of this machine; an
            IPv6 address in brackets.
        any_address: also accept every literal IP address as host; DNS rebinding needs a name.
    """

    secret: str
    port: int
    hosts: frozenset[str] = frozenset()
    any_address: bool = False
    _links: OneTimeTokens = field(default_factory=lambda: OneTimeTokens(LINK_SECONDS, MOST_LINKS), repr=False)
    _challenges: OneTimeTokens = field(
        default_factory=lambda: OneTimeTokens(CHALLENGE_SECONDS, MOST_CHALLENGES), repr=False
    )

    @classmethod
    def of_project(
        cls, folder: Path, port: int, hosts: frozenset[str] = frozenset(), remote: bool = False
    ) -> Security:
        """The rules for a project's server; the secret is made on first use and stored in the project's folder.

        Args:
            folder: the project's own folder (``.aral``).
            port: the server's port.
            hosts: more host names.
            remote: other machines may reach it, by this machine's name and any of its addresses.
        """
        if remote:
            hosts = hosts | {socket.gethostname().lower(), socket.getfqdn().lower()}
        return cls(stored_secret(folder) or _new_secret(folder / SECRET_FILE), port, hosts, remote)

    @property
    def cookie_name(self) -> str:
        """``aral-PORT``."""
        return f"aral-{self.port}"

    @property
    def project_key(self) -> str:
        """Identifies the project to the page, which stores its unsaved answers under it; not the secret."""
        return sha256(b"project:" + self.secret.encode()).hexdigest()[:16]

    def new_link(self) -> str:
        """A token that opens the page once, within ten minutes: ``/?token=…``."""
        return self._links.new()

    def redeem(self, token: str) -> bool:
        """Whether a link's token is valid; it is void from now on."""
        return self._links.spend(token) is not None

    def set_cookie(self) -> str:
        """The ``Set-Cookie`` header of the response to a valid link."""
        return (
            f"{self.cookie_name}={self.secret}; HttpOnly; SameSite=Strict; Path=/; Max-Age={COOKIE_SECONDS}"
        )

    def admits(self, headers: Mapping[str, str]) -> bool:
        """Whether a request carries the secret, or the response to a challenge, which is valid once.

        The secret is sent as the cookie, or by programs as ``Authorization: Bearer SECRET`` or as password of
        basic authentication, which Label Studio can be configured to send.
        """
        if self._is_challenge_met(headers):
            return True
        shown = [self._from_cookie(headers.get("cookie", "")), *_from_authorization(headers)]
        return any(secrets.compare_digest(each.encode(), self.secret.encode()) for each in shown)

    def challenge(self, nonce: str) -> dict[str, str]:
        """The server's response to a command's nonce, and a nonce for the command to respond to."""
        ours = self._challenges.new(nonce)
        return {"nonce": ours, "proof": response(self.secret, "server", self.port, nonce, ours)}

    def allows_host(self, host: str | None) -> bool:
        """Whether the ``Host`` header names this server.

        Names of this machine need this server's port, or none. For names that were given the port is not
        compared: it differs behind a proxy or a tunnel.
        """
        match = _HOST.fullmatch(host or "")
        port = int(match["port"] or self.port) if match else -1
        if match is None or port > 65535:
            return False
        name = match["name"].lower()
        return (
            (name in LOOPBACK and port == self.port)
            or name in self.hosts
            or (self.any_address and _is_ip_address(name))
        )

    def _is_challenge_met(self, headers: Mapping[str, str]) -> bool:
        scheme, _, rest = headers.get("authorization", "").partition(" ")
        ours, _, shown = rest.strip().partition(" ")
        if scheme.lower() != SCHEME:
            return False
        nonce = self._challenges.spend(ours)
        if nonce is None:
            return False
        expected = response(self.secret, "command", self.port, nonce, ours)
        return secrets.compare_digest(shown.encode(), expected.encode())

    def _from_cookie(self, header: str) -> str:
        try:
            cookie = SimpleCookie(header).get(self.cookie_name)
        except CookieError:
            return ""
        return cookie.value if cookie else ""


def new_nonce() -> str:
    """32 random bytes as 43 characters of URL-safe base 64."""
    return secrets.token_urlsafe(32)


def is_nonce(text: str) -> bool:
    """Whether a text has the form of a nonce."""
    return _NONCE.fullmatch(text) is not None


def response(
    secret: str, side: Literal["server", "command"], port: int, command_nonce: str, server_nonce: str
) -> str:
    """What a side shows to prove that it knows the secret: 64 hexadecimal digits.

    Args:
        secret: of the project.
        side: who shows it; the response of one side is of no use as the other's.
        port: of the server.
        command_nonce: the nonce of the command.
        server_nonce: the nonce of the server.
    """
    return hmac.digest(
        secret.encode(), f"{side} {port} {command_nonce} {server_nonce}".encode(), "sha256"
    ).hex()


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


def stored_secret(folder: Path) -> str | None:
    """The secret in a project's folder; None when there is none of the right length."""
    try:
        stored = (folder / SECRET_FILE).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return stored if len(stored) == SECRET_LENGTH else None


def _new_secret(path: Path) -> str:
    secret = secrets.token_urlsafe(32)
    write_file(path, secret.encode(), private=True)
    return secret


def _from_authorization(headers: Mapping[str, str]) -> list[str]:
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


def _is_ip_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


class SecurityMiddleware:
    """Checks host, origin, cookie and body of every request, and adds the headers to every response.

    It is plain ASGI and wraps the whole application: a route that is added later is refused without the cookie
    by default, as is an unknown path, and every response has the headers, an error's included. Only the challenge
    is public.

    Args:
        app: the routes.
        security: the server's rules.
    """

    def __init__(self, app: ASGIApp, security: Security) -> None:
        self._app = app
        self._security = security

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._check(scope, receive, _with_headers(send))
        else:  # no route speaks WebSocket
            await send({"type": "websocket.close", "code": 1008})

    async def _check(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await refusal(send)
            return
        if (scope["method"], scope["path"]) == ("GET", CHALLENGE_PATH):
            await self._challenge(scope, send)
            return
        admitted = self._security.admits(headers)
        if _token(scope):
            await self._open_link(scope, send, admitted)
            return
        if not admitted:
            await _no_cookie(scope, headers)(send)
            return
        if _is_length_wrong(headers):
            await Refusal(400, "The length of the request is not clear.", "Send one Content-Length.")(send)
            return
        try:
            body = await _body(headers, receive)
        except ConnectionError:
            return
        if body is None:
            await Refusal(413, "The request is too large.", f"Send at most {MOST_BODY_BYTES:,} bytes.")(send)
            return
        await self._run(scope, _replay(body, receive), send)

    def _refusal(self, scope: Scope, headers: Headers) -> Refusal | None:
        """The refusal of a request with a wrong host or origin; None for any other."""
        if len(headers.getlist("host")) != 1 or not self._security.allows_host(headers["host"]):
            return Refusal(
                400,
                "This server does not answer under that host name and port.",
                f"Open http://127.0.0.1:{self._security.port}/ instead, or start it with --host-name NAME.",
            )
        if same_origin(headers):
            return None
        if scope["method"] in SAFE_METHODS and scope["path"] == "/":
            return None  # a link to the page on another site: shows nothing without the cookie
        return Refusal(403, "The request comes from another site.", "Use the labelling page itself.")

    async def _challenge(self, scope: Scope, send: Send) -> None:
        """Prove to a command that this server knows the secret."""
        nonce = QueryParams(scope["query_string"]).get("nonce", "")
        if not is_nonce(nonce):
            await Refusal(422, "The request cannot be read.", f"Send {CHALLENGE_PATH}?nonce=NONCE.")(send)
            return
        await _respond(send, 200, "application/json", json.dumps(self._security.challenge(nonce)).encode())

    async def _open_link(self, scope: Scope, send: Send, admitted: bool) -> None:
        """Exchange a link's token for the cookie and open the page; a browser with the cookie gets there anyway.

        The page follows by a refresh, not by a redirect: browsers do not send a strict cookie along a chain of
        redirects that began at another site, for instance in a mail.
        """
        if not self._security.redeem(_token(scope)) and not admitted:
            await _VOID_LINK(send)
            return
        page = _page("Opening …", 'The labelling page is at <a href="/">this address</a>.', refresh=True)
        cookie = ("set-cookie", self._security.set_cookie())
        await _respond(send, 200, "text/html; charset=utf-8", page, [cookie])

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the routes; an unexpected error becomes a message, never a traceback."""
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            if started:
                raise
            problem = "Something went wrong inside the server; what was saved before stays."
            await Refusal(500, problem, "Try again; the terminal shows the details.")(send)


class Refusal:
    """A response that says what was wrong and what to do next."""

    def __init__(self, status: int, problem: str, hint: str, as_page: bool = False) -> None:
        self._status = status
        self._problem = problem
        self._hint = hint
        self._as_page = as_page

    async def __call__(self, send: Send) -> None:
        if self._as_page:
            text = f'{escape(self._problem)} {escape(self._hint)} <a href="/">Try again</a>'
            await _respond(send, self._status, "text/html; charset=utf-8", _page("Not open", text))
            return
        body = json.dumps({"problem": self._problem, "hint": self._hint}).encode()
        await _respond(send, self._status, "application/json", body)


_VOID_LINK = Refusal(
    401,
    "This link was used before, or is older than ten minutes; each opens the page once.",
    "Run `aral label` again, it prints a new one.",
    as_page=True,
)


def _no_cookie(scope: Scope, headers: Headers) -> Refusal:
    return Refusal(
        401,
        "The page is not open for this browser.",
        "Open the link that `aral label` prints; run it again for a new one.",
        as_page=scope["path"] == "/" and "text/html" in headers.get("accept", ""),
    )


def _token(scope: Scope) -> str:
    """The token of a one-time link; empty when the request is not one."""
    if scope["path"] != "/" or scope["method"] != "GET":
        return ""
    return QueryParams(scope["query_string"]).get("token", "")


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            theirs = [(name, value) for name, value in message["headers"] if name.decode() not in HEADERS]
            ours = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            if all(name != b"cache-control" for name, _ in theirs):
                ours.append((b"cache-control", b"no-cache"))  # a new version of the page is seen at once
            message = {**message, "headers": [*theirs, *ours]}
        await send(message)

    return sending


def _is_length_wrong(headers: Headers) -> bool:
    """Whether the length is no number, or stands beside a transfer encoding, which has a length of its own."""
    lengths = headers.getlist("content-length")
    if not lengths:
        return False
    number = lengths[0]
    is_number = number.isascii() and number.isdecimal() and len(number) <= 18
    return len(lengths) > 1 or not is_number or "transfer-encoding" in headers


async def _body(headers: Headers, receive: Receive) -> bytes | None:
    """The request's whole body, or None when it is too large.

    Raises:
        ConnectionError: the connection ended before the body did; half a request is never run.
    """
    if int(headers.get("content-length", "0")) > MOST_BODY_BYTES:
        return None
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ConnectionError
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MOST_BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that gives a body that was read already, then the messages that follow, such as the disconnect."""
    pending = [body]

    async def receiving() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return receiving


async def _respond(
    send: Send, status: int, media_type: str, body: bytes, headers: Iterable[tuple[str, str]] = ()
) -> None:
    lines = [("content-type", media_type), ("content-length", str(len(body))), ("cache-control", "no-store")]
    encoded = [(name.encode(), value.encode()) for name, value in (*lines, *headers)]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


def _page(title: str, text: str, refresh: bool = False) -> bytes:
    """A page of one sentence, without a style sheet, which would need the cookie."""
    refreshing = '<meta http-equiv="refresh" content="0; url=/">' if refresh else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="color-scheme" content="light dark">{refreshing}'
        f'<link rel="icon" href="/static/icon.svg"><title>{title}</title></head>'
        f"<body><main><h1>{title}</h1><p>{text}</p></main></body></html>"
    ).encode()
