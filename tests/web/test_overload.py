"""Requests that are too large, too many or never end, and what is left of a secret afterwards."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection

import pytest

from aral.annotation import Project
from aral.web import Served, served
from tests.web.conftest import event

SLOW = 200


@pytest.fixture
def running(project: Project) -> Iterator[Served]:
    with served(project, port=0) as server:
        yield server


def head(running: Served) -> str:
    """The lines of an admitted request."""
    return f"Host: 127.0.0.1:{running.port}\r\nCookie: aral-{running.port}={running.security.secret}\r\n"


def opened(running: Served, content: str) -> socket.socket:
    """A connection over which this was sent."""
    connection = socket.create_connection(("127.0.0.1", running.port), timeout=10)
    connection.sendall(content.encode())
    return connection


def answer(running: Served, content: str) -> tuple[int, float]:
    """Status of the answer, and the seconds it took."""
    started = time.monotonic()
    with opened(running, content) as connection:
        status = int(connection.recv(4096).split()[1])
    return status, time.monotonic() - started


def label(running: Served, image: int) -> float:
    """Seconds that an answer takes; the first connection of many that are open."""
    connection = HTTPConnection("127.0.0.1", running.port, timeout=20)
    cookie = f"aral-{running.port}={running.security.secret}"
    started = time.monotonic()
    connection.request(
        "POST",
        "/api/answers",
        json.dumps({"events": [event(image)]}),
        {"cookie": cookie, "content-type": "application/json"},
    )
    reply = connection.getresponse()
    reply.read()
    connection.close()
    assert reply.status == 200
    return time.monotonic() - started


def test_a_body_of_a_hundred_megabytes_is_refused_by_its_length(running: Served) -> None:
    status, seconds = answer(
        running, f"POST /api/answers HTTP/1.1\r\n{head(running)}Content-Length: 100000000\r\n\r\n"
    )
    assert status == 413 and seconds < 0.5


@pytest.mark.parametrize("path", ["/static/page.js", "/thumbnail/0"])
@pytest.mark.parametrize("size", [1_000, 60_000])
def test_thousands_of_ranges_cost_no_more_than_one(running: Served, path: str, size: int) -> None:
    """Merging them took a server minutes once (CVE-2025-62727)."""
    ranges = ",".join(f"{place}-{place}" for place in range(0, size, 2))[:size].rpartition(",")[0]
    status, seconds = answer(running, f"GET {path} HTTP/1.1\r\n{head(running)}Range: bytes={ranges}\r\n\r\n")
    assert status in (200, 206, 400, 416, 431) and seconds < 0.5


def test_hundreds_of_slow_connections_do_not_block_an_annotator(running: Served, project: Project) -> None:
    whole = f"POST /api/answers HTTP/1.1\r\n{head(running)}Content-Length: 1000\r\n\r\n"
    with ExitStack() as stack:
        for number in range(SLOW):  # half of them stop within the head, half within the body
            stack.enter_context(opened(running, whole[:40] if number % 2 else f'{whole}{{"events"'))
        times = sorted(label(running, image) for image in range(20))
    assert times[-2] < 0.5, "some 10 ms on a machine that does nothing else"
    assert project.labels.counts().labelled == 20


def test_no_token_and_no_secret_is_ever_logged(
    running: Served, project: Project, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = running.security.secret
    with caplog.at_level(logging.DEBUG):
        path = running.link().removeprefix(running.url.rstrip("/"))
        token = path.partition("=")[2]
        answers = []
        for wanted in (200, 401):  # opened, and opened again
            connection = HTTPConnection("127.0.0.1", running.port, timeout=5)
            connection.request("GET", path)
            reply = connection.getresponse()
            answers.append((reply.read().decode(), dict(reply.getheaders())))
            connection.close()
            assert reply.status == wanted
        status, _ = answer(running, f"GET /api/status?annotator=Ann HTTP/1.1\r\n{head(running)}\r\n")
        assert status == 200
    printed = capfd.readouterr()
    for text in (caplog.text, printed.out, printed.err, *(body for body, _ in answers)):
        assert token not in text and secret not in text
    assert all(headers["referrer-policy"] == "no-referrer" for _, headers in answers)
    assert 'content="0; url=/"' in answers[0][0], "the address bar forgets the token at once"
    kept = [
        file for file in project.folder.rglob("*") if file.is_file() and token.encode() in file.read_bytes()
    ]
    assert kept == []
