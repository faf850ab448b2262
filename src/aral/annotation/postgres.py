"""The tables of a project on a Postgres server: the connection, its locks, and what its errors mean.

Each project has a schema of its own, named after the project's identity.

Transactions that write hold one advisory lock of the project, so that one of them runs at a time, as in SQLite. A
lost connection is made again: by the next transaction, or at once where only a query was lost.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from aral.annotation.database import PATIENCE_SECONDS, Connection, Cursor, ProjectDatabase, Values
from aral.annotation.database_address import (
    ADDRESS_NAME,
    Address,
    load_driver,
    message_of,
    remember,
    remembered_address,
)
from aral.annotation.layout import MIGRATIONS as FILE_MIGRATIONS
from aral.annotation.layout import SCHEMA
from aral.annotation.postgres_layout import FIRST_LAYOUT, MIGRATIONS
from aral.errors import BadInput, RunFailed
from aral.lock import FolderLock

if TYPE_CHECKING:
    import psycopg

LAYOUT = len(FILE_MIGRATIONS)
OLDEST_SERVER = 120000
"""Postgres 12, which knows JSON paths."""

CONNECT_SECONDS = 10
GONE_SECONDS = 30
"""After so long without a sign of a client the server ends its connection, with its transaction and its locks."""

STILL_SECONDS = 120
"""After so long without a statement the server ends a transaction that writes, so that a process that stands still does
not stop all others."""

_PARTS = re.compile(r"'[^']*'|\?(\d*)|:([a-z_]\w*)")
_T = TypeVar("_T")


class ConnectionLost(RunFailed):
    """The connection to the server was lost, or it cannot be reached; it is made again when it is needed."""


def open_schema(folder: Path, given: Address | None, create: bool) -> ProjectDatabase:
    """Open the database of a project's folder on its server.

    Args:
        folder: of the project.
        given: an address to use and, when the project was found there, to remember; None for the remembered one.
        create: make the schema of a new project when it is missing.

    Raises:
        BadInput: the server refuses, the database is not that of the project, or it has a newer layout.
        RunFailed: the server cannot be reached.
    """
    if remembered_address(folder) is not None:
        return _open_remembered(folder, given, create)
    if given is None:
        raise BadInput(f"{folder} remembers no database.", "Give one with --database.")
    # One process starts a project; a second one would start another schema.
    lock = FolderLock(folder, "database.lock", "The project in", seconds=PATIENCE_SECONDS)
    try:
        started = remembered_address(folder) is None
        if started:
            _start(folder, given)
        try:
            return _open_remembered(folder, given, create)
        except BaseException:
            if started:
                (folder / ADDRESS_NAME).unlink(missing_ok=True)
            raise
    finally:
        lock.release()


def make_schema(address: Address) -> ProjectDatabase:
    """Make the schema of a project and open it; no folder remembers it yet.

    Raises:
        BadInput: the server refuses.
        RunFailed: it cannot be reached.
    """
    writer = _Server(address)
    try:
        _prepare(writer, create=True)
        return ProjectDatabase(writer, _Server(address), address)
    except BaseException:
        writer.close()
        raise


def _start(folder: Path, given: Address) -> None:
    """Remember the address of a new project, before there is a schema that could not be found again without it."""
    trace = _trace(folder)
    if trace is not None:
        raise BadInput(
            f"{folder / ADDRESS_NAME} is missing, but {trace} is there: the project is not started again over it.",
            f"Put back a copy of {ADDRESS_NAME}.",
        )
    remember(folder, Address(given.parameters, secrets.token_hex(8)))


def _trace(folder: Path) -> Path | None:
    """A file that shows that the database of a folder held something; None if there is none."""
    return next((file for pattern in SCHEMA.traces for file in folder.glob(pattern)), None)


def _open_remembered(folder: Path, given: Address | None, create: bool) -> ProjectDatabase:
    """Open the remembered database, or the same project at the given address, which is remembered then."""
    remembered = remembered_address(folder)
    assert remembered is not None
    address = remembered if given is None else Address(given.parameters, remembered.identity)
    writer = _Server(address)
    try:
        _prepare(writer, create and _trace(folder) is None)
        if create and address != remembered:
            remember(folder, address)
        writer.read_only = not (os.access(folder, os.W_OK) and writer.may_write())
        return ProjectDatabase(writer, _Server(address, writer.read_only), address)
    except BaseException:
        writer.close()
        raise


class _Statements:
    """Executes statements in SQLite's notation on a connection to a server.

    Attributes:
        clock_offset: seconds by which the server's clock is ahead of this machine's.
    """

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection
        self.clock_offset = 0.0

    def execute(self, statement: str, values: Values = (), /) -> Cursor:
        """Execute a statement."""
        if not values:
            return self._connection.execute(statement)
        text, names = in_postgres_notation(statement)
        return self._connection.execute(text, _ordered(names, values))

    def executemany(self, statement: str, rows: Iterable[Values], /) -> Cursor:
        """Execute a statement for each of the rows."""
        text, names = in_postgres_notation(statement)
        cursor = self._connection.cursor()
        cursor.executemany(text, [_ordered(names, values) for values in rows])
        return cursor


@lru_cache(maxsize=512)
def in_postgres_notation(statement: str) -> tuple[str, tuple[str | int, ...]]:
    """A statement with ``$1`` instead of ``?``, ``?1`` and ``:name``, and the name or position of each value."""
    names: dict[str | int, int] = {}

    def replace(found: re.Match[str]) -> str:
        if found[0].startswith("'"):
            return found[0]
        # Numbers of further "?" count from the highest so far, as in SQLite; the two kinds are not mixed here.
        name: str | int = found[2] or (int(found[1]) - 1 if found[1] else len(names))
        return f"${names.setdefault(name, len(names) + 1)}"

    return _PARTS.sub(replace, statement), tuple(names)


def _ordered(names: Sequence[str | int], values: Values) -> list[Any]:
    return [values[name] for name in names]  # type: ignore[index]


class _Server:
    """One connection to a project's schema, made again when it was lost; one thread uses it at a time.

    Args:
        address: of the project.
        read_only: nothing can be changed.
    """

    def __init__(self, address: Address, read_only: bool = False) -> None:
        self.address = address
        self.read_only = read_only
        self._driver = load_driver()
        self._process = os.getpid()
        self._closed = False
        self._statements: _Statements | None = None
        self._connection = self._connect()

    # One connection

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Connect and set what holds for the session.

        Raises:
            BadInput: the server refuses.
            ConnectionLost: it cannot be reached.
        """
        driver, address = self._driver, self.address
        defaults = {
            "connect_timeout": CONNECT_SECONDS,
            "application_name": "aral",
            "keepalives_idle": GONE_SECONDS // 2,
            "keepalives_interval": GONE_SECONDS // 6,
            "keepalives_count": 3,
            "tcp_user_timeout": 1000 * GONE_SECONDS,
        }
        try:
            connection = driver.connect(
                **{**defaults, **address.parameters, "client_encoding": "UTF8"},
                autocommit=True,
                cursor_factory=driver.RawCursor,
            )
        except driver.Error as error:
            raise _refusal(address, error) from error
        _adapt(connection)
        try:
            connection.execute(
                f"""SET search_path = {address.schema}; SET lock_timeout = '{int(PATIENCE_SECONDS)}s';
                SET tcp_keepalives_idle = {GONE_SECONDS // 2}; SET tcp_keepalives_interval = {GONE_SECONDS // 6};
                SET tcp_keepalives_count = 3; SET default_transaction_isolation = 'read committed'"""
            )
            self._statements = _Statements(connection)
            row = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
            assert row is not None
            self._statements.clock_offset = row[0] - time.time()
        except driver.Error as error:
            connection.close()
            raise _refusal(address, error) from error
        return connection

    def _alive(self) -> Connection:
        """The connection, made again if it was lost."""
        if self._closed:
            raise self._driver.InterfaceError("the project is closed")
        if self._connection.closed:
            self._connection = self._connect()
        assert self._statements is not None
        return self._statements

    def _begin(self, statement: str) -> Connection:
        """Begin a transaction. Nothing was said before, so it is begun again where the connection was lost."""
        for attempt in (1, 2):
            connection = self._alive()
            try:
                self._connection.execute(statement)
                return connection
            except self._driver.OperationalError:
                if not self._connection.closed:
                    self._connection.execute("ROLLBACK")
                    raise
                if attempt == 2:
                    raise
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        self._closed = True
        if os.getpid() == self._process:
            self._connection.close()

    # As of SQLite

    def rows(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query, asked again when the connection was lost."""
        with self._explained():
            try:
                return self._alive().execute(statement, parameters).fetchall()
            except self._driver.OperationalError:
                if not self._connection.closed or self._closed:
                    raise
                return self._alive().execute(statement, parameters).fetchall()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Several queries on one state of the database. A nested block sees that of the outer one."""
        if self._in_transaction():
            assert self._statements is not None
            yield self._statements
            return
        with self._explained():
            connection = self._begin("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            try:
                yield connection
            finally:
                if self._in_transaction():
                    with suppress(self._driver.OperationalError):
                        self._connection.execute("ROLLBACK")

    @contextmanager
    def transaction(self, durable: bool = True) -> Iterator[Connection]:
        """All or nothing: when the block ends everything is on the server's disk, after an error nothing is.

        Args:
            durable: False leaves the flush to the server, which does it within a second.

        Raises:
            BadInput: a value breaks a constraint of the layout, or nothing can be changed.
            RunFailed: the server's disk is full, another process holds the lock, or the connection was lost.
        """
        if self.read_only:
            raise BadInput(
                f"The project in the database {self.address} is read only: nothing can be changed.",
                "Ask for write access to its folder and its tables.",
            )
        first = f"SET LOCAL idle_in_transaction_session_timeout = '{STILL_SECONDS}s'"
        if not durable:
            first += "; SET LOCAL synchronous_commit = off"
        with self._explained():
            connection = self._begin(
                f"BEGIN; {first}; SELECT pg_advisory_xact_lock({self.address.lock('writing')})"
            )
            try:
                yield connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._in_transaction():
                    with suppress(self._driver.OperationalError):
                        self._connection.execute("ROLLBACK")
                raise

    def _in_transaction(self) -> bool:
        idle = self._driver.pq.TransactionStatus.IDLE
        return not self._connection.closed and self._connection.info.transaction_status != idle

    def lasts(self, statement: str = "SELECT 1") -> bool:
        """Execute a statement on the connection as it is; False if it was lost."""
        try:
            self._connection.execute(statement)
        except self._driver.Error:
            return False
        return True

    def may_write(self) -> bool:
        """Whether the user may change the project's tables."""
        statement = """SELECT has_table_privilege('answers', 'INSERT') AND has_table_privilege('images', 'UPDATE')
            AND NOT pg_is_in_recovery() AND current_setting('default_transaction_read_only') = 'off'"""
        return bool(self.rows(statement)[0][0])

    @contextmanager
    def _explained(self) -> Iterator[None]:
        if os.getpid() != self._process:
            raise RuntimeError("a database cannot be used in a process forked from the one that opened it")
        driver = self._driver
        try:
            yield
        except (
            OverflowError,
            UnicodeEncodeError,
            driver.DataError,
            driver.errors.ProgramLimitExceeded,
        ) as error:
            raise BadInput(f"A value cannot be stored: {message_of(error)}.") from error
        except driver.IntegrityError as error:
            raise BadInput(f"The database {self.address} refuses a value: {message_of(error)}.") from error
        except driver.Error as error:
            raise self._failure(error) from error

    def _failure(self, error: psycopg.Error) -> Exception:
        errors, address = self._driver.errors, self.address
        if self._connection.closed and not self._closed:
            return ConnectionLost(
                f"The connection to the database {address} was lost; this entry may not be saved.",
                "Send it again: one that was saved counts once.",
            )
        if isinstance(error, errors.LockNotAvailable):
            return RunFailed(
                f"The database {address} was held by another process for {PATIENCE_SECONDS:.0f} seconds; "
                "this entry was not saved.",
                "Send it again.",
            )
        if isinstance(error, errors.DiskFull):
            return RunFailed(
                f"The server of the database {address} has no space left; this entry was not saved.",
                "Free some space there and send it again: what was saved before is intact.",
            )
        if isinstance(error, errors.InsufficientPrivilege | errors.ReadOnlySqlTransaction):
            return BadInput(
                f"The database {address} refuses: {message_of(error)}.",
                "Ask its owner for the missing right.",
            )
        if isinstance(error, errors.UndefinedTable | errors.InvalidSchemaName):
            return RunFailed(
                f"The tables of the project are gone from the database {address}: {message_of(error)}.",
                f"Put back a backup of its schema {address.schema}.",
            )
        if isinstance(error, self._driver.ProgrammingError | self._driver.InterfaceError):
            return error  # of this program
        return RunFailed(f"The database {address} cannot be used: {message_of(error)}.", "Send it again.")


# Locks


class ServerLock:
    """One process at a time, on all machines: an advisory lock that the server releases when its holder is gone.

    Args:
        address: of the project.
        name: locks of different names are independent.
    """

    def __init__(self, address: Address, name: str) -> None:
        self._number = address.lock(name)
        self._server = _Server(address)

    def take(self) -> bool:
        """Take the lock if it is free; whether this lock holds it now."""
        return bool(self._server.rows(f"SELECT pg_try_advisory_lock({self._number})")[0][0])

    def is_held(self) -> bool:
        """Whether this lock still is held: its connection lasts."""
        return self._server.lasts()

    def release(self) -> None:
        """Release the lock; a second call does nothing."""
        self._server.lasts(
            f"SELECT pg_advisory_unlock({self._number})"
        )  # at once, before the server ends the session
        self._server.close()


def is_locked(database: ProjectDatabase, name: str) -> bool:
    """Whether a process holds a lock of a project on a server."""
    assert database.address is not None
    number = database.address.lock(name) % 2**64
    (count,) = database.row(
        """SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND CAST(classid AS BIGINT) = ? AND CAST(objid AS BIGINT) = ?""",
        (number >> 32, number % 2**32),
    )
    return bool(count)


# Opening


def _prepare(server: _Server, create: bool) -> None:
    """Make the project's schema, or check that it is this project's, and bring it to the newest layout."""
    address = server.address
    version, encoding = server.rows(
        "SELECT current_setting('server_version_num'), current_setting('server_encoding')"
    )[0]
    if int(version) < OLDEST_SERVER:
        raise BadInput(f"The server of {address} is older than Postgres 12.", "Use a newer server.")
    if encoding != "UTF8":
        raise BadInput(
            f"The database {address} has the encoding {encoding}.",
            "Create one with UTF8: createdb --encoding UTF8 --template template0 NAME",
        )
    with server.reading() as connection:
        layout = _layout(connection, address)
    if layout == LAYOUT:
        return
    if not layout and not create:
        raise BadInput(
            f"The database {address} has no schema {address.schema}: the project is not there.",
            "Check the address, or put back a backup of the schema.",
        )
    with server.transaction() as connection:
        if not layout:
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {address.schema}")
        layout = _layout(connection, address)  # again: two processes may come here at once
        for number in range(max(layout + 1, FIRST_LAYOUT), LAYOUT + 1):
            for statement in MIGRATIONS[number - FIRST_LAYOUT]:
                connection.execute(statement)
        if not layout:
            connection.execute("INSERT INTO project VALUES (?, ?)", (address.identity, LAYOUT))
        elif layout < LAYOUT:
            connection.execute("UPDATE project SET layout = ?", (LAYOUT,))


def _layout(connection: Connection, address: Address) -> int:
    """The layout of a schema that holds this project; 0 where it is missing or empty."""
    (tables,) = connection.execute(
        "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ?",
        (address.schema,),
    ).fetchone()
    if not tables:
        return 0
    known = connection.execute("SELECT to_regclass(?)", (f"{address.schema}.project",)).fetchone()[0]
    rows = connection.execute("SELECT identity, layout FROM project").fetchall() if known else []
    if [identity for identity, _ in rows] != [address.identity]:
        raise BadInput(
            f"The schema {address.schema} of the database {address} does not hold this project.",
            "Check the address.",
        )
    layout = int(rows[0][1])
    if layout > LAYOUT:
        raise BadInput(
            f"The project in the database {address} has layout {layout}, from a newer release of aral; this one "
            f"knows layouts up to {LAYOUT}.",
            "Install a newer release: pip install --upgrade aral",
        )
    return layout


def _adapt(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    """Store and read values as SQLite does: truth as 0 and 1, sums of integers as integers."""
    from psycopg.adapt import Loader
    from psycopg.types.numeric import Int4Dumper, Int8Dumper, IntDumper

    class Truth(Int4Dumper):
        def dump(self, obj: Any) -> bytes:
            return b"1" if obj else b"0"

    class Whole(IntDumper):
        """In two sizes, so that statements are not prepared for each size of their values."""

        def get_key(self, obj: Any, format: Any) -> Any:
            return int, -(2**31) <= obj < 2**31

        def upgrade(self, obj: Any, format: Any) -> Any:
            if not -(2**63) <= obj < 2**63:
                raise OverflowError(f"{obj} does not fit into 64 bits")
            return Int4Dumper(int) if -(2**31) <= obj < 2**31 else Int8Dumper(int)

    class Sum(Loader):
        def load(self, data: Any) -> int:
            return int(bytes(data))

    connection.adapters.register_dumper(bool, Truth)
    connection.adapters.register_dumper(int, Whole)
    connection.adapters.register_loader("numeric", Sum)


def _refusal(address: Address, error: Exception) -> BadInput | ConnectionLost:
    """Why a connection was not made."""
    said = message_of(error)
    if "password" in said:
        return BadInput(
            f"The server of the database {address} refuses the password: {said}.",
            "Put it into ~/.pgpass or PGPASSWORD.",
        )
    if "FATAL" in said and not re.search(
        r"starting up|shutting down|too many|recovery|connection slots", said
    ):
        return BadInput(
            f"The database {address} cannot be opened: {said}.",
            "Check the address; a new database is made by: createdb --encoding UTF8 NAME",
        )
    return ConnectionLost(
        f"The server of the database {address} cannot be reached: {said}.",
        "Check that it runs and run the same command again.",
    )
