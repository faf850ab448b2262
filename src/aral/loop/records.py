"""What a run records beside its labels: settings, names, rounds, numbers, documents, checkpoints, events."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from aral.durable import Json
from aral.errors import BadInput
from aral.loop.database import Database
from aral.loop.label_events import now
from aral.loop.rows import CheckpointRow, EventRow, MetricRow, RoundRow, Stage
from aral.words import counted


class Records:
    """Methods in pairs: ``record_thing`` writes in one transaction, ``thing`` reads.

    When a ``record_...`` method has returned, its rows are on the disk; when it raises, none of them is. All
    of them may be repeated with the same arguments after a crash; only :meth:`record_event` then adds a row.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    # Settings and images

    def record_setting(self, key: str, value: Json) -> None:
        """Record a setting of the run, such as its seed; an earlier value is replaced."""
        self._write("INSERT OR REPLACE INTO run VALUES (?, ?)", key, json.dumps(value))

    def setting(self, key: str) -> Json:
        """The value of a setting; None if it was never recorded."""
        return _parsed(self._database.rows("SELECT value FROM run WHERE key = ?", (key,)))

    def record_image_names(self, names: Mapping[int, str]) -> None:
        """Record file names by image id; a name that is no valid UTF-8 keeps its bytes."""
        rows = [(int(image_id), _storable(name)) for image_id, name in names.items()]
        with self._database.transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO images VALUES (?, ?)", rows)

    def image_names(self) -> dict[int, str]:
        """Recorded names by image id, ascending."""
        rows = self._database.rows("SELECT id, name FROM images ORDER BY id")
        return {image_id: os.fsdecode(name) if isinstance(name, bytes) else name for image_id, name in rows}

    # Rounds, numbers, documents

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
                f"UPDATE rounds SET {column} = coalesce({column}, ?) WHERE round = ?", (now(), round)
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
        self._write("INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?, ?)", folder, round, step, now())

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
        self._write("INSERT INTO events (created_at, kind, message) VALUES (?, ?, ?)", now(), kind, message)

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


def _storable(name: str) -> str | bytes:
    try:
        name.encode()
    except UnicodeEncodeError:
        return os.fsencode(name)
    return name
