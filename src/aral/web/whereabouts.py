"""Where the server of a project is: noted in the project's folder, asked by commands that want its page."""

from __future__ import annotations

import http.client
import json
import os
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aral.web.proof import HELLO, is_nonce, new_nonce, proof
from aral.web.security import kept_secret

SERVER_FILE = "server.json"
ANSWER_SECONDS = 2.0
_MOST_BYTES = 10_000
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True)
class Note:
    """What the newest server of a project has noted.

    Attributes:
        port: where it listens, or listened.
        host: its address.
        pid: its process; None once it has ended.
    """

    port: int
    host: str = "127.0.0.1"
    pid: int | None = None

    @property
    def reached_at(self) -> str:
        """The address under which this machine reaches it."""
        return _EVERYWHERE.get(self.host, self.host)

    @property
    def url(self) -> str:
        """Its page, without a token."""
        host = self.reached_at
        return f"http://[{host}]:{self.port}/" if ":" in host else f"http://{host}:{self.port}/"


def read_note(folder: Path) -> Note | None:
    """The note in a project's folder; None when there is none, or none that can be understood."""
    try:
        kept = json.loads((folder / SERVER_FILE).read_text(encoding="utf-8"))
        port, host, pid = kept["port"], kept.get("host", "127.0.0.1"), kept.get("pid")
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    if not (isinstance(port, int) and 0 < port < 65536 and isinstance(host, str)):
        return None
    return Note(port, host, pid if isinstance(pid, int) and pid > 0 else None)


def write_note(folder: Path, note: Note) -> None:
    """Keep a note, for its owner alone."""
    fresh = folder / f".{SERVER_FILE}-{os.getpid()}"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({name: value for name, value in asdict(note).items() if value is not None}, file)
    fresh.replace(folder / SERVER_FILE)


def link_of_running_server(folder: Path) -> str | None:
    """A new link of the server that serves a project, or None when none does.

    Nothing is sent unless the process that noted itself lives, and never the secret: what answers on that
    port has to prove that it knows it before it is shown anything, see :mod:`aral.web.proof`.

    Args:
        folder: the project's own folder (``.aral``).
    """
    note, secret = read_note(folder), kept_secret(folder)
    if note is None or note.pid is None or secret is None or not _is_alive(note.pid):
        return None
    connection = http.client.HTTPConnection(note.reached_at, note.port, timeout=ANSWER_SECONDS)
    with suppress(OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
        try:
            path = _ask_for_link(connection, note, secret)
        finally:
            connection.close()
        return f"{note.url.rstrip('/')}{path}" if isinstance(path, str) else None
    return None


def _ask_for_link(connection: http.client.HTTPConnection, note: Note, secret: str) -> Any:
    ours = new_nonce()
    hello = _answer(connection, "GET", f"{HELLO}?nonce={ours}", {})
    theirs, shown = str(hello["nonce"]), str(hello["proof"])
    expected = proof(secret, "server", note.port, ours, theirs)
    if not is_nonce(theirs) or not secrets.compare_digest(shown.encode(), expected.encode()):
        return None
    showing = proof(secret, "command", note.port, ours, theirs)
    return _answer(connection, "POST", "/api/link", {"Authorization": f"Proof {theirs} {showing}"})["path"]


def _answer(
    connection: http.client.HTTPConnection, method: str, address: str, headers: dict[str, str]
) -> dict[str, Any]:
    connection.request(method, address, headers=headers)
    answer = connection.getresponse()
    body = json.loads(answer.read(_MOST_BYTES))
    if answer.status != 200 or not isinstance(body, dict):
        raise ValueError(f"status {answer.status}")
    return body


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True  # somebody else's process
    return True
