"""The server on a real port: starting, links, stopping, starting again."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import pytest

from aral.errors import BadInput
from aral.project import Project
from aral.web import link_of_running_server, served
from aral.web.serving import FIRST_PORT, SERVER_FILE, serve
from tests.web.conftest import paint
from tests.web.events import event


def status_of(port: int, path: str, **headers: str) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_it_runs_and_tells_where_and_stops(project: Project) -> None:
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


def test_answers_on_an_open_connection_are_not_held_back(project: Project) -> None:
    waits = []
    with served(project) as running:
        connection = HTTPConnection("127.0.0.1", running.port, timeout=5)
        cookie = f"{running.security.cookie_name}={running.security.secret}"
        for _ in range(40):
            begin = time.perf_counter()
            connection.request("GET", "/api/conflicts", headers={"cookie": cookie})
            assert connection.getresponse().read() == b'{"conflicts":[]}'
            waits.append(time.perf_counter() - begin)
        connection.close()
    # Held back, an answer waits for the other side's acknowledgement, which is put off by 40 ms.
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
    paint(tmp_path / "more" / "a.png", 1)
    with (
        Project.create_or_open(tmp_path / "more") as other,
        served(project) as first,
        served(other) as second,
    ):
        assert first.port != second.port
        assert (
            status_of(second.port, "/api/project", cookie=f"aral-{first.port}={first.security.secret}") == 401
        )


def test_a_second_start_gets_a_link_of_the_first(project: Project) -> None:
    assert link_of_running_server(project.folder) is None
    with served(project) as running:
        link = link_of_running_server(project.folder)
        assert link is not None
        path = link.removeprefix(running.url.rstrip("/"))
        assert status_of(running.port, path) == 200
        assert status_of(running.port, path) == 401
    assert link_of_running_server(project.folder) is None


def test_what_another_program_answers_is_no_link(project: Project) -> None:
    (project.folder / SERVER_FILE).write_text("[]")
    assert link_of_running_server(project.folder) is None
    with served(project):
        (project.folder / "web-secret").write_text("x" * 43)
        assert link_of_running_server(project.folder) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "example.com"])
def test_other_machines_are_let_in_only_when_that_is_meant(project: Project, host: str) -> None:
    with pytest.raises(BadInput) as refusal, served(project, host):
        pass
    assert "--allow-remote" in refusal.value.hint


def test_an_address_that_is_not_of_this_machine(project: Project) -> None:
    with pytest.raises(BadInput, match=r"192\.0\.2\.1"), served(project, "192.0.2.1", allow_remote=True):
        pass


def test_it_serves_until_it_is_told_to_stop(project: Project) -> None:
    seen: list[int] = []
    serve(project, opened=lambda running: seen.append(status_of(running.port, "/")), stopping=lambda: True)
    assert seen == [401]
    assert FIRST_PORT > 1024


def test_eight_people_at_once_lose_nothing(project: Project) -> None:
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
    assert [len(project.history(f"person {person}", count=100)) for person in range(8)] == [15] * 8
