"""The server on a real port: starting, links, stopping, starting again."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path

import pytest

from aral.annotation import Project, TrainingState
from aral.errors import BadInput
from aral.testing import save_noise
from aral.web import Security, link_of_running_server, served, url_of_running_server
from aral.web.security import response
from aral.web.server import FIRST_PORT, SERVER_FILE, serve
from tests.web.conftest import ServerProcess, event


def status_of(port: int, path: str, address: str = "127.0.0.1", **headers: str) -> int:
    connection = HTTPConnection(address, port, timeout=5)
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_it_runs_names_its_address_and_stops(project: Project) -> None:
    with served(project) as running:
        port = running.port
        assert running.url == f"http://127.0.0.1:{port}/"
        assert status_of(port, "/") == 401
        assert status_of(port, running.link().removeprefix(running.url.rstrip("/"))) == 200
        note = project.folder / SERVER_FILE
        assert json.loads(note.read_text())["port"] == port
        assert note.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConnectionError):
        status_of(port, "/")
    assert "pid" not in json.loads((project.folder / SERVER_FILE).read_text())


def test_the_next_start_takes_the_same_port_and_the_same_cookie(project: Project) -> None:
    with served(project, port=0) as running:
        port, secret = running.port, running.security.secret
    with served(project) as running:
        assert (running.port, running.security.secret) == (port, secret)
        assert status_of(port, "/api/project", cookie=f"aral-{port}={secret}") == 200


def test_responses_on_an_open_connection_are_not_delayed(project: Project) -> None:
    waits = []
    with served(project) as running:
        connection = HTTPConnection("127.0.0.1", running.port, timeout=5)
        cookie = f"{running.security.cookie_name}={running.security.secret}"
        for _ in range(40):
            begin = time.perf_counter()
            connection.request("GET", "/api/disagreements", headers={"cookie": cookie})
            assert connection.getresponse().read() == b'{"disagreements":[]}'
            waits.append(time.perf_counter() - begin)
        connection.close()
    # With Nagle's algorithm a response waits for an acknowledgement, which the other side delays by 40 ms.
    assert sorted(waits)[10] < 0.03


def test_a_port_that_is_taken(project: Project) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(BadInput, match=str(taken)), served(project, port=taken):
            pass
        (project.folder / SERVER_FILE).write_text(json.dumps({"port": taken}))
        with served(project) as running:
            assert running.port != taken


def test_two_projects_at_the_same_time(project: Project, tmp_path: Path) -> None:
    save_noise(tmp_path / "more" / "a.png", 1)
    with (
        Project.create_or_open(tmp_path / "more") as other,
        served(project) as first,
        served(other) as second,
    ):
        assert first.port != second.port
        assert (
            status_of(second.port, "/api/project", cookie=f"aral-{first.port}={first.security.secret}") == 401
        )


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1"])
def test_a_second_start_gets_a_link_of_the_first(project: Project, host: str) -> None:
    assert link_of_running_server(project.folder) is None
    with served(project, host) as running:
        link = link_of_running_server(project.folder)
        assert link is not None and link.startswith(running.url)
        path = link.removeprefix(running.url.rstrip("/"))
        assert status_of(running.port, path, host) == 200
        assert status_of(running.port, path, host) == 401
    assert link_of_running_server(project.folder) is None


def test_the_url_of_a_running_server_makes_no_link(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr(Security, "new_link", lambda self: made.append("") or "token")
    assert url_of_running_server(project.folder) is None
    with served(project) as running:
        assert url_of_running_server(project.folder) == running.url
        assert made == []
        (project.folder / "web-secret").write_text("x" * 43)  # another one than the server's
        assert url_of_running_server(project.folder) is None
    assert url_of_running_server(project.folder) is None


def test_a_second_server_is_refused_and_changes_nothing(project: Project) -> None:
    with served(project) as running:
        project.models.set_training_state(TrainingState("training", 3, 0.5, "of the first"))
        note = (project.folder / SERVER_FILE).read_bytes()
        for _ in range(2):
            with pytest.raises(BadInput) as refusal, served(project, port=0):
                pass
            assert f"process {os.getpid()}" in refusal.value.problem
            link = refusal.value.problem.rpartition(" ")[2]
            assert status_of(running.port, link.removeprefix(running.url.rstrip("/"))) == 200
        assert (project.folder / SERVER_FILE).read_bytes() == note
        assert project.models.training_state().message == "of the first"
        (project.folder / "web-secret").write_text("x" * 43)  # it does not prove itself any more
        with pytest.raises(BadInput) as refusal, served(project):
            pass
        assert refusal.value.problem.endswith(running.url)
    with served(project):
        pass


def test_a_server_that_was_killed_is_no_obstacle(
    project: Project, serve_in_process: Callable[[Project], ServerProcess]
) -> None:
    """The kernel releases its lock; the address that it left behind is not used."""
    other = serve_in_process(project)
    with pytest.raises(BadInput, match=f"process {other.pid}"), served(project):
        pass
    other.kill()
    assert json.loads((project.folder / SERVER_FILE).read_text())["pid"] == other.pid
    with served(project) as running:
        assert status_of(running.port, "/") == 401


def test_a_server_that_listens_everywhere_is_found_on_this_machine(project: Project) -> None:
    with served(project, "0.0.0.0", allow_remote=True) as running:
        link = link_of_running_server(project.folder)
        assert link is not None and link.startswith(f"http://127.0.0.1:{running.port}/?token=")


def test_what_another_program_answers_is_no_link(project: Project) -> None:
    (project.folder / SERVER_FILE).write_text("[]")
    assert link_of_running_server(project.folder) is None
    with served(project):
        (project.folder / "web-secret").write_text("x" * 43)
        assert link_of_running_server(project.folder) is None


class Listener:
    """Another program on a port: records what it receives, and gives every request the same response."""

    def __init__(self, answer: bytes) -> None:
        self.received = b""
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with connection:
                    while part := connection.recv(65536):
                        self.received += part
                        head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(self._answer)}\r\n\r\n"
                        connection.sendall(head.encode() + self._answer)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)


@pytest.fixture
def listener() -> Iterator[Listener]:
    """A program that pretends to be the server."""
    made_up = {"path": "/?token=x", "nonce": "n" * 43, "proof": "0" * 64}
    opened = Listener(json.dumps(made_up).encode())
    yield opened
    opened.close()


def test_the_secret_is_never_sent_to_another_program_on_the_old_port(
    project: Project, listener: Listener
) -> None:
    with served(project) as running:
        secret = running.security.secret
    note = {"pid": os.getpid(), "port": listener.port}  # as a server leaves it that was killed
    (project.folder / SERVER_FILE).write_text(json.dumps(note))
    assert link_of_running_server(project.folder) is None
    assert listener.received.startswith(b"GET /api/hello?nonce=")
    assert secret.encode() not in listener.received
    assert b"authorization" not in listener.received.lower()


@pytest.mark.parametrize("pid", [None, 2**22 + 1, 0, -1, 2**70])
def test_nothing_is_sent_after_a_server_has_ended(
    project: Project, listener: Listener, pid: int | None
) -> None:
    with served(project):
        pass
    (project.folder / SERVER_FILE).write_text(json.dumps({"pid": pid, "port": listener.port}))
    assert link_of_running_server(project.folder) is None
    assert listener.received == b""


def test_a_proof_is_good_once_and_for_its_own_server(project: Project) -> None:
    with served(project) as running:
        rules = running.security
        ours = "a" * 43

        def ask(port: int, secret: str = rules.secret) -> str:
            nonce = rules.challenge(ours)["nonce"]
            return f"Proof {nonce} {response(secret, 'command', port, ours, nonce)}"

        good = ask(rules.port)
        assert rules.challenge(ours)["proof"] not in good
        assert status_of(running.port, "/api/project", authorization=good) == 200
        assert status_of(running.port, "/api/project", authorization=good) == 401
        assert status_of(running.port, "/api/project", authorization=ask(rules.port + 1)) == 401
        assert status_of(running.port, "/api/project", authorization=ask(rules.port, "x" * 43)) == 401
        own = rules.challenge(ours)  # what the server has shown is no proof of the other side
        mirrored = f"Proof {own['nonce']} {own['proof']}"
        assert status_of(running.port, "/api/project", authorization=mirrored) == 401
        assert status_of(running.port, "/api/hello?nonce=short") == 422
        assert status_of(running.port, "/api/hello?nonce=" + ours, host="evil.example") == 400


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "example.com"])
def test_other_machines_are_let_in_only_when_that_is_meant(project: Project, host: str) -> None:
    with pytest.raises(BadInput) as refusal, served(project, host):
        pass
    assert "--allow-remote" in refusal.value.hint


def test_an_address_that_is_not_of_this_machine(project: Project) -> None:
    with pytest.raises(BadInput, match=r"192\.0\.2\.1"), served(project, "192.0.2.1", allow_remote=True):
        pass


def test_it_serves_until_it_is_stopped(project: Project) -> None:
    seen: list[int] = []
    serve(project, opened=lambda running: seen.append(status_of(running.port, "/")), stopping=lambda: True)
    assert seen == [401]
    assert FIRST_PORT > 1024


def test_eight_annotators_at_once_lose_nothing(project: Project) -> None:
    with served(project, port=0) as running, ThreadPoolExecutor(8) as people:
        cookie = f"aral-{running.port}={running.security.secret}"

        def answer(person: int) -> list[int]:
            connection = HTTPConnection("127.0.0.1", running.port, timeout=20)
            statuses = []
            for image in range(15):
                body = json.dumps({"events": [{**event(image), "annotator": f"person {person}"}]})
                connection.request(
                    "POST", "/api/answers", body, {"cookie": cookie, "content-type": "application/json"}
                )
                reply = connection.getresponse()
                reply.read()
                statuses.append(reply.status)
            connection.close()
            return statuses

        statuses = [status for each in people.map(answer, range(8)) for status in each]
    assert statuses == [200] * 120
    assert [len(project.annotations.history(f"person {person}", count=100)) for person in range(8)] == [
        15
    ] * 8
