"""The SQLite file of a project, shared by the threads of a process: one connection writes, one reads."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock
from typing import Any

from aral.annotation.layout import SCHEMA
from aral.loop.database import Database, is_read_only

FILE_NAME = "project.sqlite"

PATIENCE_SECONDS = 30.0
"""How long a transaction waits for those of other processes; each of them takes milliseconds."""


class ProjectDatabase:
    """The file of a project; every method may be called from any thread of the process that opened it.

    Without write access it is opened read only, and nothing is made beside it.

    Args:
        path: the file.
        create: create it when it is missing.

    Raises:
        BadInput: the file is missing, damaged, of a newer layout, or no project.
    """

    def __init__(self, path: Path, create: bool) -> None:
        self.path = path
        self.read_only = not create and path.exists() and is_read_only(path)
        self._write_lock, self._read_lock = RLock(), RLock()
        self._writer = self._connect(create)
        if self.read_only:
            self._reader = self._writer
            return
        try:
            self._reader = self._connect(create=False)
        except BaseException:
            self._writer.close()
            raise

    def _connect(self, create: bool) -> Database:
        return Database(
            self.path,
            create,
            SCHEMA,
            shared=True,
            patience_seconds=PATIENCE_SECONDS,
            read_only=self.read_only,
        )

    def close(self) -> None:
        """Finish the transaction that is being written and close the file; a second call does nothing."""
        with self._write_lock, self._read_lock:
            self._reader.close()
            self._writer.close()

    def rows(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query; uncommitted changes are not seen."""
        with self._read_lock:
            return self._reader.rows(statement, parameters)

    def row(self, statement: str, parameters: Sequence[object] = ()) -> tuple[Any, ...]:
        """The first row of a query that always has one."""
        return self.rows(statement, parameters)[0]

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Within the block all queries of this thread see the same state; other readers wait."""
        with self._read_lock, self._reader.reading() as connection:
            yield connection

    @contextmanager
    def transaction(self, notify: bool = True, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """A transaction: committed and on the disk when the block is left, rolled back on an error.

        Args:
            notify: increase the counter of :meth:`changes`, which pages poll.
            durable: False for what may be lost in a power failure, such as leases.

        Raises:
            BadInput: a value violates a constraint of the layout.
            RunFailed: the disk is full, the file is damaged, or another program holds its lock.
        """
        with self._write_lock, self._writer.transaction(durable) as connection:
            yield connection
            if notify:
                connection.execute("UPDATE counters SET value = value + 1 WHERE name = 'changes'")

    def changes(self) -> int:
        """The number of transactions so far, without those that do not notify."""
        return int(self.row("SELECT value FROM counters WHERE name = 'changes'")[0])


def read_setting(connection: sqlite3.Connection, name: str, default: Any) -> Any:
    """A JSON value by name; ``default`` when it was never written."""
    row = connection.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
    return default if row is None else json.loads(row[0])


def write_setting(connection: sqlite3.Connection, name: str, value: object) -> None:
    """Store a JSON value under a name; an earlier one is replaced."""
    connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, json.dumps(value)))


def utc_now() -> str:
    """The time in UTC, ISO 8601, for display; nothing is ordered by it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def clock(connection: sqlite3.Connection) -> float:
    """A monotonic clock in seconds, shared by all processes of a project; runs inside a transaction.

    It follows the wall clock. When that is set back, this clock does not go back but continues from its last value, so
    that a lease of ten minutes never lasts a day.
    """
    now = clock_now(connection)
    connection.executemany(
        "INSERT OR REPLACE INTO counters VALUES (?, ?)", [("clock", now), ("wall", time.time())]
    )
    return now


def clock_now(connection: sqlite3.Connection) -> float:
    """The value of :func:`clock`, without writing anything."""
    stored = dict(connection.execute("SELECT name, value FROM counters WHERE name IN ('clock', 'wall')"))
    wall = time.time()
    return float(stored.get("clock", wall) + max(0.0, wall - stored.get("wall", wall)))
