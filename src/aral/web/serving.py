"""Running the labelling server: choosing a port, telling where it is, stopping within seconds."""

from __future__ import annotations

import getpass
import ipaddress
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import uvicorn

from aral.annotation import Project
from aral.errors import BadInput, RunFailed
from aral.loop.lock import FolderLock
from aral.web.app import make_app
from aral.web.security import LOOPBACK, Security, for_project
from aral.web.whereabouts import Note, link_of_running_server, read_note, write_note

FIRST_PORT = 8427
"""Asked for when no port is given and none was used before."""

SERVER_LOCK = "server.lock"
START_SECONDS = 10.0
STOP_SECONDS = 1
"""For replies under way; an answer that is not acknowledged is sent again by the page."""


@dataclass(frozen=True)
class Served:
    """A server that runs.

    Attributes:
        url: where it is, without a token.
        port: the port it listens on.
        security: its rules.
    """

    url: str
    port: int
    security: Security

    def link(self) -> str:
        """An address that opens the page once."""
        return f"{self.url}?token={self.security.new_link()}"


@contextmanager
def served(
    project: Project,
    host: str = "127.0.0.1",
    port: int | None = None,
    *,
    allow_remote: bool = False,
    hosts: Sequence[str] = (),
    annotator: str = "",
) -> Iterator[Served]:
    """Within the block the project is served, from a thread of its own.

    Args:
        project: what is labelled.
        host: the address to listen on.
        port: where; without one the port of the last time if it is free, so that open pages go on.
        allow_remote: listen on an address that other machines can reach.
        hosts: more names under which the server may be called, such as that of a proxy.
        annotator: the name of a person who has not given one; by default the user's.

    Raises:
        BadInput: the project is served already, the port is taken, or the address is not one of this machine,
            or needs ``allow_remote``.
        RunFailed: the server did not start.
    """
    remote = not _is_loopback(host)
    if remote and not allow_remote:
        raise BadInput(
            f"Other machines could reach {host}.",
            "Add --allow-remote if that is meant: whoever has the link can label, and nothing is encrypted.",
        )
    lock = _lock(project.folder)
    try:
        with _running(project, host, port, remote, hosts, annotator) as running:
            yield running
    finally:
        lock.release()


def _lock(folder: Path) -> FolderLock:
    """One server a project: a second one would take the page, the trainer's state and the note of the first."""
    try:
        return FolderLock(folder, SERVER_LOCK, "The page of")
    except BadInput as error:
        note = read_note(folder)
        link = link_of_running_server(folder)
        where = f" It is at {link or note.url}" if note is not None and note.pid is not None else ""
        raise BadInput(f"{error.problem}{where}", "Open that page, or stop that process first.") from error


@contextmanager
def _running(
    project: Project, host: str, port: int | None, remote: bool, hosts: Sequence[str], annotator: str
) -> Iterator[Served]:
    """As :func:`served`, once nobody else serves the project."""
    listening = _listen(host, port, project.folder)
    port = listening.getsockname()[1]
    security = for_project(
        project.folder, port, LOOPBACK | {each.lower() for each in (*hosts, _address(host))}, remote
    )
    app = make_app(project, security, annotator or _user())
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            access_log=False,  # addresses may hold a link's token
            log_level="warning",
            log_config=None,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=STOP_SECONDS,
            ws="none",
        )
    )
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listening]}, name="aral-web", daemon=True
    )
    thread.start()
    note = Note(port, host, os.getpid())
    try:
        _wait_until_started(server, thread)
        write_note(project.folder, note)
        yield Served(f"http://{_address(host)}:{port}/", port, security)
    finally:
        server.should_exit = True
        thread.join(STOP_SECONDS + 2)
        listening.close()
        if read_note(project.folder) == note:
            write_note(project.folder, replace(note, pid=None))  # the port, for the next time


def serve(
    project: Project,
    host: str = "127.0.0.1",
    port: int | None = None,
    *,
    opened: Callable[[Served], None],
    stopping: Callable[[], bool],
    allow_remote: bool = False,
    hosts: Sequence[str] = (),
    annotator: str = "",
) -> None:
    """Serve a project until ``stopping`` says so; ``opened`` is called once it runs. See :func:`served`."""
    with served(project, host, port, allow_remote=allow_remote, hosts=hosts, annotator=annotator) as running:
        opened(running)
        while not stopping():
            time.sleep(0.1)


def _listen(host: str, port: int | None, folder: Path) -> socket.socket:
    """A socket on the port that was asked for, or on the first free one of some that suit."""
    if port is not None:
        candidates = [port]
    else:
        before = read_note(folder)
        candidates = [before.port if before else FIRST_PORT, *range(FIRST_PORT, FIRST_PORT + 10), 0]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    trouble: OSError | None = None
    for candidate in candidates:
        # By the protocol's number asyncio knows that it must not hold small answers back (Nagle): 40 ms each.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, candidate))
            listening.listen(256)
        except OSError as error:
            listening.close()
            trouble = error
            continue
        return listening
    raise BadInput(
        f"Cannot listen on {host}, port {candidates[0]}: {trouble}.",
        "Choose another one with --port, or leave it out.",
    )


def _wait_until_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RunFailed("The labelling server did not start.", "Run the command again.")
        time.sleep(0.005)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _address(host: str) -> str:
    """The host as part of an address; one that listens everywhere is named by this machine's name."""
    if host in ("0.0.0.0", "::"):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "me"
