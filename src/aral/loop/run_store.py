"""The store of a run folder: queries, answers, metrics, checkpoints and events of a run, in one SQLite file.

One process holds a run folder at a time. Others can read a copy meanwhile: :mod:`aral.loop.reading`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType

import numpy as np

from aral.durable import Json
from aral.errors import BadInput
from aral.lock import FolderLock
from aral.loop.database import Database, Migration, Schema, utc_now
from aral.loop.label_log import LabelLog
from aral.plural import counted
from aral.types import Selection

FILE_NAME = "store.sqlite"

APPLICATION_ID = 0x4152414C
"""``ARAL``: marks an SQLite file as the store of a run."""

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

_VERSION_2: Migration = (
    "DROP TABLE images",
    "DROP VIEW open_queries",
    "DROP VIEW current_answers",
    # The run of a project, which has an identity, kept a copy of the project's own answers.
    "DROP TRIGGER answers_are_never_deleted",
    """DELETE FROM answers WHERE kind = 'undo' AND EXISTS (SELECT 1 FROM run WHERE key = 'identity')""",
    """DELETE FROM answers WHERE EXISTS (SELECT 1 FROM run WHERE key = 'identity')""",
    """CREATE TRIGGER answers_are_never_deleted BEFORE DELETE ON answers
        BEGIN SELECT RAISE(ABORT, 'answers are append-only'); END""",
)

SCHEMA = Schema(APPLICATION_ID, "run", (_VERSION_1, _VERSION_2), ("checkpoints/*", "pictures/*"))


class Stage(StrEnum):
    """What was completed in a round, in this order."""

    TRAINED = "trained"
    EVALUATED = "evaluated"


@dataclass(frozen=True)
class RoundRow:
    """A round of labelling and training.

    Attributes:
        round: its number, from 0.
        labelled: how many labelled images it trains on.
        trained_at: when its training was complete, UTC; None before.
        evaluated_at: when its evaluation was complete, UTC; None before.
    """

    round: int
    labelled: int
    trained_at: str | None
    evaluated_at: str | None

    @property
    def stage(self) -> Stage | None:
        """The last stage reached; None while training is not complete."""
        if self.evaluated_at is not None:
            return Stage.EVALUATED
        return None if self.trained_at is None else Stage.TRAINED


@dataclass(frozen=True)
class MetricRow:
    """One number of one step of training or evaluation; it may be NaN or infinite."""

    round: int
    step: int
    name: str
    value: float


@dataclass(frozen=True)
class CheckpointRow:
    """A checkpoint that was completely written.

    Attributes:
        folder: its name inside the run's folder of checkpoints.
        round: the round it belongs to.
        step: the training step of that round after which it was taken.
        created_at: when it was recorded, UTC.
    """

    folder: str
    round: int
    step: int
    created_at: str


@dataclass(frozen=True)
class EventRow:
    """Something the user should know of, such as a damaged checkpoint that was not used."""

    seq: int
    created_at: str
    kind: str
    message: str


class Store:
    """The recorded state of one run folder, held by one process at a time.

    Use it in a ``with`` block, in the thread and the process that opened it. When a ``record_...`` method has
    returned, its rows are on the disk; when it raises, none of them is. All of them may be repeated with the
    same arguments after a crash; only :meth:`record_event` then adds a row.

    Attributes:
        folder: the run folder.
        labels: the log of labels; empty in a project, which has its own.
    """

    def __init__(self, folder: Path, lock: FolderLock, database: Database) -> None:
        self.folder = folder
        self.labels = LabelLog(database)
        self._lock = lock
        self._database = database

    @classmethod
    def open(cls, folder: Path, create: bool) -> Store:
        """Open the store of a run folder and lock the folder.

        Args:
            folder: the run folder; only its owner may read a new one.
            create: make the folder and the store where they are missing; an existing store is kept.

        Raises:
            BadInput: the folder is missing, in use by a process (named), or its store cannot be used.
        """
        _prepare_folder(folder, create)
        lock = FolderLock(folder)
        try:
            return cls(folder, lock, Database(folder / FILE_NAME, create, SCHEMA))
        except BaseException:
            lock.release()
            raise

    def close(self) -> None:
        """Close the file, then release the folder; a second call does nothing."""
        self._database.close()
        self._lock.release()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Settings

    def record_setting(self, key: str, value: Json) -> None:
        """Record a setting of the run, such as its seed; an earlier value is replaced."""
        self._write("INSERT OR REPLACE INTO run VALUES (?, ?)", key, json.dumps(value))

    def setting(self, key: str) -> Json:
        """The value of a setting; None if it was never recorded."""
        return _parsed(self._database.rows("SELECT value FROM run WHERE key = ?", (key,)))

    # Queries

    def record_query(self, round: int, selection: Selection) -> None:
        """Record the images asked for in a round, all or none; an identical query changes nothing.

        Raises:
            BadInput: the selection is empty, or the round has another query.
        """
        if not len(selection):
            raise BadInput(f"The query of round {round} is empty.", "Stop when no unlabelled image is left.")
        columns = zip(selection.ids.tolist(), selection.scores.tolist(), selection.reasons, strict=True)
        rows = [
            (round, position, image_id, score, reason, selection.acquisition)
            for position, (image_id, score, reason) in enumerate(columns)
        ]
        with self._database.transaction() as connection:
            recorded = connection.execute(
                "SELECT round, position, image_id, score, reason, acquisition FROM queries "
                "WHERE round = ? ORDER BY position",
                (round,),
            ).fetchall()
            if recorded and recorded != rows:
                raise BadInput(f"Round {round} has a different query already.", "Ask for the recorded query.")
            if not recorded:
                connection.executemany("INSERT INTO queries VALUES (?, ?, ?, ?, ?, ?)", rows)

    def query(self, round: int) -> Selection | None:
        """The recorded query of a round, with float64 scores; None if there is none."""
        rows = self._database.rows(
            "SELECT image_id, score, reason, acquisition FROM queries WHERE round = ? ORDER BY position",
            (round,),
        )
        if not rows:
            return None
        ids, scores, reasons, acquisitions = zip(*rows, strict=True)
        return Selection(
            np.array(ids, dtype=np.int64), np.array(scores, dtype=np.float64), acquisitions[0], tuple(reasons)
        )

    # Rounds, metrics, documents

    def record_round(self, round: int, labelled: int) -> None:
        """Record how many labelled images a round trains on; it can change until the round is trained.

        Raises:
            BadInput: the round was trained on another number of labels.
        """
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO rounds (round, labelled) VALUES (?, ?) ON CONFLICT (round) "
                "DO UPDATE SET labelled = excluded.labelled WHERE trained_at IS NULL",
                (round, labelled),
            )
            (recorded,) = connection.execute(
                "SELECT labelled FROM rounds WHERE round = ?", (round,)
            ).fetchone()
            if recorded != labelled:
                raise BadInput(
                    f"Round {round} was trained on {counted(recorded, 'labelled image')}, not {labelled}.",
                    "Put new labels into the next round.",
                )

    def record_stage(self, round: int, stage: Stage) -> None:
        """Record that a round has reached a stage; the first time it did so counts.

        Raises:
            BadInput: the round is unknown, or it is to be evaluated before it is trained.
        """
        column = {Stage.TRAINED: "trained_at", Stage.EVALUATED: "evaluated_at"}[stage]
        with self._database.transaction() as connection:
            changed = connection.execute(
                f"UPDATE rounds SET {column} = coalesce({column}, ?) WHERE round = ?", (utc_now(), round)
            )
            if not changed.rowcount:
                raise BadInput(f"Round {round} is not recorded.", "Record its number of labels first.")

    def rounds(self) -> list[RoundRow]:
        """All recorded rounds in ascending order."""
        columns = "round, labelled, trained_at, evaluated_at"
        return [RoundRow(*row) for row in self._database.rows(f"SELECT {columns} FROM rounds ORDER BY round")]

    def record_metrics(self, round: int, step: int, values: Mapping[str, float]) -> None:
        """Record named numbers of a step, NaN and infinities included; earlier values are replaced."""
        rows = [(round, step, name, float(value)) for name, value in values.items()]
        with self._database.transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO metrics VALUES (?, ?, ?, ?)", rows)

    def metrics(self, name: str | None = None) -> list[MetricRow]:
        """Recorded numbers in order of round, step and name; of one name, or of all."""
        rows = self._database.rows(
            "SELECT round, step, name, value FROM metrics WHERE ?1 IS NULL OR name = ?1 "
            "ORDER BY round, step, name",
            (name,),
        )
        return [
            MetricRow(round, step, name, float("nan") if value is None else value)
            for round, step, name, value in rows
        ]

    def record_document(self, round: int, name: str, body: Json) -> None:
        """Record a document of a round, such as a confusion matrix; an earlier one is replaced."""
        self._write("INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", round, name, json.dumps(body))

    def document(self, round: int, name: str) -> Json:
        """A document of a round; None if it was never recorded."""
        rows = self._database.rows("SELECT body FROM documents WHERE round = ? AND name = ?", (round, name))
        return _parsed(rows)

    # Checkpoints and events

    def record_checkpoint(self, folder: str, round: int, step: int) -> None:
        """Record a checkpoint after it was completely written; an earlier row of the folder is replaced."""
        self._write("INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?, ?)", folder, round, step, utc_now())

    def forget_checkpoint(self, folder: str) -> None:
        """Remove a checkpoint's row, before its folder is removed."""
        self._write("DELETE FROM checkpoints WHERE folder = ?", folder)

    def checkpoints(self) -> list[CheckpointRow]:
        """Recorded checkpoints, the latest round and step first."""
        columns = "folder, round, step, created_at"
        rows = self._database.rows(
            f"SELECT {columns} FROM checkpoints ORDER BY round DESC, step DESC, folder"
        )
        return [CheckpointRow(*row) for row in rows]

    def record_event(self, kind: str, message: str) -> None:
        """Append something the user should know of; repeated, it is there twice."""
        self._write(
            "INSERT INTO events (created_at, kind, message) VALUES (?, ?, ?)", utc_now(), kind, message
        )

    def events(self) -> list[EventRow]:
        """All events in the order of recording."""
        columns = "seq, created_at, kind, message"
        return [EventRow(*row) for row in self._database.rows(f"SELECT {columns} FROM events ORDER BY seq")]

    def _write(self, statement: str, *parameters: object) -> None:
        with self._database.transaction() as connection:
            connection.execute(statement, parameters)


def _parsed(rows: list[tuple[str]]) -> Json:
    body: Json = json.loads(rows[0][0]) if rows else None
    return body


def _prepare_folder(folder: Path, create: bool) -> None:
    """Make a run folder, or check that it exists; one that already holds files keeps its permissions."""
    try:
        if create:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not any(folder.iterdir()):
                folder.chmod(0o700)
    except OSError as error:
        raise BadInput(f"Run folder {folder} cannot be made: {error}.", "Give another folder.") from error
    if not folder.is_dir():
        raise BadInput(f"There is no run folder {folder}.", "Check the path, or start a new run there.")
