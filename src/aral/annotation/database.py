"""The database of a project, shared by the threads of a process: one connection writes, one reads.

It is an SQLite file in the project's folder, or a schema of a Postgres server (``postgres.py``). Both take the same
statements, in SQLite's notation of values: ``?``, ``?1``, ``:name``. Truth is stored as 0 and 1. One transaction
writes at a time, in all processes together, so what a transaction has read stays true until it ends.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock
from typing import Any, Protocol, TypeAlias, runtime_checkable

from aral.annotation.database_address import Address
from aral.annotation.layout import SCHEMA
from aral.loop.database import Database, is_read_only

FILE_NAME = "project.sqlite"

PATIENCE_SECONDS = 30.0
"""How long a transaction waits for those of other processes; each of them takes milliseconds."""

Values: TypeAlias = Sequence[Any] | Mapping[str, Any]
"""The values of a statement, by position or by name."""


@runtime_checkable
class Cursor(Protocol):
    """The rows that a statement returned."""

    @property
    def rowcount(self) -> int:
        """How many rows the statement changed."""

    @property
    def description(self) -> Any:
        """A tuple for each column, which begins with its name."""

    def fetchone(self) -> Any:
        """The next row as a tuple; None after the last."""

    def fetchall(self) -> list[Any]:
        """The remaining rows."""

    def __iter__(self) -> Iterator[Any]: ...


@runtime_checkable
class Connection(Protocol):
    """Executes statements inside a transaction or a snapshot; that of SQLite is one."""

    def execute(self, statement: str, values: Values = (), /) -> Cursor:
        """Execute a statement."""

    def executemany(self, statement: str, rows: Iterable[Values], /) -> Cursor:
        """Execute a statement for each of the rows."""


@runtime_checkable
class Session(Protocol):
    """One connection to a database, as :class:`aral.loop.database.Database` is one."""

    read_only: bool

    def rows(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""

    def reading(self) -> AbstractContextManager[Connection]:
        """Several queries on one state of the database."""

    def transaction(self, durable: bool = True) -> AbstractContextManager[Connection]:
        """All or nothing."""

    def close(self) -> None:
        """Close the connection."""


class ProjectDatabase:
    """The database of a project; every method may be called from any thread of the process that opened it.

    Args:
        writer: executes transactions.
        reader: executes queries; the same one where nothing can be written.
        address: of a database on a server; None for a file.
    """

    def __init__(self, writer: Session, reader: Session, address: Address | None = None) -> None:
        self.read_only = writer.read_only
        self.address = address
        self._write_lock, self._read_lock = RLock(), RLock()
        self._writer, self._reader = writer, reader

    def close(self) -> None:
        """Finish the transaction that is being written and close the database; a second call does nothing."""
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
    def snapshot(self) -> Iterator[Connection]:
        """Within the block all queries of this thread see the same state; other readers wait."""
        with self._read_lock, self._reader.reading() as connection:
            yield connection

    @contextmanager
    def transaction(self, notify: bool = True, durable: bool = True) -> Iterator[Connection]:
        """A transaction: committed and on the disk when the block is left, rolled back on an error.

        Args:
            notify: increase the counter of :meth:`changes`, which pages poll.
            durable: False for what may be lost in a power failure, such as leases.

        Raises:
            BadInput: a value violates a constraint of the layout.
            RunFailed: the disk is full, the file is damaged, another program holds its lock, or the connection to a
                server was lost.
        """
        with self._write_lock, self._writer.transaction(durable) as connection:
            yield connection
            if notify:
                connection.execute("UPDATE counters SET value = value + 1 WHERE name = 'changes'")

    def changes(self) -> int:
        """The number of transactions so far, without those that do not notify."""
        return int(self.row("SELECT value FROM counters WHERE name = 'changes'")[0])


def open_file(path: Path, create: bool) -> ProjectDatabase:
    """Open the SQLite file of a project. Without write access it is opened read only, and nothing is made beside it.

    Args:
        path: the file.
        create: create it when it is missing.

    Raises:
        BadInput: the file is missing, damaged, of a newer layout, or no project.
    """
    read_only = not create and path.exists() and is_read_only(path)

    def connect(create: bool) -> Database:
        return Database(
            path, create, SCHEMA, shared=True, patience_seconds=PATIENCE_SECONDS, read_only=read_only
        )

    writer = connect(create)
    if read_only:
        return ProjectDatabase(writer, writer)
    try:
        return ProjectDatabase(writer, connect(create=False))
    except BaseException:
        writer.close()
        raise


def read_setting(connection: Connection, name: str, default: Any) -> Any:
    """A JSON value by name; ``default`` when it was never written."""
    row = connection.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
    return default if row is None else json.loads(row[0])


def write_setting(connection: Connection, name: str, value: object) -> None:
    """Store a JSON value under a name; an earlier one is replaced."""
    connection.execute(
        "INSERT INTO settings VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, json.dumps(value)),
    )


def utc_now() -> str:
    """The time in UTC, ISO 8601, for display; nothing is ordered by it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def clock(connection: Connection) -> float:
    """A monotonic clock in seconds, shared by all processes of a project; runs inside a transaction.

    It follows the wall clock: this machine's, or that of the server that has the database. When that is set back,
    this clock does not go back but continues from its last value, so that a lease of ten minutes never lasts a day.
    """
    now = clock_now(connection)
    connection.executemany(
        "INSERT INTO counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        [("clock", now), ("wall", _wall(connection))],
    )
    return now


def clock_now(connection: Connection) -> float:
    """The value of :func:`clock`, without writing anything."""
    stored = dict(connection.execute("SELECT name, value FROM counters WHERE name IN ('clock', 'wall')"))
    wall = _wall(connection)
    return float(stored.get("clock", wall) + max(0.0, wall - stored.get("wall", wall)))


def _wall(connection: Connection) -> float:
    """The wall clock that all processes of the project share. A connection to a server has its offset."""
    return time.time() + float(getattr(connection, "clock_offset", 0.0))
