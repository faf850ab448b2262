"""The SQLite file of a run: opened durably, written in transactions, with errors that people can act on."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from aral.errors import AralError, BadInput, RunFailed
from aral.store.migrations import APPLICATION_ID, MIGRATIONS, Migration, check_known, layout_version, migrate

BUSY_MILLISECONDS = 5000
"""How long a statement waits for a reader outside this program, such as a backup."""


class Database:
    """One connection to ``store.sqlite``: write-ahead log, every commit on the disk before it returns.

    Args:
        path: the file. Its access rights become those of its owner alone.
        create: make the file when it is missing or empty.
        migrations: the layouts that are known; the default is right outside tests.

    Raises:
        BadInput: the file is missing, damaged, of a newer layout, or no store of a run.
    """

    def __init__(self, path: Path, create: bool, migrations: Sequence[Migration] = MIGRATIONS) -> None:
        self.path = path
        self._process = os.getpid()
        with _explained_opening(path):
            _prepare_file(path, create)
            self._connection = sqlite3.connect(path, isolation_level=None)
            try:
                self._start(create, migrations)
            except BaseException:
                self._connection.close()
                raise

    def _start(self, create: bool, migrations: Sequence[Migration]) -> None:
        connection = self._connection
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
        version = layout_version(connection)
        _check_identity(connection, self.path, create, version)
        check_known(version, self.path, migrations)
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        if 0 < version < len(migrations):
            _keep_copy(connection, self.path, version)
        migrate(connection, migrations)

    def close(self) -> None:
        """Fold the write-ahead log into the file and let go of it."""
        self._connection.close()

    def rows(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self._explained():
            return self._connection.execute(statement, parameters).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing: on return of the block everything is on the disk, after an error nothing is.

        Raises:
            BadInput: a value breaks a rule of the layout.
            RunFailed: the disk is full, the file was damaged, or another program holds it.
        """
        with self._explained():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        if os.getpid() != self._process:
            raise RuntimeError("a store cannot be used in a process forked from the one that opened it")
        try:
            yield
        except sqlite3.IntegrityError as error:
            raise BadInput(f"{self.path} refuses a value: {error}.") from error
        except sqlite3.ProgrammingError:
            raise
        except sqlite3.DatabaseError as error:
            raise self._failure(error) from error

    def _failure(self, error: sqlite3.DatabaseError) -> RunFailed:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            free = shutil.disk_usage(self.path.parent).free
            return RunFailed(
                f"No space left for {self.path} ({free} bytes free); this entry was not saved.",
                "Free some space and run the same command again: what was saved before is intact.",
            )
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return RunFailed(f"{self.path} was damaged while in use: {error}.", _RESCUE)
        return RunFailed(f"{self.path} cannot be used: {error}.", "Run the same command again.")


_RESCUE = (
    "Copy store.sqlite, store.sqlite-wal and store.sqlite-shm to a safe place, then put back a copy of the "
    "run folder, or start a new one."
)


_MAGIC = b"SQLite format 3\0"


@contextmanager
def _explained_opening(path: Path) -> Iterator[None]:
    try:
        yield
    except AralError:
        raise
    except (OSError, sqlite3.OperationalError) as error:
        raise BadInput(f"{path} cannot be opened: {error}.", "Check the path and its permissions.") from error
    except sqlite3.DatabaseError as error:
        raise BadInput(f"{path} is damaged or no store of a run: {error}.", _RESCUE) from error


def _prepare_file(path: Path, create: bool) -> None:
    """SQLite gives the write-ahead log the access rights of the file, so these are set first."""
    if not path.exists():
        if not create:
            raise BadInput(f"There is no run in {path.parent}: {path.name} is missing.", "Check the path.")
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    if not path.is_file():
        raise BadInput(f"{path} is no file.", "Give the folder of a run.")
    with path.open("rb") as file:
        head = file.read(len(_MAGIC))
    if head not in (b"", _MAGIC):  # SQLite takes a file of a few bytes for an empty one
        raise sqlite3.DatabaseError("it is not in the format of SQLite")
    path.chmod(0o600)


def _check_identity(connection: sqlite3.Connection, path: Path, create: bool, version: int) -> None:
    (identity,) = connection.execute("PRAGMA application_id").fetchone()
    (objects,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if version == identity == objects == 0:
        if not create:
            raise BadInput(f"{path} is empty: the run was never started.", "Start the run again.")
    elif identity != APPLICATION_ID:
        raise BadInput(f"{path} is an SQLite file, but not the store of a run.", "Give another folder.")


def _keep_copy(connection: sqlite3.Connection, path: Path, version: int) -> None:
    """Before a migration: the store as it was, as ``store.sqlite.v<version>.backup``."""
    copy = path.with_name(f"{path.name}.v{version}.backup")
    partial = path.with_name(f"{path.name}.v{version}.partial")
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(sqlite3.connect(partial)) as target:
        connection.backup(target)
    partial.replace(copy)
