"""The log of labels in the store of a run: append-only events; undo is another event.

:meth:`aral.loop.session.Session.tell` appends to it. In an annotation project it stays empty, because the project has
a log of its own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from aral.errors import BadInput
from aral.loop.database import Database, utc_now
from aral.loop.labels import LabelChanges
from aral.types import Answer, ClassAnswer, NoClass, NoClassAnswer


@dataclass(frozen=True)
class AnswerRow:
    """One event as it was recorded.

    Attributes:
        seq: its id; events are ordered by it, not by time.
        uuid: a name that the sender gave the event.
        image_id: the image.
        round: the round in which the event was sent.
        kind: ``"class"``, ``"undo"`` or a value of :class:`aral.types.NoClass`.
        class_index: the class, for kind ``"class"`` only.
        cancels: the seq of the answer that an undo cancels, for kind ``"undo"`` only.
        annotator: who sent it.
        created_at: when it was recorded, UTC in ISO 8601.
    """

    seq: int
    uuid: str
    image_id: int
    round: int
    kind: str
    class_index: int | None
    cancels: int | None
    annotator: str
    created_at: str


class LabelLog:
    """A :class:`aral.loop.labels.LabelSource` that can be appended to.

    Args:
        database: the store of the run.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, answers: Iterable[tuple[Answer, str]], round: int, annotator: str) -> None:
        """Append answers, each with a uuid made by its sender; a uuid seen before adds nothing.

        When this returns, all of them are on the disk; when it raises, none of them is.

        Args:
            answers: answers and uuids, the oldest first.
            round: the round in which they arrived.
            annotator: who answered.

        Raises:
            BadInput: a uuid belongs to an event with another content, or a number is negative.
        """
        with self._database.transaction() as connection:
            for answer, uuid in answers:
                columns = _columns(answer)
                if not _is_recorded(connection, uuid, columns):
                    connection.execute(
                        "INSERT INTO answers (uuid, image_id, round, kind, class_index, annotator, created_at) "
                        "VALUES (?, ?, ?, ?, ?, ?, ?)",
                        (uuid, columns[0], round, *columns[1:], annotator, utc_now()),
                    )

    def undo(self, image_id: int, uuid: str) -> None:
        """Append an event that cancels the newest answer of an image; another one cancels the answer before.

        Raises:
            BadInput: no answer of the image is left, or the uuid belongs to another event.
        """
        image_id = int(image_id)
        with self._database.transaction() as connection:
            if _is_recorded(connection, uuid, (image_id, "undo", None)):
                return
            newest = connection.execute(
                "SELECT seq, round, annotator FROM valid_answers WHERE image_id = ? ORDER BY seq DESC LIMIT 1",
                (image_id,),
            ).fetchone()
            if newest is None:
                raise BadInput(f"Image {image_id} has no answer to undo.", "Answer it first.")
            seq, round, annotator = newest
            connection.execute(
                "INSERT INTO answers (uuid, image_id, round, kind, cancels, annotator, created_at) "
                "VALUES (?, ?, ?, 'undo', ?, ?, ?)",
                (uuid, image_id, round, seq, annotator, utc_now()),
            )

    def since(self, cursor: int) -> LabelChanges:
        """What has changed after the event ``cursor``; 0 gives everything."""
        with self._database.reading() as connection:
            (newest,) = connection.execute("SELECT coalesce(max(seq), 0) FROM answers").fetchone()
            touched = connection.execute("SELECT DISTINCT image_id FROM answers WHERE seq > ?", (cursor,))
            answers: dict[int, Answer | None] = {image_id: None for (image_id,) in touched}
            # Beside max(seq), SQLite takes the other columns from that same row.
            rows = connection.execute(
                """SELECT image_id, kind, class_index, max(seq) FROM valid_answers
                WHERE image_id IN (SELECT image_id FROM answers WHERE seq > ?) GROUP BY image_id""",
                (cursor,),
            )
            answers |= {
                image_id: _answer(image_id, kind, class_index) for image_id, kind, class_index, _ in rows
            }
        return LabelChanges(newest, answers)

    def answers(self) -> list[Answer]:
        """The newest answer of every answered image that was not undone, in ascending order of id."""
        answers = self.since(0).answers
        return [answer for _, answer in sorted(answers.items()) if answer is not None]

    def history(self) -> list[AnswerRow]:
        """Every event in the order of recording, undone ones and undos included."""
        columns = "seq, uuid, image_id, round, kind, class_index, cancels, annotator, created_at"
        return [AnswerRow(*row) for row in self._database.rows(f"SELECT {columns} FROM answers ORDER BY seq")]


def _is_recorded(connection: sqlite3.Connection, uuid: str, columns: tuple[int, str, int | None]) -> bool:
    recorded = connection.execute(
        "SELECT image_id, kind, class_index FROM answers WHERE uuid = ?", (uuid,)
    ).fetchone()
    if recorded is not None and recorded != columns:
        raise BadInput(
            f"Event {uuid} was recorded already, with another content: {recorded} is not {columns}.",
            "Give every event a uuid of its own.",
        )
    return recorded is not None


def _columns(answer: Answer) -> tuple[int, str, int | None]:
    match answer:
        case ClassAnswer(image_id, class_index):
            return int(image_id), "class", int(class_index)
        case NoClassAnswer(image_id, reason):
            return int(image_id), reason.value, None


def _answer(image_id: int, kind: str, class_index: int | None) -> Answer:
    if class_index is not None:
        return ClassAnswer(image_id, class_index)
    return NoClassAnswer(image_id, NoClass(kind))
