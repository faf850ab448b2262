"""Run the labelling server of a project, or find the one that is running: port, lock, and the file with its address."""

from __future__ import annotations

import getpass
import http.client
import ipaddress
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from aral.annotation import Project
from aral.annotation.backups import SERVER_LOCK
from aral.durable import write_file
from aral.errors import BadInput, RunFailed
from aral.lock import FolderLock
from aral.web.app import make_app
from aral.web.connections import LimitedServer, Limits, limited_server
from aral.web.security import CHALLENGE_PATH, LOOPBACK, Security, is_nonce, new_nonce, response, stored_secret

FIRST_PORT = 8427
"""The first candidate when no port is given and the project has no earlier one."""

SERVER_FILE = "server.json"
"""In the project's folder: where its newest server listens, or listened."""

START_SECONDS = 10.0

STOP_SECONDS = 1
"""For responses under way; the page sends an answer again that was not acknowledged."""

RESPONSE_SECONDS = 2.0
"""How long a command waits for a running server."""

_MOST_BYTES = 10_000
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True)
class Served:
    """A running server.

    Attributes:
        url: its page, without a token.
        port: the port it listens on.
        security: its rules.
    """

    url: str
    port: int
    security: Security

    def link(self) -> str:
        """A URL that opens the page once."""
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
    limits: Limits | None = None,
) -> Iterator[Served]:
    """Serve a project from a thread of its own within the block.

    Args:
        project: the project.
        host: the address to listen on.
        port: the port; None for that of the last time if it is free, so that open pages continue to work.
        allow_remote: listen on an address that other machines can reach.
        hosts: more host names that requests may be addressed to, such as that of a proxy.
        annotator: the name of an annotator who has not given one; empty for the user's.
        limits: of the connections; None for the default.

    Raises:
        BadInput: the project has a server already, the port is taken, or the address is not one of this
            machine, or needs ``allow_remote``.
        RunFailed: the server did not start.
    """
    remote = not _is_loopback(host)
    if remote and not allow_remote:
        raise BadInput(
            f"Other machines could reach {host}.",
            "Add --allow-remote to allow it: anyone with the link can label, and the connection is not encrypted.",
        )
    lock = _lock(project.folder)
    try:
        with _running(project, host, port, remote, hosts, annotator, limits) as running:
            yield running
    finally:
        lock.release()


def _lock(folder: Path) -> FolderLock:
    """One server a project: a second one would overwrite the trainer's state and the address of the first."""
    try:
        return FolderLock(folder, SERVER_LOCK, "The page of")
    except BadInput as error:
        address = read_address(folder)
        link = link_of_running_server(folder)
        where = f" It is at {link or address.url}" if address is not None and address.pid is not None else ""
        raise BadInput(f"{error.problem}{where}", "Open that page, or stop that process first.") from error


@contextmanager
def _running(
    project: Project,
    host: str,
    port: int | None,
    remote: bool,
    hosts: Sequence[str],
    annotator: str,
    limits: Limits | None,
) -> Iterator[Served]:
    """As :func:`served`, once the lock is held."""
    listening = _listen(host, port, project.folder)
    port = listening.getsockname()[1]
    names = {each.lower() for each in hosts}
    if _url_host(host) not in LOOPBACK:
        names.add(_url_host(host).lower())
    security = Security.of_project(project.folder, port, frozenset(names), remote)
    app = make_app(project, security, annotator or _user())
    server = limited_server(
        app,
        limits,
        access_log=False,  # a URL may contain a link's token
        log_level="warning",
        log_config=None,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listening]}, name="aral-web", daemon=True
    )
    thread.start()
    address = ServerAddress(port, host, os.getpid())
    try:
        _wait_until_started(server, thread)
        write_address(project.folder, address)
        yield Served(f"http://{_url_host(host)}:{port}/", port, security)
    finally:
        server.should_exit = True
        thread.join(STOP_SECONDS + 2)
        listening.close()
        if read_address(project.folder) == address:
            with suppress(
                OSError
            ):  # the disk may be full: the address is of no more use, and everything else is saved
                write_address(project.folder, replace(address, pid=None))  # the port, for the next time


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
    """Serve a project until ``stopping`` is true; ``opened`` is called once it runs. See :func:`served`."""
    with served(project, host, port, allow_remote=allow_remote, hosts=hosts, annotator=annotator) as running:
        opened(running)
        while not stopping():
            time.sleep(0.1)


def _listen(host: str, port: int | None, folder: Path) -> socket.socket:
    """A socket on the given port, or else on the first free one of several."""
    if port is not None:
        candidates = [port]
    else:
        before = read_address(folder)
        candidates = [before.port if before else FIRST_PORT, *range(FIRST_PORT, FIRST_PORT + 10), 0]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    failure: OSError | None = None
    for candidate in candidates:
        # Given the protocol, asyncio switches off Nagle's algorithm, which delays small responses by 40 ms.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, candidate))
            listening.listen(256)
        except OSError as error:
            listening.close()
            failure = error
            continue
        return listening
    raise BadInput(
        f"Cannot listen on {host}, port {candidates[0]}: {failure}.",
        "Choose another one with --port, or leave it out.",
    )


def _wait_until_started(server: LimitedServer, thread: threading.Thread) -> None:
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


def _url_host(host: str) -> str:
    """The host as part of a URL; this machine's name for a server that listens on all addresses."""
    if host in ("0.0.0.0", "::"):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "me"


@dataclass(frozen=True)
class ServerAddress:
    """Where the newest server of a project listens.

    Attributes:
        port: its port.
        host: the address it listens on.
        pid: its process; None once it has ended.
    """

    port: int
    host: str = "127.0.0.1"
    pid: int | None = None

    @property
    def local_host(self) -> str:
        """The address under which this machine reaches it."""
        return _EVERYWHERE.get(self.host, self.host)

    @property
    def url(self) -> str:
        """Its page, without a token."""
        host = self.local_host
        return f"http://[{host}]:{self.port}/" if ":" in host else f"http://{host}:{self.port}/"


def read_address(folder: Path) -> ServerAddress | None:
    """The address in a project's folder; None when there is none, or none that can be read."""
    try:
        stored = json.loads((folder / SERVER_FILE).read_text(encoding="utf-8"))
        port, host, pid = stored["port"], stored.get("host", "127.0.0.1"), stored.get("pid")
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    if not (isinstance(port, int) and 0 < port < 65536 and isinstance(host, str)):
        return None
    return ServerAddress(port, host, pid if isinstance(pid, int) and pid > 0 else None)


def write_address(folder: Path, address: ServerAddress) -> None:
    """Store an address, readable by its owner only."""
    known = {name: value for name, value in asdict(address).items() if value is not None}
    write_file(folder / SERVER_FILE, json.dumps(known).encode(), private=True)


def url_of_running_server(folder: Path) -> str | None:
    """The page of the server that serves a project, without a token; None when there is no such server.

    Args:
        folder: the project's own folder (``.aral``).
    """
    return _query_running_server(folder, new_link=False)


def link_of_running_server(folder: Path) -> str | None:
    """A new link of the server that serves a project, which opens its page once; None when there is no such server.

    Args:
        folder: the project's own folder (``.aral``).
    """
    return _query_running_server(folder, new_link=True)


def _query_running_server(folder: Path, new_link: bool) -> str | None:
    """The URL of a project's server once it has proved that it knows the secret.

    Nothing is sent unless the process of the stored address is alive, and the secret is never sent; see
    :mod:`aral.web.security`.
    """
    address, secret = read_address(folder), stored_secret(folder)
    if address is None or address.pid is None or secret is None or not _is_alive(address.pid):
        return None
    connection = http.client.HTTPConnection(address.local_host, address.port, timeout=RESPONSE_SECONDS)
    with suppress(OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
        try:
            authorization = _authorization(connection, address.port, secret)
            if authorization is None:
                return None
            if not new_link:
                return address.url
            path = _request(connection, "POST", "/api/link", {"Authorization": authorization})["path"]
        finally:
            connection.close()
        return f"{address.url.rstrip('/')}{path}" if isinstance(path, str) else None
    return None


def _authorization(connection: http.client.HTTPConnection, port: int, secret: str) -> str | None:
    """The header that admits one request; None when the server does not prove that it knows the secret."""
    ours = new_nonce()
    shown = _request(connection, "GET", f"{CHALLENGE_PATH}?nonce={ours}", {})
    theirs = str(shown["nonce"])
    expected = response(secret, "server", port, ours, theirs)
    if not is_nonce(theirs) or not secrets.compare_digest(str(shown["proof"]).encode(), expected.encode()):
        return None
    return f"Proof {theirs} {response(secret, 'command', port, ours, theirs)}"


def _request(
    connection: http.client.HTTPConnection, method: str, path: str, headers: dict[str, str]
) -> dict[str, Any]:
    connection.request(method, path, headers=headers)
    received = connection.getresponse()
    body = json.loads(received.read(_MOST_BYTES))
    if received.status != 200 or not isinstance(body, dict):
        raise ValueError(f"status {received.status}")
    return body


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True  # another user's process
    return True
