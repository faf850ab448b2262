"""Queries and answers as statements on the store; every function runs inside the caller's transaction."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime

import numpy as np

from aral.errors import BadInput
from aral.types import Answer, ClassAnswer, NoClass, NoClassAnswer, Selection


def now() -> str:
    """The time in UTC, for people to read; nothing is ordered by it."""
    return datetime.now(UTC).isoformat()


def insert_query(connection: sqlite3.Connection, round: int, selection: Selection) -> None:
    """Record a round's query, or find it there already, identical.

    Raises:
        BadInput: the selection is empty, the round has another query, or an image waits for its answer in
            another round or has a class.
    """
    if not len(selection):
        raise BadInput(f"The query of round {round} is empty.", "Stop when no unlabelled image is left.")
    wanted = [
        (round, position, image_id, score, reason, selection.acquisition)
        for position, (image_id, score, reason) in enumerate(
            zip(selection.ids.tolist(), selection.scores.tolist(), selection.reasons, strict=True)
        )
    ]
    recorded = connection.execute(
        "SELECT round, position, image_id, score, reason, acquisition FROM queries "
        "WHERE round = ? ORDER BY position",
        (round,),
    ).fetchall()
    if recorded:
        if recorded != wanted:
            raise BadInput(f"Round {round} has a different query already.", "Ask for the recorded query.")
        return
    _refuse_busy_images(connection, round, selection)
    connection.executemany("INSERT INTO queries VALUES (?, ?, ?, ?, ?, ?)", wanted)


def _refuse_busy_images(connection: sqlite3.Connection, round: int, selection: Selection) -> None:
    waiting = dict(connection.execute("SELECT image_id, round FROM open_queries"))
    classed = dict(
        connection.execute("SELECT image_id, class_index FROM current_answers WHERE kind = 'class'")
    )
    for image_id in selection.ids.tolist():
        if image_id in waiting:
            raise BadInput(
                f"Image {image_id} of round {round} still waits for its answer to round {waiting[image_id]}.",
                "Choose among the images that were not asked for.",
            )
        if image_id in classed:
            raise BadInput(
                f"Image {image_id} of round {round} has class {classed[image_id]} already.",
                "Choose among the unlabelled images.",
            )


def selection_of(rows: list[tuple[int, float, str, str]]) -> Selection | None:
    """Rows (image_id, score, reason, acquisition) in order of position as a selection; None without rows."""
    if not rows:
        return None
    ids, scores, reasons, acquisitions = zip(*rows, strict=True)
    return Selection(
        np.array(ids, dtype=np.int64), np.array(scores, dtype=np.float64), acquisitions[0], tuple(reasons)
    )


def insert_answer(
    connection: sqlite3.Connection, answer: Answer, uuid: str, round: int, annotator: str
) -> None:
    """Append an answer; one that is there already, under the same uuid, is not added again.

    Raises:
        BadInput: the uuid names another event.
    """
    image_id, kind, class_index = _columns(answer)
    if not _is_repeated(connection, uuid, (image_id, kind, class_index)):
        connection.execute(
            "INSERT INTO answers (uuid, image_id, round, kind, class_index, annotator, created_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (uuid, image_id, round, kind, class_index, annotator, now()),
        )


def insert_undo(connection: sqlite3.Connection, image_id: int, uuid: str) -> None:
    """Append an event that cancels the newest uncancelled answer of an image, under its round and annotator.

    Raises:
        BadInput: the image has no answer left, or the uuid names another event.
    """
    if _is_repeated(connection, uuid, (image_id, "undo", None)):
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
        (uuid, image_id, round, seq, annotator, now()),
    )


def _is_repeated(connection: sqlite3.Connection, uuid: str, columns: tuple[int, str, int | None]) -> bool:
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


def answer_of(image_id: int, kind: str, class_index: int | None) -> Answer:
    """The columns of a valid answer as the answer they record."""
    if class_index is not None:
        return ClassAnswer(image_id, class_index)
    return NoClassAnswer(image_id, NoClass(kind))
