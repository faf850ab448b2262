"""The layout of ``store.sqlite``, as numbered steps from an empty file to the newest version.

A migration that was ever released is never edited: a change of layout is a new migration at the end.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from aral.errors import BadInput

APPLICATION_ID = 0x4152414C
"""``ARAL``: marks an SQLite file as the store of a run."""

Migration: TypeAlias = tuple[str, ...]
"""The statements of one step."""

_VERSION_1: Migration = (
    f"PRAGMA application_id = {APPLICATION_ID}",
    "CREATE TABLE run (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
    # ANY: a file name that is no valid UTF-8 is stored as bytes, every other one as text.
    "CREATE TABLE images (id INTEGER PRIMARY KEY CHECK (id >= 0), name ANY NOT NULL) STRICT",
    """CREATE TABLE queries (
        round INTEGER NOT NULL CHECK (round >= 0),
        position INTEGER NOT NULL CHECK (position >= 0),
        image_id INTEGER NOT NULL CHECK (image_id >= 0),
        score REAL NOT NULL,
        reason TEXT NOT NULL,
        acquisition TEXT NOT NULL,
        PRIMARY KEY (round, position),
        UNIQUE (round, image_id)) STRICT""",
    """CREATE TABLE answers (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        uuid TEXT NOT NULL UNIQUE CHECK (uuid <> ''),
        image_id INTEGER NOT NULL CHECK (image_id >= 0),
        round INTEGER NOT NULL CHECK (round >= 0),
        kind TEXT NOT NULL
            CHECK (kind IN ('class', 'skip', 'unsure', 'bad image', 'none of these', 'undo')),
        class_index INTEGER CHECK (class_index >= 0),
        cancels INTEGER UNIQUE REFERENCES answers (seq),
        annotator TEXT NOT NULL,
        created_at TEXT NOT NULL,
        CHECK ((kind = 'class') = (class_index IS NOT NULL)),
        CHECK ((kind = 'undo') = (cancels IS NOT NULL))) STRICT""",
    "CREATE INDEX answers_by_image ON answers (image_id, seq)",
    """CREATE TRIGGER answers_are_never_changed BEFORE UPDATE ON answers
        BEGIN SELECT RAISE(ABORT, 'answers are append-only'); END""",
    """CREATE TRIGGER answers_are_never_deleted BEFORE DELETE ON answers
        BEGIN SELECT RAISE(ABORT, 'answers are append-only'); END""",
    # INSERT OR REPLACE deletes the old row without asking the trigger above.
    """CREATE TRIGGER answers_are_never_replaced BEFORE INSERT ON answers
        WHEN EXISTS (SELECT 1 FROM answers
                     WHERE seq = NEW.seq OR uuid = NEW.uuid OR cancels = NEW.cancels)
        BEGIN SELECT RAISE(ABORT, 'answers are append-only'); END""",
    """CREATE VIEW valid_answers AS SELECT * FROM answers
        WHERE kind <> 'undo' AND seq NOT IN (SELECT cancels FROM answers WHERE cancels IS NOT NULL)""",
    # Beside max(seq), SQLite takes the other columns from that same row.
    """CREATE VIEW current_answers AS
        SELECT max(seq) AS seq, image_id, round, kind, class_index FROM valid_answers GROUP BY image_id""",
    # An image asked again in a later round waits for an answer given in that round or after.
    """CREATE VIEW open_queries AS SELECT round, position, image_id FROM queries AS query
        WHERE NOT EXISTS (SELECT 1 FROM valid_answers AS answer
                          WHERE answer.image_id = query.image_id AND answer.round >= query.round)""",
    """CREATE TABLE rounds (
        round INTEGER PRIMARY KEY CHECK (round >= 0),
        labelled INTEGER NOT NULL CHECK (labelled >= 0),
        trained_at TEXT,
        evaluated_at TEXT,
        CHECK (evaluated_at IS NULL OR trained_at IS NOT NULL)) STRICT""",
    # SQLite has infinities but no NaN: a value of NULL is NaN.
    """CREATE TABLE metrics (
        round INTEGER NOT NULL, step INTEGER NOT NULL, name TEXT NOT NULL, value REAL,
        PRIMARY KEY (round, step, name)) STRICT""",
    """CREATE TABLE documents (
        round INTEGER NOT NULL, name TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (round, name)) STRICT""",
    """CREATE TABLE checkpoints (
        folder TEXT PRIMARY KEY, round INTEGER NOT NULL, step INTEGER NOT NULL,
        created_at TEXT NOT NULL) STRICT""",
    """CREATE TABLE events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, created_at TEXT NOT NULL,
        kind TEXT NOT NULL, message TEXT NOT NULL) STRICT""",
)

MIGRATIONS: tuple[Migration, ...] = (_VERSION_1,)
"""Migration number N, counted from 1, turns layout N-1 into layout N."""


def layout_version(connection: sqlite3.Connection) -> int:
    """The number of the last migration a file has had; 0 for an empty file."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def check_known(version: int, path: Path, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Refuse a store that a newer release has written; nothing is changed.

    Raises:
        BadInput: ``version`` is beyond the last of ``migrations``.
    """
    if version > len(migrations):
        raise BadInput(
            f"{path} has layout {version}, from a newer release of aral; "
            f"this one knows layouts up to {len(migrations)}.",
            "Install a newer release: pip install --upgrade aral",
        )


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring a store to the newest layout: each step is one transaction together with its number.

    Killed between two steps, the next call goes on with the first step that is missing. Two processes may
    do so at once: each step is taken by the first of them.
    """
    for number in range(layout_version(connection) + 1, len(migrations) + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            if layout_version(connection) < number:
                for statement in migrations[number - 1]:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
