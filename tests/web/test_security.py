"""Who may use the server: links, cookies, host names, origins, the secret, and every route behind every check."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from aral.web.security import (
    HEADERS,
    LINK_SECONDS,
    MOST_BODY_BYTES,
    MOST_LINKS,
    SECRET_FILE,
    OneTimeTokens,
    Security,
    is_nonce,
    response,
    same_origin,
)
from tests.web.conftest import BASE, SECRET, UNSAFE, every_address, every_route

RULES = Security("right" * 9, 8427)


def test_a_link_opens_once() -> None:
    first, second = RULES.new_link(), RULES.new_link()
    assert first != second
    assert len(first) == 43
    assert RULES.redeem(first)
    assert not RULES.redeem(first)
    assert RULES.redeem(second)
    assert not RULES.redeem("")


def test_a_link_waits_ten_minutes_and_no_more_than_a_hundred_do() -> None:
    assert (LINK_SECONDS, MOST_LINKS) == (600.0, 100)
    now = 0.0
    rules = Security("right" * 9, 8427, _links=OneTimeTokens(LINK_SECONDS, MOST_LINKS, lambda: now))
    kept, late = rules.new_link(), rules.new_link()
    now = 599.0
    assert rules.redeem(kept)
    now = 600.0
    assert not rules.redeem(late)
    links = [rules.new_link() for _ in range(101)]
    assert [rules.redeem(link) for link in links] == [False, *[True] * 100]


def test_tokens_are_good_once_for_a_while_and_not_without_end() -> None:
    now = 0.0
    tokens = OneTimeTokens(10.0, 3, lambda: now)
    first, second = tokens.new("one"), tokens.new("two")
    assert is_nonce(first) and not is_nonce(f"{first}x") and first != second
    assert (tokens.spend(first), tokens.spend(first), tokens.spend("")) == ("one", None, None)
    now = 9.9
    kept = [tokens.new(str(number)) for number in range(3)]
    assert tokens.spend(second) is None  # the oldest gave way
    now = 19.8
    assert tokens.spend(kept[0]) == "0"
    now = 19.9
    assert tokens.spend(kept[1]) is None


def test_a_proof_by_hand() -> None:
    """HMAC-SHA256 as OpenSSL has it: printf 'server 80 a b' | openssl dgst -sha256 -hmac key"""
    shown = response("key", "server", 80, "a", "b")
    assert shown == "8bbfa7fc9d837e196d0c907dbd3d0a2447ced5c942ba06d0264f728ed9a15152"
    others = [response("key", "command", 80, "a", "b"), response("key", "server", 81, "a", "b")]
    assert shown not in others and len(set(others)) == 2


@pytest.mark.parametrize(
    ("headers", "admitted"),
    [
        ({"cookie": f"aral-8427={RULES.secret}"}, True),
        ({"cookie": f"other=1; aral-8427={RULES.secret}"}, True),
        ({"cookie": f"aral-8428={RULES.secret}"}, False),
        ({"cookie": "aral-8427="}, False),
        ({"cookie": f"aral-8427={RULES.secret}x"}, False),
        ({"cookie": "aral-8427=\xff\xfe; =;;"}, False),
        ({"authorization": f"Bearer {RULES.secret}"}, True),
        ({"authorization": f"Bearer {RULES.secret[:-1]}"}, False),
        ({"authorization": "Basic " + base64.b64encode(f"a:{RULES.secret}".encode()).decode()}, True),
        ({"authorization": "Basic " + base64.b64encode(f"{RULES.secret}:a".encode()).decode()}, False),
        ({"authorization": "Basic %%%"}, False),
        ({"authorization": RULES.secret}, False),
        ({}, False),
    ],
)
def test_the_secret_admits_and_nothing_else(headers: dict[str, str], admitted: bool) -> None:
    assert RULES.admits(headers) is admitted


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1:8427", True),
        ("localhost:8427", True),
        ("LOCALHOST", True),
        ("[::1]:8427", True),
        ("[::1]", True),
        ("localhost:9000", False),  # another server of this machine
        ("127.0.0.1:80", False),
        ("localhost.:8427", False),
        ("127.0.0.1.", False),
        ("evil.example:8427", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("localhost@evil.example", False),
        ("evil.example#localhost", False),
        ("127.0.0.1:8427:80", False),
        ("127.0.0.1:99999", False),
        ("192.168.0.7", False),
        ("0.0.0.0:8427", False),
        ("[::]:8427", False),
        ("::1", False),
        ("[::1", False),
        ("2130706433", False),
        ("localhost\x00", False),
        (" localhost", False),
        ("", False),
        (None, False),
    ],
)
def test_hosts(host: str | None, allowed: bool) -> None:
    assert RULES.allows_host(host) is allowed


def test_a_name_that_was_given_may_come_with_another_port() -> None:
    """As through a tunnel: ssh -L 9000:localhost:8427, and --host-name localhost."""
    rules = Security(RULES.secret, 8427, frozenset({"localhost"}))
    assert rules.allows_host("localhost:9000")
    assert not rules.allows_host("127.0.0.1:9000")


def test_remote_servers_accept_addresses_but_no_foreign_names(tmp_path: Path) -> None:
    rules = Security.of_project(tmp_path, 80, frozenset({"lab.example"}), remote=True)
    assert rules.allows_host("192.168.0.7:80")
    assert rules.allows_host("[fe80::1]")
    assert rules.allows_host("lab.example")
    assert not rules.allows_host("evil.example")


@pytest.mark.parametrize(
    ("headers", "same"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": ""}, False),
        ({"sec-fetch-site": "cross-site", "origin": "http://localhost:1", "host": "localhost:1"}, False),
        ({"origin": "http://localhost:1", "host": "localhost:1"}, True),
        ({"origin": "http://localhost:2", "host": "localhost:1"}, False),
        ({"origin": "https://localhost:1", "host": "localhost:1"}, False),
        ({"origin": "http://evil.example", "host": "localhost:1"}, False),
        ({"origin": "null", "host": "localhost:1"}, False),
        ({"host": "localhost:1"}, True),
    ],
)
def test_origins(headers: dict[str, str], same: bool) -> None:
    assert same_origin(headers) is same


def test_the_secret_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    first = Security.of_project(tmp_path, 8427)
    file = tmp_path / SECRET_FILE
    assert file.stat().st_mode & 0o777 == 0o600
    assert Security.of_project(tmp_path, 8427).secret == first.secret
    assert [path.name for path in tmp_path.iterdir()] == [SECRET_FILE]
    file.write_text("short")
    assert len(Security.of_project(tmp_path, 8427).secret) == 43


def test_the_projects_name_for_the_page_does_not_tell_the_secret() -> None:
    other = Security("wrong" * 9, 8427)
    assert RULES.project_key != other.project_key
    assert RULES.project_key not in RULES.secret


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


def test_no_route_answers_under_another_host_name(app: FastAPI, client: TestClient) -> None:
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
    answers += [client.post("/api/answers", content=b"x" * (MOST_BODY_BYTES + 1))]
    for answer in answers:
        for name, value in HEADERS.items():
            assert answer.headers.get_list(name) == [value], answer.request.url
    policy = answers[0].headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


def test_a_body_has_a_limit_with_and_without_a_length(reader: TestClient) -> None:
    assert reader.post("/api/answers", content=b"x" * (MOST_BODY_BYTES + 1)).status_code == 413

    def pieces() -> Any:
        for _ in range(30):
            yield b"x" * 50_000

    assert reader.post("/api/answers", content=pieces()).status_code == 413
    assert reader.post("/api/answers", headers={"content-length": "-1"}).status_code == 400
    assert reader.post("/api/answers", content=b"x" * MOST_BODY_BYTES).status_code == 422


def test_no_file_leaks(app: FastAPI) -> None:
    """Sent as no client would: neither the payload nor its decoded form is tidied up on the way."""
    for place, payload in product(("/static/", "/thumbnail/", "/generated/", "/"), TRAVERSALS):
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
"""Headers of an admitted request."""


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
