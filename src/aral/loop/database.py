"""An SQLite file: opened, migrated, written in durable transactions, with errors that say what to do."""

from __future__ import annotations

import os
import shlex
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from aral.errors import AralError, BadInput, RunFailed

BUSY_MILLISECONDS = 5000
"""How long a statement waits for a reader outside this program, such as a backup."""

OPEN_SECONDS, OPEN_PAUSE_SECONDS = 5.0, 0.02
POLL_SECONDS = 0.002
"""How often a transaction checks whether another process has finished its own.

SQLite's own wait grows to a tenth of a second between two checks; beside a process that writes all the time it
would never find a gap.
"""

MIN_BYTES = 100
"""The size of SQLite's header: no shorter file is a database."""

Migration: TypeAlias = tuple[str, ...]
"""The statements that turn one version of a schema into the next."""


@dataclass(frozen=True)
class Schema:
    """What a kind of SQLite file holds.

    Attributes:
        application_id: marks files of this kind.
        noun: what such a file belongs to, for messages: ``run`` or ``project``.
        migrations: number N, counted from 1, turns version N-1 into version N. A released migration is never
            edited: a change is a new migration at the end.
        traces: patterns of files beside it that exist only once it holds something. Where there is one, a missing
            or empty file is not created again.
    """

    application_id: int
    noun: str
    migrations: tuple[Migration, ...]
    traces: tuple[str, ...] = ()


class Database:
    """One connection to an SQLite file: write-ahead log, every commit on the disk before it returns.

    Args:
        path: the file. Only its owner may read it.
        create: make the file when it is missing or empty.
        schema: what the file holds; an older version is migrated, after a copy was made.
        shared: several threads may use the connection, one at a time; the caller sees to that.
        patience_seconds: how long a transaction waits for those of other processes.
        read_only: nothing in the folder is made or changed, as on a disk that is mounted read-only. A file with a
            write-ahead log or of an older version is read from a temporary copy.

    Raises:
        BadInput: the file is missing, damaged, of a newer version, or of another kind; or it is empty or missing
            beside traces of what it held.
    """

    def __init__(
        self,
        path: Path,
        create: bool,
        schema: Schema,
        *,
        shared: bool = False,
        patience_seconds: float = BUSY_MILLISECONDS / 1000,
        read_only: bool = False,
    ) -> None:
        self.path = path
        self.read_only = read_only
        self._copy: TemporaryDirectory[str] | None = None
        self._schema = schema
        self._patience_seconds = patience_seconds
        self._process = os.getpid()
        with _explained_opening(path, schema.noun):
            # Looked for first: another process may be creating the file, and creates it before what leaves traces.
            self._trace = _trace(path, schema)
            if self._trace is not None and not path.exists():
                raise self._is_lost("missing")
            if read_only:
                _check_file(path, schema.noun)
                self._open_read_only(shared)
            else:
                _prepare_file(path, create, schema.noun)
                self._open(path, create, shared)

    def _open_read_only(self, shared: bool) -> None:
        """Connect without making a file beside the database."""
        if not any(file.exists() for file in companions(self.path)):
            # Not immutable beside a log: that would be ignored, and its changes would be missing.
            uri = f"{self.path.absolute().as_uri()}?mode=ro&immutable=1"
            self._connection = sqlite3.connect(
                uri, uri=True, isolation_level=None, check_same_thread=not shared
            )
            try:
                version = schema_version(self._connection)
                if version == len(self._schema.migrations):
                    self._check(create=False)
                    return
            except BaseException:
                self._connection.close()
                raise
            self._connection.close()
        self._copy = TemporaryDirectory(prefix="aral-reading-")
        try:
            copy = Path(self._copy.name) / self.path.name
            shutil.copyfile(self.path, copy)
            log = companions(self.path)[0]
            if log.exists():
                shutil.copyfile(log, companions(copy)[0])
            self._open(copy, False, shared)
            self._connection.execute("PRAGMA query_only = 1")
        except BaseException:
            self._copy.cleanup()
            raise

    def _open(self, path: Path, create: bool, shared: bool) -> None:
        """Connect and bring the file to the newest version.

        Switching to the write-ahead log fails at once, whatever the busy timeout, while another process does the
        same or closes its last connection and deletes that log; a moment later it succeeds.
        """
        deadline = time.monotonic() + OPEN_SECONDS
        while True:
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=not shared)
            try:
                self._start(create)
                return
            except BaseException as error:
                self._connection.close()
                code = getattr(error, "sqlite_errorcode", 0) & 0xFF
                if code not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_IOERR) or time.monotonic() > deadline:
                    raise
            time.sleep(OPEN_PAUSE_SECONDS)

    def _start(self, create: bool) -> None:
        connection, migrations = self._connection, self._schema.migrations
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
        version = self._check(create)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        if 0 < version < len(migrations) and not self.read_only:
            _back_up(connection, self.path, version)
        migrate(connection, migrations)

    def _check(self, create: bool) -> int:
        """The version of the file, which is an intact one of this kind."""
        connection = self._connection
        connection.execute("BEGIN")  # one snapshot: another process may be creating the schema
        version = schema_version(connection)
        self._check_identity(create, version)
        connection.execute("COMMIT")
        _check_known(version, self.path, len(self._schema.migrations))
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        return version

    def close(self) -> None:
        """Merge the write-ahead log into the file and close it."""
        self._connection.close()
        if self._copy is not None:
            self._copy.cleanup()

    def rows(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self._explained():
            return self._connection.execute(statement, parameters).fetchall()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Several queries on one snapshot of the file; nothing may be written in the block.

        A nested block sees the snapshot of the outer one.
        """
        within_another = self._connection.in_transaction
        if within_another:
            yield self._connection
            return
        with self._explained():
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    @contextmanager
    def transaction(self, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """All or nothing: when the block ends everything is on the disk, after an error nothing is.

        Args:
            durable: False leaves the flush to the next durable transaction. A killed process still loses
                nothing; a power failure may lose this transaction as a whole.

        Raises:
            BadInput: a value breaks a constraint of the schema, or the file is read only.
            RunFailed: the disk is full, the file was damaged, or another program holds it.
        """
        if self.read_only:
            raise BadInput(
                f"{self.path} is read only: nothing can be changed.",
                "Copy the folder to a disk with write access.",
            )
        with self._explained():
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._begin()
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def _begin(self) -> None:
        deadline = time.monotonic() + self._patience_seconds
        self._connection.execute("PRAGMA busy_timeout = 0")
        try:
            while True:
                try:
                    self._connection.execute("BEGIN IMMEDIATE")
                    return
                except sqlite3.OperationalError as error:
                    busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                    if not busy or time.monotonic() > deadline:
                        raise
                time.sleep(POLL_SECONDS)
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")

    def _check_identity(self, create: bool, version: int) -> None:
        (identity,) = self._connection.execute("PRAGMA application_id").fetchone()
        (objects,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        path, noun = self.path, self._schema.noun
        if version == identity == objects == 0:
            if self._trace is not None:
                raise self._is_lost("empty")
            if not create:
                raise BadInput(f"{path} is empty: the {noun} was never started.", f"Start the {noun} again.")
        elif identity != self._schema.application_id:
            raise BadInput(
                f"{path} is an SQLite file, but not the store of a {noun}.",
                "Give another folder." if self._trace is None else _rescue(path, noun),
            )

    def _is_lost(self, how: str) -> BadInput:
        noun = self._schema.noun
        return BadInput(
            f"{self.path} is {how}, but {self._trace} is there: the {noun} is not started again over it.",
            _rescue(self.path, noun),
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        if os.getpid() != self._process:
            raise RuntimeError("a store cannot be used in a process forked from the one that opened it")
        try:
            yield
        except (OverflowError, UnicodeEncodeError) as error:
            raise BadInput(f"A value cannot be stored: {error}.") from error
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
            return RunFailed(
                f"{self.path} was damaged while in use: {error}.", _rescue(self.path, self._schema.noun)
            )
        return RunFailed(f"{self.path} cannot be used: {error}.", "Run the same command again.")


def companions(path: Path) -> tuple[Path, Path]:
    """The write-ahead log and the shared memory of a database, which need not exist."""
    return path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")


def is_read_only(path: Path) -> bool:
    """Whether a database cannot be opened for writing: its disk, its folder or the file itself is read only."""
    own = os.access in os.supports_effective_ids
    return not (
        os.access(path, os.W_OK, effective_ids=own)
        and os.access(path.parent, os.W_OK | os.X_OK, effective_ids=own)
    )


def _trace(path: Path, schema: Schema) -> Path | None:
    """A file that shows that the database held something; None if there is none."""
    return next((file for pattern in schema.traces for file in path.parent.glob(pattern)), None)


def _rescue(path: Path, noun: str) -> str:
    backups = [each for each in path.parent.glob(f"{path.name}.backup-*") if each.stat().st_size]
    if backups:
        newest = datetime.fromtimestamp(max(each.stat().st_mtime for each in backups))
        return (
            f"There is a backup of {newest:%Y-%m-%d %H:%M}. To put it back: "
            f"aral doctor {shlex.quote(str(path.parent))} --restore"
        )
    return (
        f"Copy {path.name}, {path.name}-wal and {path.name}-shm to a safe place, then put back a copy of the "
        f"{noun} folder, or start a new one."
    )


@contextmanager
def _explained_opening(path: Path, noun: str) -> Iterator[None]:
    try:
        yield
    except AralError:
        raise
    except (OSError, sqlite3.OperationalError) as error:
        raise BadInput(f"{path} cannot be opened: {error}.", "Check the path and its permissions.") from error
    except sqlite3.DatabaseError as error:
        raise BadInput(f"{path} is damaged or no store of a {noun}: {error}.", _rescue(path, noun)) from error


def _prepare_file(path: Path, create: bool, noun: str) -> None:
    """Make the file and set its permissions, which SQLite copies to the write-ahead log.

    An existing file is never opened here: closing it would release the locks that other connections of this
    process hold on it, and another process that closes the store could then delete the log while it is in use.
    """
    if not path.exists():
        if not create:
            raise BadInput(f"There is no {noun} in {path.parent}: {path.name} is missing.", "Check the path.")
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    _check_file(path, noun)
    path.chmod(0o600)


def _check_file(path: Path, noun: str) -> None:
    if not path.exists():
        raise BadInput(f"There is no {noun} in {path.parent}: {path.name} is missing.", "Check the path.")
    if not path.is_file():
        raise BadInput(f"{path} is no file.", f"Give the folder of a {noun}.")
    if 0 < path.stat().st_size < MIN_BYTES:  # SQLite takes a file of a few bytes for an empty one
        raise sqlite3.DatabaseError("it is not in the format of SQLite")


def _back_up(connection: sqlite3.Connection, path: Path, version: int) -> None:
    """Before a migration: a copy of the file, as ``store.sqlite.v<version>.backup``."""
    copy = path.with_name(f"{path.name}.v{version}.backup")
    partial = path.with_name(f"{path.name}.v{version}.partial")
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(sqlite3.connect(partial)) as target:
        connection.backup(target)
    partial.replace(copy)


def schema_version(connection: sqlite3.Connection) -> int:
    """The number of the last migration that a file has had; 0 for an empty file."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def _check_known(version: int, path: Path, known: int) -> None:
    if version > known:
        raise BadInput(
            f"{path} has layout {version}, from a newer release of aral; this one knows layouts up to {known}.",
            "Install a newer release: pip install --upgrade aral",
        )


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> None:
    """Bring a file to the newest version: each migration is one transaction together with its number.

    Killed between two migrations, the next call continues with the first that is missing. Two processes may
    call this at once: each migration is done by the first of them.
    """
    for number in range(schema_version(connection) + 1, len(migrations) + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            if schema_version(connection) < number:
                for statement in migrations[number - 1]:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def utc_now() -> str:
    """The time in UTC as ISO 8601, for people to read; nothing is ordered by it."""
    return datetime.now(UTC).isoformat()
