"""What stands before every route, as plain ASGI: headers, host, origin, size of the body, the cookie.

They wrap the whole application, so a route that is added later is refused without the cookie by default,
and no answer leaves without its headers, an error's included.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from html import escape

from starlette.datastructures import Headers, QueryParams
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aral.web.proof import HELLO, is_nonce
from aral.web.security import SAFE_METHODS, Security, same_origin

BODY_CAP = 1_000_000
"""Bytes of a request's body; a grid of 64 answers needs some 20,000."""

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
"""Nothing from elsewhere, nothing inline, never in a frame; text can nowhere be turned into markup."""

HEADERS = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
"""On every answer."""

log = logging.getLogger(__name__)


class Guards:
    """The application behind all checks.

    Nothing is public but the proof that this is the project's server (:mod:`aral.web.proof`): a path that no
    route knows is refused without the cookie like any other.

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
            await self._guard(scope, receive, _with_headers(send))
        else:  # no route speaks WebSocket; refusing here keeps it so
            await send({"type": "websocket.close", "code": 1008})

    async def _guard(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await refusal(send)
            return
        if (scope["method"], scope["path"]) == ("GET", HELLO):
            await self._prove(scope, send)
            return
        known = self._security.admits(headers)
        if _token(scope):
            await self._open_link(scope, send, known)
            return
        if not known:
            await _no_cookie(scope, headers)(send)
            return
        try:
            body = await _body(headers, receive)
        except ConnectionError:
            return
        if body is None:
            await Refusal(413, "The request is too large.", f"Send at most {BODY_CAP:,} bytes.")(send)
            return
        await self._run(scope, _replay(body, receive), send)

    def _refusal(self, scope: Scope, headers: Headers) -> Refusal | None:
        """What is wrong with where a request comes from or goes to."""
        if len(headers.getlist("host")) != 1 or not self._security.allows_host(headers["host"]):
            return Refusal(
                400,
                "This server does not answer under that host name.",
                f"Open http://127.0.0.1:{self._security.port}/ instead.",
            )
        if same_origin(headers):
            return None
        if scope["method"] in SAFE_METHODS and scope["path"] == "/":
            return None  # a link to the page, followed from elsewhere: shows nothing without the cookie
        return Refusal(403, "The request comes from another site.", "Use the labelling page itself.")

    async def _prove(self, scope: Scope, send: Send) -> None:
        """Show a command that this server knows the secret; see :mod:`aral.web.proof`."""
        nonce = QueryParams(scope["query_string"]).get("nonce", "")
        if not is_nonce(nonce):
            await Refusal(422, "The request cannot be read.", f"Ask {HELLO}?nonce=NUMBER.")(send)
            return
        await _answer(send, 200, "application/json", json.dumps(self._security.hello(nonce)).encode())

    async def _open_link(self, scope: Scope, send: Send, known: bool) -> None:
        """Spend a one-time link: the cookie, and on to the page. A browser that is known goes on anyway.

        The page follows by a refresh, not by a redirect: a strict cookie is not sent along a chain of
        redirects that began at another site, as when the link was opened from a mail.
        """
        if not self._security.redeem(_token(scope)) and not known:
            await _SPENT(send)
            return
        page = _page("Opening …", 'The labelling page is at <a href="/">this address</a>.', refresh=True)
        cookie = ("set-cookie", self._security.set_cookie())
        await _answer(send, 200, "text/html; charset=utf-8", page, [cookie])

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the routes; an error that none of them expected becomes a sentence, never a traceback."""
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
    """An answer that says what was wrong and what to do next."""

    def __init__(self, status: int, problem: str, hint: str, as_page: bool = False) -> None:
        self._status = status
        self._problem = problem
        self._hint = hint
        self._as_page = as_page

    async def __call__(self, send: Send) -> None:
        if self._as_page:
            text = f'{escape(self._problem)} {escape(self._hint)} <a href="/">Try again</a>'
            await _answer(send, self._status, "text/html; charset=utf-8", _page("Not open", text))
            return
        body = json.dumps({"problem": self._problem, "hint": self._hint}).encode()
        await _answer(send, self._status, "application/json", body)


_SPENT = Refusal(
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
    """The token of a one-time link, empty when the request is none."""
    if scope["path"] != "/" or scope["method"] != "GET":
        return ""
    return QueryParams(scope["query_string"]).get("token", "")


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [(name, value) for name, value in message["headers"] if name.decode() not in HEADERS]
            ours = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            if all(name != b"cache-control" for name, _ in kept):
                ours.append((b"cache-control", b"no-cache"))  # a new version of the page is seen at once
            message = {**message, "headers": [*kept, *ours]}
        await send(message)

    return sending


async def _body(headers: Headers, receive: Receive) -> bytes | None:
    """The request's whole body, or nothing when it is larger than the cap.

    Raises:
        ConnectionError: the other side went away before the end; half a request is never run.
    """
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > BODY_CAP:
        return None
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ConnectionError
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > BODY_CAP:
            return None
        if not message.get("more_body", False):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Gives a body that was read to the routes, then whatever follows, such as the end of the connection."""
    pending = [body]

    async def receiving() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return receiving


async def _answer(
    send: Send, status: int, media_type: str, body: bytes, headers: Iterable[tuple[str, str]] = ()
) -> None:
    lines = [("content-type", media_type), ("content-length", str(len(body))), ("cache-control", "no-store")]
    encoded = [(name.encode(), value.encode()) for name, value in (*lines, *headers)]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


def _page(title: str, text: str, refresh: bool = False) -> bytes:
    """A page of one sentence; it needs no style sheet, which would need the cookie."""
    refreshing = '<meta http-equiv="refresh" content="0; url=/">' if refresh else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="color-scheme" content="light dark">{refreshing}'
        f'<link rel="icon" href="/static/icon.svg"><title>{title}</title></head>'
        f"<body><main><h1>{title}</h1><p>{text}</p></main></body></html>"
    ).encode()
