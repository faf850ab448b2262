"""Move the database of a project from its SQLite file to a Postgres server, or back.

All rows are copied in one transaction and counted. Then the folder gets the new database, and what it replaces is
kept: the file under another name, the schema on its server. Killed before that, the project stays where it is.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from aral.annotation.backups import SERVER_LOCK
from aral.annotation.database import FILE_NAME, Connection, ProjectDatabase, open_file
from aral.annotation.database_address import ADDRESS_NAME, Address, parse_address, remember
from aral.annotation.postgres import make_schema
from aral.annotation.project import FOLDER_SETTING, find_project, open_database
from aral.annotation.worker_lock import WorkerLock
from aral.errors import BadInput, RunFailed, Stopped
from aral.lock import FolderLock

TABLES = (
    "annotators",
    "classes",
    "class_changes",
    "images",
    "left_out",
    "answers",
    "standing",
    "tally",
    "queue",
    "leases",
    "asked",
    "models",
    "predictions",
    "pictures",
    "searches",
    "label_imports",
    "label_import_events",
    "label_import_classes",
    "settings",
    "counters",
)
"""In an order in which no row refers to one that is not there yet."""

_ORDER = {
    "images": "duplicate_of IS NOT NULL, id",
    "answers": "seq",
    "label_imports": "id",
    "class_changes": "seq",
}
"""Order of the rows of a table that refer to others of the same, or that are numbered."""

ROWS_AT_ONCE = 1000


@dataclass(frozen=True)
class Moved:
    """What a move did.

    Attributes:
        rows: how many rows were copied.
        answers: how many of them are answers.
        kept: what holds the database that was left, in words.
    """

    rows: int
    answers: int
    kept: str


def move_to_server(folder: Path, address: str) -> Moved:
    """Move the database of a project from its file to a server.

    Args:
        folder: the folder of photos, or that of the project.
        address: as of :func:`aral.annotation.database_address.parse_address`.

    Raises:
        BadInput: the project is on a server already, its page or training worker is running, or the server refuses.
        RunFailed: the server cannot be reached, or the copy is not complete; the project stays where it is.
    """
    given, found = parse_address(address), find_project(folder)
    with _page_closed(found):
        with _without_worker(found) as source:
            if source.address is not None:
                raise BadInput(f"The project in {found} is in the database {source.address} already.")
            new = Address(given.parameters, secrets.token_hex(8))
            with closing(make_schema(new)) as target:
                rows, answers = _copy(source, target)
        remember(found, new)
        kept = found / f"{FILE_NAME}.{_stamp()}"
        (found / FILE_NAME).replace(kept)
    return Moved(rows, answers, str(kept))


def move_to_file(folder: Path) -> Moved:
    """Move the database of a project from its server to a file.

    Raises:
        BadInput: the project has a file already, or its page or training worker is running.
        RunFailed: the server cannot be reached, the disk is full, or the copy is not complete; the project stays
            where it is.
    """
    found = find_project(folder)
    with _page_closed(found), TemporaryDirectory(prefix=".moving-", dir=found) as place:
        with _without_worker(found) as source:
            if source.address is None:
                raise BadInput(f"The project in {found} is in {FILE_NAME} already.")
            kept = f"schema {source.address.schema} of {source.address}"
            with closing(open_file(Path(place) / FILE_NAME, create=True)) as target:
                rows, answers = _copy(source, target)
        (Path(place) / FILE_NAME).replace(found / FILE_NAME)
        (found / ADDRESS_NAME).replace(found / f"{ADDRESS_NAME}.{_stamp()}")
    return Moved(rows, answers, kept)


def _stamp() -> str:
    return f"moved-{datetime.now():%Y%m%d-%H%M%S}"


@contextmanager
def _page_closed(folder: Path) -> Iterator[None]:
    """Refuse while the page of a project is served, and prevent that in the block."""
    lock = FolderLock(folder, SERVER_LOCK, "The page of")
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _without_worker(folder: Path) -> Iterator[ProjectDatabase]:
    """The database of a project, while this process has the place of its training worker."""
    with closing(open_database(folder, create=False)) as source:
        try:
            with WorkerLock(source, folder).hold(lambda: True):
                yield source
        except Stopped as error:
            raise BadInput(
                f"The training worker of the project in {folder} is running.", "Stop it first."
            ) from error


def _copy(source: ProjectDatabase, target: ProjectDatabase) -> tuple[int, int]:
    """Copy all rows into an empty database; how many there are, and how many of them are answers."""
    counts = {}
    with source.snapshot() as reading, target.transaction(notify=False) as writing:
        writing.execute("DELETE FROM counters")
        for table in TABLES:
            counts[table] = _copy_table(reading, writing, table)
    for table, count in counts.items():
        (there,) = target.row(f"SELECT count(*) FROM {table}")
        if there != count:
            raise RunFailed(f"{there} of {count} rows of the table {table} were copied.", "Try again.")
    return sum(counts.values()), counts["answers"]


def _copy_table(reading: Connection, writing: Connection, table: str) -> int:
    """Copy the rows of a table; how many there are."""
    columns = [column[0] for column in reading.execute(f"SELECT * FROM {table} LIMIT 0").description]
    names, places = ", ".join(columns), ", ".join("?" * len(columns))
    order = f" ORDER BY {_ORDER[table]}" if table in _ORDER else ""
    rows = reading.execute(f"SELECT {names} FROM {table}{order}").fetchall()
    if table == "classes":
        rows = _merged_last(rows, columns.index("id"), columns.index("merged_into"))
    if table == "settings":  # each database has its own
        rows = [row for row in rows if row[columns.index("name")] != FOLDER_SETTING]
    for start in range(0, len(rows), ROWS_AT_ONCE):
        writing.executemany(
            f"INSERT INTO {table} ({names}) VALUES ({places})", rows[start : start + ROWS_AT_ONCE]
        )
    return len(rows)


def _merged_last(rows: list[tuple[Any, ...]], own: int, into: int) -> list[tuple[Any, ...]]:
    """Classes in an order in which each comes after the one that it was merged into."""
    ordered: list[tuple[Any, ...]] = []
    there: set[int | None] = {None}
    while len(ordered) < len(rows):
        free = [row for row in rows if row[own] not in there and row[into] in there]
        ordered += free
        there.update(row[own] for row in free)
    return ordered
