"""Answers: an append-only list of events, each recorded once, however often it is sent."""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Sequence

from aral.annotation.annotators import annotator_id, known_annotator
from aral.annotation.answer_records import Action, Answered, AnswerEvent, AnswerReceipt
from aral.annotation.database import ProjectDatabase, clock, utc_now
from aral.annotation.leases import end_lease, suggestion_columns
from aral.annotation.predictions import PredictionTable
from aral.annotation.queue import AS_ASKED, WITH_ASKED
from aral.annotation.records import Asking, Purpose
from aral.annotation.standing import refresh
from aral.annotation.withholding import is_withheld
from aral.errors import BadInput
from aral.words import counted

MOST_AT_ONCE = 10_000

UNCANCELLED = "NOT EXISTS (SELECT 1 FROM answers u WHERE u.cancels = a.seq)"
"""Of a row ``a`` of answers: nobody took it back."""


def record(
    database: ProjectDatabase, events: Sequence[AnswerEvent], predictions: PredictionTable
) -> list[AnswerReceipt]:
    """Append events in one transaction, all or none of them.

    Raises:
        BadInput: an event cannot be: its key is empty or that of another event, its image or class is
            unknown, there is no answer to take back, or it accepts a suggestion that nobody may see.
    """
    for event in events:
        _check(event)
    if len(events) > MOST_AT_ONCE:
        raise BadInput(
            f"{counted(len(events), 'answer')} at once are too many.", f"Send up to {MOST_AT_ONCE}."
        )
    with database.transaction() as connection:
        return [_record_one(connection, event, predictions) for event in events]


def _check(event: AnswerEvent) -> None:
    if not event.key.strip():
        raise BadInput("An answer came without a key.", "Give every answer a key of its own, such as a UUID.")
    if event.action not in ("class", "skip", "unsure", "bad image", "none of these", "undo"):
        raise BadInput(f"There is no action '{event.action}'.")
    if (event.action == "class") != (event.class_id is not None):
        raise BadInput(f"The action '{event.action}' was sent with class {event.class_id}.")
    if event.accepted and not (event.action == "class" and event.suggestion_shown):
        raise BadInput("A suggestion was accepted that was not shown.", "Answer with a class.")


def _record_one(
    connection: sqlite3.Connection, event: AnswerEvent, predictions: PredictionTable
) -> AnswerReceipt:
    person = annotator_id(connection, event.annotator)
    image_id = _answered_image(connection, event.image_id)
    recorded = connection.execute(
        "SELECT seq, cancels, image_id, annotator_id, action, class_id FROM answers WHERE key = ?",
        (event.key,),
    ).fetchone()
    if recorded is not None:
        seq, cancels, *content = recorded
        if content != [image_id, person, event.action, event.class_id]:
            raise BadInput(
                f"The key '{event.key}' was used already, for another answer.",
                "Give every answer a key of its own.",
            )
        return AnswerReceipt(event.key, seq, image_id, True, cancels, _stands(connection, image_id, person))
    if (
        event.class_id is not None
        and not connection.execute(
            "SELECT 1 FROM classes WHERE id = ? AND removed = 0", (event.class_id,)
        ).fetchone()
    ):
        raise BadInput(f"There is no class {event.class_id}.", "Load the classes again.")
    if event.accepted and is_withheld(connection, image_id):
        raise BadInput(
            f"The suggestion for image {image_id} is held back, so it cannot be accepted.",
            "Answer with a class.",
        )
    cancels = _to_cancel(connection, event, image_id, person) if event.action == "undo" else None
    seq = append(connection, event, image_id, person, cancels, predictions)
    update_standing(connection, image_id, person)
    end_lease(connection, image_id, person)
    refresh(connection, [image_id])
    return AnswerReceipt(event.key, seq, image_id, False, cancels, _stands(connection, image_id, person))


def _answered_image(connection: sqlite3.Connection, image_id: int) -> int:
    """The image an answer counts for: of exact copies the first. A file that went since is no obstacle."""
    row = connection.execute(
        "SELECT coalesce(duplicate_of, id) FROM images WHERE id = ? "
        "AND status IN ('ready', 'missing', 'changed')",
        (image_id,),
    ).fetchone()
    if row is None:
        raise BadInput(f"There is no image {image_id} to answer.", "Load the page again.")
    return int(row[0])


def _to_cancel(connection: sqlite3.Connection, event: AnswerEvent, image_id: int, person: int) -> int:
    row = connection.execute(
        "SELECT seq FROM standing WHERE image_id = ? AND annotator_id = ?", (image_id, person)
    ).fetchone()
    if row is None:
        raise BadInput(f"{event.annotator} has no answer to image {image_id} to take back.")
    return int(row[0])


def append(
    connection: sqlite3.Connection,
    event: AnswerEvent,
    image_id: int,
    person: int,
    cancels: int | None,
    predictions: PredictionTable,
) -> int:
    """Append an event that was checked, with what asked for the image and what the model said of it then."""
    lease = connection.execute(
        """SELECT purpose, round, strategy, score, suggested_class, suggested_probability, suggested_by
        FROM leases WHERE image_id = ? AND annotator_id = ?""",
        (image_id, person),
    ).fetchone()
    suggested = suggestion_columns(predictions.of(image_id)) if lease is None else lease[4:]
    purpose, asked = _asked(connection, event, image_id, person, None if lease is None else lease[:4])
    seconds = event.seconds
    if seconds is not None and not (math.isfinite(seconds) and seconds >= 0):
        seconds = None
    cursor = connection.execute(
        """INSERT INTO answers (key, image_id, annotator_id, action, class_id, cancels, suggestion_shown,
            seconds, answered_at, answered_clock, purpose, round, strategy, score,
            suggested_class, suggested_probability, suggested_by)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (
            event.key,
            image_id,
            person,
            event.action,
            event.class_id,
            cancels,
            event.suggestion_shown,
            seconds,
            utc_now(),
            clock(connection),
            purpose,
            asked.round,
            asked.strategy,
            asked.score,
            *suggested,
        ),
    )
    return int(cursor.lastrowid or 0)


def _asked(
    connection: sqlite3.Connection,
    event: AnswerEvent,
    image_id: int,
    person: int,
    lease: tuple[Purpose, int | None, str, float | None] | None,
) -> tuple[Purpose, Asking]:
    """What asked for the image that an event is about.

    The card, as long as it is leased. Otherwise what asked this person before, because the event corrects or
    repeats what they said; then what the event itself names; at last the newest round that wanted the image,
    because its card may have been on a page for longer than a lease.
    """
    purpose, *card = (
        lease
        or connection.execute(f"SELECT {AS_ASKED} FROM {WITH_ASKED} WHERE i.id = ?", (image_id,)).fetchone()
    )
    if lease is not None and event.asked is None:
        return purpose, Asking(*card)
    before = connection.execute(
        """SELECT round, strategy, score FROM answers
        WHERE image_id = ? AND annotator_id = ? AND action <> 'undo' ORDER BY seq DESC LIMIT 1""",
        (image_id, person),
    ).fetchone()
    if before is not None:
        return purpose, Asking(*before)
    return purpose, event.asked or Asking(*card)


def update_standing(connection: sqlite3.Connection, image_id: int, person: int) -> None:
    """Work out anew which of a person's answers to an image counts: the newest that was not taken back."""
    connection.execute("DELETE FROM standing WHERE image_id = ? AND annotator_id = ?", (image_id, person))
    connection.execute(
        f"""INSERT INTO standing SELECT image_id, annotator_id, seq, action, class_id FROM answers a
        WHERE image_id = ? AND annotator_id = ? AND action <> 'undo' AND {UNCANCELLED}
        ORDER BY seq DESC LIMIT 1""",
        (image_id, person),
    )


def _stands(connection: sqlite3.Connection, image_id: int, person: int) -> tuple[Action, int | None] | None:
    row: tuple[Action, int | None] | None = connection.execute(
        "SELECT action, class_id FROM standing WHERE image_id = ? AND annotator_id = ?", (image_id, person)
    ).fetchone()
    return row


def standing_under(database: ProjectDatabase, prefix: str) -> tuple[int, int, str] | None:
    """As :meth:`aral.annotation.Project.standing_under`."""
    rows = database.rows(
        """SELECT a.seq, a.image_id, p.name
        FROM answers a JOIN standing s ON s.seq = a.seq JOIN annotators p ON p.id = a.annotator_id
        WHERE a.key >= ? AND a.key < ? LIMIT 1""",
        (prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1)),
    )
    return rows[0] if rows else None


def undoable(database: ProjectDatabase, annotator: str, count: int) -> list[Answered]:
    """Somebody's answers that were not taken back, the newest first."""
    return _answered(database, annotator, UNCANCELLED, None, count)


def history(database: ProjectDatabase, annotator: str, before_seq: int | None, count: int) -> list[Answered]:
    """Somebody's answers before a place in the order of events, the newest first."""
    return _answered(database, annotator, "1", before_seq, count)


def _answered(
    database: ProjectDatabase, annotator: str, condition: str, before_seq: int | None, count: int
) -> list[Answered]:
    with database.moment() as connection:
        rows = connection.execute(
            f"""SELECT a.seq, a.image_id, i.name, a.action, a.class_id, p.name, a.answered_at,
                NOT {UNCANCELLED}
            FROM answers a JOIN images i ON i.id = a.image_id JOIN annotators p ON p.id = a.annotator_id
            WHERE a.annotator_id = ?1 AND a.action <> 'undo' AND (?2 IS NULL OR a.seq < ?2) AND {condition}
            ORDER BY a.seq DESC LIMIT ?3""",
            (known_annotator(connection, annotator), before_seq, max(0, count)),
        ).fetchall()
    return [
        Answered(seq, image_id, os.fsdecode(name), action, class_id, person, at, bool(cancelled))
        for seq, image_id, name, action, class_id, person, at, cancelled in rows
    ]
