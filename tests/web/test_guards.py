"""Every route behind every check, read off the router."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import Any
from urllib.parse import unquote

from fastapi import FastAPI
from starlette.testclient import TestClient

from aral.web import Security
from aral.web.guards import BODY_CAP, HEADERS
from tests.web.conftest import BASE, SECRET
from tests.web.routes import UNSAFE, every_address, every_route

HOSTILE_HOSTS = (
    "evil.example",
    "evil.example:8427",
    "127.0.0.1.evil.example",
    "localhost.evil.example:8427",
    "127.0.0.1@evil.example",
    "192.168.1.10:8427",
    "0.0.0.0:8427",
    "[::]:8427",
    "169.254.169.254",
    "2130706433:8427",
    "127.0.0.1:8427:1",
    "",
)
OWN_HOSTS = ("127.0.0.1:8427", "localhost:8427", "[::1]:8427", "LocalHost")
FOREIGN: tuple[dict[str, str], ...] = (
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:9999"},
    {"origin": "http://localhost:8427"},  # another name is another origin
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site", "origin": BASE},
)
TRAVERSALS = (
    "..", "../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "..%2f..%2fetc%2fpasswd", "..%5c..%5cetc%5cpasswd",
    "%2e%2e%5c", "..;/..;/etc/passwd", ";/../etc/passwd", "%00", "page.css%00.png", "%252e%252e%252fetc%252fpasswd",
    "//etc/passwd", "/etc/passwd", "%2fetc%2fpasswd", "C:%5cWindows%5cwin.ini", "%5c%5cserver%5cshare",
    "....//....//etc/passwd", "..%c0%af..%c0%afetc/passwd", "../staticx/page.css", "../web/app.py", "../app.py",
    "~root/.ssh/id_rsa", "file:///etc/passwd", "0/../../etc/passwd",
)  # fmt: skip


def test_the_router_is_as_large_as_it_should_be(app: FastAPI) -> None:
    methods = {method for method, _ in every_route(app)}
    assert {"GET", "POST"} <= methods
    assert len(every_address(app)) >= 20


def test_nothing_is_open_without_the_cookie(app: FastAPI, stranger: TestClient) -> None:
    for method, address in every_route(app):
        assert stranger.request(method, address).status_code == 401, address
        wrong = {"cookie": f"aral-8427={SECRET[:-1]}x", "authorization": "Bearer nothing"}
        assert stranger.request(method, address, headers=wrong).status_code == 401, address
    assert stranger.get("/no/such/address").status_code == 401


def test_the_cookie_opens_every_route(app: FastAPI, client: TestClient) -> None:
    for method, address in every_route(app):
        assert client.request(method, address).status_code not in (401, 403, 500), address


def test_no_route_answers_under_a_foreign_name(app: FastAPI, client: TestClient) -> None:
    for method, address in every_route(app):
        for host in HOSTILE_HOSTS:
            answer = client.request(method, address, headers={"host": host})
            assert answer.status_code == 400, (address, host)


def test_every_own_name_works(reader: TestClient) -> None:
    for host in OWN_HOSTS:
        assert reader.get("/api/project", headers={"host": host}).status_code == 200, host


def test_no_other_site_changes_anything(app: FastAPI, client: TestClient) -> None:
    before = client.get("/api/project").json()["changes"]
    for address, method, headers in product(every_address(app), UNSAFE, FOREIGN):
        answer = client.request(method, address, headers=headers)
        assert answer.status_code == 403, (method, address, headers)
    assert client.get("/api/project").json()["changes"] == before


def test_no_other_site_reads_anything_but_may_link_to_the_page(app: FastAPI, client: TestClient) -> None:
    for address in every_address(app):
        answer = client.get(address, headers={"sec-fetch-site": "cross-site"})
        assert answer.status_code == (200 if address == "/" else 403), address


def test_every_answer_has_its_headers(app: FastAPI, client: TestClient, stranger: TestClient) -> None:
    answers = [client.request(method, address) for method, address in every_route(app)]
    answers += [stranger.get("/"), client.get("/nothing"), client.get("/", headers={"host": "evil.example"})]
    answers += [client.post("/api/answers", content=b"x" * (BODY_CAP + 1))]
    for answer in answers:
        for name, value in HEADERS.items():
            assert answer.headers.get_list(name) == [value], answer.request.url
    policy = answers[0].headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


def test_a_body_has_a_limit_announced_or_not(reader: TestClient) -> None:
    assert reader.post("/api/answers", content=b"x" * (BODY_CAP + 1)).status_code == 413

    def pieces() -> Any:
        for _ in range(30):
            yield b"x" * 50_000

    assert reader.post("/api/answers", content=pieces()).status_code == 413
    assert reader.post("/api/answers", headers={"content-length": "-1"}).status_code == 413
    assert reader.post("/api/answers", content=b"x" * BODY_CAP).status_code == 422


def test_no_file_leaks(app: FastAPI) -> None:
    """Sent as no client would: neither the payload nor its decoded form is tidied up on the way."""
    for place, payload in product(("/static/", "/thumbnail/", "/large/", "/generated/", "/"), TRAVERSALS):
        for path in (place + payload, unquote(place + payload)):
            answer = request(app, OWN, path=path)
            assert answer.status in (307, 400, 404, 405, 422), path
            assert b"root:" not in answer.body
            assert b"import" not in answer.body


def test_a_link_becomes_a_cookie_once(security: Security, stranger: TestClient) -> None:
    token = security.new_link()
    assert stranger.get("/", headers={"accept": "text/html"}).status_code == 401
    opened = stranger.get("/", params={"token": token})
    assert opened.status_code == 200
    cookie = opened.headers["set-cookie"]
    assert cookie.startswith(f"aral-8427={SECRET};")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert token not in opened.text
    assert stranger.get("/").status_code == 200
    stranger.cookies.clear()
    again = stranger.get("/", params={"token": token})
    assert again.status_code == 401
    assert "set-cookie" not in again.headers
    assert "used before" in again.text


def test_a_link_is_not_spent_by_a_preview(security: Security, stranger: TestClient) -> None:
    token = security.new_link()
    stranger.head("/", params={"token": token})
    assert stranger.get("/", params={"token": token}).status_code == 200


def test_a_known_browser_may_open_an_old_link(reader: TestClient) -> None:
    assert reader.get("/", params={"token": "spent"}).status_code == 200


def test_a_new_link_needs_the_cookie(client: TestClient, stranger: TestClient) -> None:
    assert stranger.post("/api/link").status_code == 401
    path = client.post("/api/link").json()["path"]
    assert stranger.get(path).status_code == 200
    assert stranger.get("/api/project").status_code == 200


def test_an_unexpected_failure_is_a_sentence(app: FastAPI, client: TestClient) -> None:
    @app.get("/api/broken")
    def broken() -> None:
        raise ZeroDivisionError("a secret detail")

    answer = client.get("/api/broken")
    assert answer.status_code == 500
    assert set(answer.json()) == {"problem", "hint"}
    assert "secret detail" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_two_hosts_are_refused(app: FastAPI) -> None:
    assert request(app, [*OWN, (b"host", b"evil.example")]).status == 400


def test_half_a_request_is_never_run(app: FastAPI) -> None:
    parts = [{"type": "http.request", "body": b"{}", "more_body": True}, {"type": "http.disconnect"}]
    assert request(app, OWN, "POST", "/api/link", parts).status is None


def test_websockets_are_refused(app: FastAPI) -> None:
    sent: list[dict[str, Any]] = []
    scope = {"type": "websocket", "path": "/", "headers": [(b"host", b"localhost")], "query_string": b""}
    run(app(scope, gives([]), keeps(sent)))
    assert sent == [{"type": "websocket.close", "code": 1008}]


OWN = [(b"host", b"localhost"), (b"authorization", f"Bearer {SECRET}".encode())]
"""Headers of somebody who may ask."""


@dataclass(frozen=True)
class Raw:
    """What came back; no status when nothing did."""

    status: int | None
    body: bytes


def request(
    app: FastAPI,
    headers: list[tuple[bytes, bytes]],
    method: str = "GET",
    path: str = "/",
    parts: list[dict[str, Any]] | None = None,
) -> Raw:
    """A request that no client would send."""
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "http_version": "1.1",
        "scheme": "http",
    }
    run(app(scope, gives(parts or [{"type": "http.request"}]), keeps(sent)))
    body = b"".join(message.get("body", b"") for message in sent)
    return Raw(sent[0]["status"] if sent else None, body)


def run(call: Coroutine[Any, Any, None]) -> None:
    """Run something to its end in a thread: this one may have an event loop of another test."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, call).result()


def gives(parts: list[dict[str, Any]]) -> Any:
    """A connection on which these arrive, and then nothing more."""
    pending = list(parts)

    async def receive() -> dict[str, Any]:
        return pending.pop(0) if pending else {"type": "http.disconnect"}

    return receive


def keeps(sent: list[dict[str, Any]]) -> Any:
    """A connection that keeps what is sent over it."""

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    return send
