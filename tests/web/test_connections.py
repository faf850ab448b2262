"""Connections that never end, too many of them, and responses to requests that are too large."""

from __future__ import annotations

import json
import logging
import resource
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path

import pytest

from aral.annotation import Project
from aral.web import Limits, Served, served
from aral.web.connections import OncePerMinute, connections_for_files
from tests.web.conftest import event

BIG = 24_000_000

SERVE = """
import resource, sys, time
from pathlib import Path
from aral.annotation import Project
from aral.web import Limits, served
with Project.open(Path(sys.argv[1])) as project:
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]), int(sys.argv[2])))
    limits = Limits(**({"connections": int(sys.argv[3])} if sys.argv[3] else {}))
    with served(project, port=0, limits=limits) as running:
        print(running.port, running.security.secret, flush=True)
        time.sleep(600)
"""

Serve = Callable[..., Served]


@pytest.fixture
def serve(project: Project) -> Iterator[Serve]:
    """Serves the project with limits of its own."""
    with ExitStack() as stack:

        def start(**limits: float) -> Served:
            return stack.enter_context(served(project, port=0, limits=Limits(**limits)))  # type: ignore[arg-type]

        yield start


def head(port: int, secret: str, more: str = "") -> str:
    return f"POST /api/answers HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nCookie: aral-{port}={secret}\r\n{more}"


def opened(port: int, content: str = "") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    connection.sendall(content.encode())
    return connection


def is_ended(connection: socket.socket, within: float) -> bool:
    """Whether the server ends the connection within some seconds."""
    deadline = time.monotonic() + within
    while True:
        readable, _, _ = select.select([connection], [], [], max(0.0, deadline - time.monotonic()))
        if not readable:
            return False
        try:
            if not connection.recv(1 << 16):
                return True
        except OSError:
            return True


def label(port: int, secret: str, image: int) -> float:
    """Seconds that an answer takes over a new connection."""
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    started = time.monotonic()
    body = json.dumps({"events": [event(image)]})
    headers = {"cookie": f"aral-{port}={secret}", "content-type": "application/json"}
    connection.request("POST", "/api/answers", body, headers)
    reply = connection.getresponse()
    reply.read()
    connection.close()
    assert reply.status == 200
    return time.monotonic() - started


def test_requests_that_never_end_are_closed(serve: Serve) -> None:
    running = serve(head_seconds=0.4, body_seconds=0.8)
    port, secret = running.port, running.security.secret
    whole = head(port, secret, "Content-Length: 1000\r\n\r\n")
    with ExitStack() as stack:
        silent, partial, body, second = (
            stack.enter_context(opened(port, content))
            for content in ("", whole[:40], f'{whole}{{"events"', f"GET /x HTTP/1.1\r\n\r\n{whole[:40]}")
        )
        trickling = stack.enter_context(opened(port))
        started = time.monotonic()
        with suppress(OSError):
            while time.monotonic() - started < 5:
                trickling.sendall(b"P")  # each byte on time, the head never
                time.sleep(0.05)
                if is_ended(trickling, 0):
                    break
        assert 0.3 < time.monotonic() - started < 2
        assert all(is_ended(each, 2) for each in (silent, partial, body, second))
    assert label(port, secret, 1) < 1


def test_a_client_that_leaves_its_responses_unread_is_closed(serve: Serve) -> None:
    running = serve(reading_seconds=0.4)
    wanted = f"GET /static/page.css HTTP/1.1\r\n{head(running.port, running.security.secret)[28:]}\r\n"
    with opened(running.port) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(40)
        with pytest.raises(OSError, match=r"reset|Broken|timed out") as ended:
            while True:
                connection.sendall(wanted.encode() * 100)
        assert not isinstance(ended.value, TimeoutError)


def test_more_connections_than_the_limit_end_the_oldest_that_wait(serve: Serve) -> None:
    running = serve(connections=10, head_seconds=30.0)
    port, secret = running.port, running.security.secret
    with ExitStack() as stack:
        waiting = [stack.enter_context(opened(port, "POST ")) for _ in range(60)]
        times = [label(port, secret, image) for image in range(10)]
        time.sleep(0.2)
        ended = [is_ended(each, 0) for each in waiting]
    assert max(times) < 1
    assert sum(ended) >= 50
    assert ended == sorted(ended, reverse=True), "the oldest first"


@contextmanager
def server_process(project: Project, files: int, connections: str = "") -> Iterator[tuple[int, str, Path]]:
    """A server of its own that may open so many files: its port, secret and what it printed."""
    printed = project.folder.parent / "printed"
    command = [sys.executable, "-c", SERVE, str(project.folder), str(files), connections]
    with (
        printed.open("wb") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            port, secret = process.stdout.readline().split()
            yield int(port), secret, printed
        finally:
            process.kill()


def test_two_hundred_half_open_connections_at_a_limit_of_128_files(project: Project) -> None:
    with server_process(project, 128) as (port, secret, printed), ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(opened(port, head(port, secret)[:60]))
        times = sorted(label(port, secret, image) for image in range(20))
        assert times[-2] < 0.5 and times[-1] < 3
        assert printed.stat().st_size < 2000


def test_without_file_descriptors_one_line_is_logged(project: Project) -> None:
    """Here nothing keeps the connections below the limit of files."""
    with server_process(project, 64, "10000") as (port, secret, printed):
        with ExitStack() as stack:
            for _ in range(100):
                stack.enter_context(opened(port))
            time.sleep(2.5)
            text = printed.read_text()
            assert "too many files" in text and len(text) < 1000
        assert label(port, secret, 1) < 5, "it goes on once there are descriptors again"


@pytest.mark.parametrize("more", ["", "Connection: close\r\n", "Expect: 100-continue\r\n"])
@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize(("is_admitted", "status"), [(True, 413), (False, 401)])
def test_a_body_that_is_too_large_gets_its_response(
    serve: Serve, more: str, is_chunked: bool, is_admitted: bool, status: int
) -> None:
    """The client sends all of it before it reads."""
    running = serve()
    length = "Transfer-Encoding: chunked\r\n\r\n" if is_chunked else f"Content-Length: {BIG}\r\n\r\n"
    secret = running.security.secret if is_admitted else "wrong"
    with opened(running.port, head(running.port, secret, more + length)) as connection:
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        connection.sendall(chunk * (BIG // 0x10000) + b"0\r\n\r\n" if is_chunked else b"x" * BIG)
        received = connection.recv(1 << 16)
        assert f"HTTP/1.1 {status} ".encode() in received
        assert b'"hint"' in received
        assert is_ended(connection, 2)


@pytest.mark.parametrize(
    "limits", [{"linger_bytes": 1_000_000, "linger_seconds": 20.0}, {"linger_seconds": 0.3}]
)
def test_a_body_without_an_end_is_not_read_for_ever(serve: Serve, limits: dict[str, float]) -> None:
    running = serve(**limits)
    content = head(running.port, "wrong", "Content-Length: 1000000000000\r\n\r\n")
    with opened(running.port, content) as connection:
        started = time.monotonic()
        with pytest.raises(ConnectionError):
            while time.monotonic() - started < 5:
                connection.sendall(b"x" * 1000)
                time.sleep(0.001 * ("linger_bytes" not in limits))


@pytest.mark.parametrize(
    "lines",
    [
        "Content-Length: -1",
        "Content-Length: +5",
        "Content-Length: 1e3",
        "Content-Length: 0x10",
        "Content-Length: ",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 6",
        "Content-Length: 99999999999999999999999999",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, gzip",
    ],
)
def test_unclear_lengths_are_refused(serve: Serve, lines: str) -> None:
    running = serve()
    content = head(running.port, running.security.secret, f"{lines}\r\n\r\n") + "5\r\n12345\r\n0\r\n\r\n"
    with opened(running.port, content) as connection:
        status = int(connection.recv(4096).split()[1])
        assert status in (400, 413, 501)
        assert is_ended(connection, 6) or status == 400


def test_a_message_is_logged_once_a_minute() -> None:
    now = 0.0
    passes = OncePerMinute(60.0, lambda: now).filter

    def record(message: str, level: int = logging.WARNING) -> logging.LogRecord:
        return logging.LogRecord("x", level, "", 0, message, (), None)

    assert [passes(record("a")), passes(record("a")), passes(record("b"))] == [True, False, True]
    assert passes(record("a", logging.ERROR)) and passes(record("a", logging.ERROR))
    now = 61.0
    assert passes(record("a"))


def test_the_limit_leaves_file_descriptors_for_other_things(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (128, 128))
    assert 4 <= connections_for_files() < 80
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (1 << 20, 1 << 20))
    assert connections_for_files() == 256
