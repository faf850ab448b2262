"""Which process is the training worker of a project: one at a time, in all processes on all machines.

With an SQLite file it is the holder of a lock in the project's folder. With a database on a server it is the holder of
a lock of that server, because locks in a shared folder are not reliable everywhere; further workers wait until it
ends. The server releases the lock within half a minute when a machine has vanished.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from aral.annotation.database import ProjectDatabase, read_setting, utc_now, write_setting
from aral.annotation.postgres import ServerLock, is_locked
from aral.errors import Stopped
from aral.lock import FolderLock

LOCK = "trainer.lock"
LOCK_SECONDS = 20.0
"""How long to wait in a folder for the worker of a server that was just killed."""

POLL_SECONDS = 0.5
CHECK_SECONDS = 3.0
"""How often a worker looks whether the server still knows its lock."""

_RECORD = "training worker"
"""Name of a setting."""


@dataclass(frozen=True)
class WorkerRecord:
    """The training worker of a project on a server.

    Attributes:
        host: name of its machine.
        pid: its process there.
        since: UTC in ISO 8601.
    """

    host: str
    pid: int
    since: str


class WorkerLock:
    """The lock of a project's training worker.

    Args:
        database: of the project.
        folder: of the project.
    """

    def __init__(self, database: ProjectDatabase, folder: Path) -> None:
        self._database = database
        self._folder = folder

    def current(self) -> WorkerRecord | None:
        """The worker that holds the lock on the server now; None without one, and for a project with a file."""
        if self._database.address is None or not is_locked(self._database, _RECORD):
            return None
        with self._database.snapshot() as connection:
            stored = read_setting(connection, _RECORD, None)
        return None if stored is None else WorkerRecord(**stored)

    @contextmanager
    def hold(self, stopping: Callable[[], bool]) -> Iterator[Callable[[], bool]]:
        """Hold the lock in the block, which gets a function that says whether it still is held; cheap.

        Args:
            stopping: asked while waiting for another worker; true gives up.

        Raises:
            BadInput: a folder was in use for :data:`LOCK_SECONDS`.
            ConnectionLost: the server cannot be reached.
            Stopped: ``stopping`` returned true.
        """
        if self._database.address is None:
            lock = FolderLock(self._folder, LOCK, "The trainer of", seconds=LOCK_SECONDS, stopping=stopping)
            try:
                yield lambda: True
            finally:
                lock.release()
            return
        held = ServerLock(self._database.address, _RECORD)
        try:
            while not held.take():
                if stopping():
                    raise Stopped("Another training worker is running.", "Run the same command again.")
                time.sleep(POLL_SECONDS)
            record = WorkerRecord(socket.gethostname(), os.getpid(), utc_now())
            with self._database.transaction() as connection:
                write_setting(connection, _RECORD, asdict(record))
            yield _Checked(held).is_held
        finally:
            held.release()


class _Checked:
    """Looks from time to time whether a lock is held; one that was lost stays lost."""

    def __init__(self, lock: ServerLock) -> None:
        self._lock = lock
        self._held = True
        self._checked_at = time.monotonic()

    def is_held(self) -> bool:
        if self._held and time.monotonic() - self._checked_at > CHECK_SECONDS:
            self._held = self._lock.is_held()
            self._checked_at = time.monotonic()
        return self._held
