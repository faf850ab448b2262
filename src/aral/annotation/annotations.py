"""Annotation events: an append-only log, each event recorded once, however often it is sent.

From an event to a label: a page sends an :class:`AnswerEvent`; :meth:`Annotations.append` adds it to the table
``answers`` with its provenance, and updates the annotator's current answer (table ``standing``) and the consensus
of the image (``consensus.py``). :class:`aral.annotation.labels.Labels` reads labels from these tables, and the
trainer reads what has changed since its last read (:meth:`aral.annotation.labels.Labels.changed_since`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from aral.annotation.annotators import ensure_annotator, find_annotator
from aral.annotation.consensus import (
    Action,
    State,
    consensus_of,
    live_class_of,
    update_consensus,
)
from aral.annotation.database import Connection, ProjectDatabase, clock, clock_now, utc_now
from aral.annotation.predictions import (
    Predictions,
    PredictionTable,
    is_suggestion_hidden,
    suggestion_columns,
)
from aral.annotation.provenance import Provenance, Purpose
from aral.annotation.queue import PROVENANCE, WITH_QUERY, end_lease
from aral.annotation.settings import read_settings
from aral.errors import BadInput
from aral.plural import counted

MOST_AT_ONCE = 10_000

RATE_SECONDS = 300.0
_LEAST_SECONDS = 10.0

NOT_UNDONE = "NOT EXISTS (SELECT 1 FROM answers u WHERE u.cancels = a.seq)"
"""SQL: event ``a`` was not undone."""

_ENTRY = f"""SELECT a.seq, a.image_id, i.name, a.action, a.class_id, p.name, a.answered_at, NOT {NOT_UNDONE}
    FROM answers a JOIN images i ON i.id = a.image_id JOIN annotators p ON p.id = a.annotator_id"""


GivenLabel: TypeAlias = tuple[State, int | None] | None
"""The label that an image has for an annotator (:func:`given_label`): state and class; None without one."""


@dataclass(frozen=True)
class ReplacedLabel:
    """The label that an answer replaces, as its sender saw it.

    Attributes:
        label: as of :func:`given_label`.
    """

    label: GivenLabel


class LabelChanged(BadInput):
    """An answer states which label it replaces, and the image has another one by now."""


@dataclass(frozen=True)
class AnswerEvent:
    """An annotation event: an answer or an undo. Sent twice under the same key, it counts once.

    Attributes:
        key: made by the sender, unique for each event, such as a UUID.
        image_id: the image that was shown; for ``undo`` the image whose answer is undone.
        annotator: the annotator's name.
        action: what was done.
        class_id: for ``class`` the class, otherwise None.
        suggestion_shown: a suggestion was visible when the answer was given.
        seconds: how long the image was shown, if known.
        provenance: why the image was shown, if it was not shown as a card of the queue; None for a card. A further
            answer of an annotator to the same image keeps the provenance of the first.
        accepted: the class is the suggestion, accepted as it was shown.
        replaces: the label that the answer replaces, for one of many images answered at once; the answer is refused
            if the image has another label by now. None: not checked.
    """

    key: str
    image_id: int
    annotator: str
    action: Action
    class_id: int | None = None
    suggestion_shown: bool = False
    seconds: float | None = None
    provenance: Provenance | None = None
    accepted: bool = False
    replaces: ReplacedLabel | None = None


@dataclass(frozen=True)
class AnswerReceipt:
    """The confirmation that an event is on the disk.

    Attributes:
        key: that of the event.
        seq: its position in the log.
        image_id: the image it counts for: of exact copies the first.
        repeated: it had been recorded before; nothing was added.
        cancels: for ``undo`` the ``seq`` of the answer that was undone.
        current: action and class of the annotator's current answer to the image; None without one.
    """

    key: str
    seq: int
    image_id: int
    repeated: bool
    cancels: int | None
    current: tuple[Action, int | None] | None = None


@dataclass(frozen=True)
class HistoryEntry:
    """An answer in an annotator's history.

    Attributes:
        seq: its position in the log.
        image_id: the image.
        name: its file.
        action: never ``undo``.
        class_id: for ``class`` the class as it was chosen, which may have been merged since.
        annotator: who answered.
        answered_at: UTC in ISO 8601, for display; nothing is ordered by it.
        cancelled: it was undone.
    """

    seq: int
    image_id: int
    name: str
    action: Action
    class_id: int | None
    annotator: str
    answered_at: str
    cancelled: bool


class Annotations:
    """The event log."""

    def __init__(self, database: ProjectDatabase, predictions: Predictions) -> None:
        self._database = database
        self._predictions = predictions

    def append(self, event: AnswerEvent) -> AnswerReceipt:
        """Record one event; see :meth:`append_many`."""
        return self.append_many([event])[0]

    def append_many(self, events: Sequence[AnswerEvent]) -> list[AnswerReceipt]:
        """Record events in one transaction, all or none of them; each key counts once.

        ``undo`` cancels the annotator's current answer to the image; the one before it becomes current again.
        An answer to an exact copy counts for the first of the copies; one with a merged class counts for the
        class it was merged into.

        Raises:
            BadInput: an event is invalid, so none is recorded: its key is empty or that of another event, its
                image or class is unknown, there is no answer to undo, or it accepts a hidden suggestion.
            LabelChanged: an image has another label than the one that its event replaces; none is recorded.
            RunFailed: the disk is full; none is recorded.
        """
        predictions = self._predictions.table()
        for event in events:
            _check(event)
        if len(events) > MOST_AT_ONCE:
            raise BadInput(
                f"{counted(len(events), 'answer')} at once are too many.", f"Send up to {MOST_AT_ONCE}."
            )
        with self._database.transaction() as connection:
            return [_record(connection, event, predictions) for event in events]

    def newest_seq(self) -> int:
        """``seq`` of the newest event; 0 without any."""
        return int(self._database.row("SELECT coalesce(max(seq), 0) FROM answers")[0])

    def current(self) -> list[HistoryEntry]:
        """Every annotator's current answer to every image, in the order of image ids, then of answers."""
        return _entries(
            self._database.rows(f"""{_ENTRY} JOIN standing s ON s.seq = a.seq ORDER BY a.image_id, a.seq""")
        )

    def undoable(self, annotator: str, before_seq: int | None = None, count: int = 50) -> list[HistoryEntry]:
        """As :meth:`history`, without the answers that were undone."""
        return self._page(annotator, NOT_UNDONE, before_seq, count)

    def history(self, annotator: str, before_seq: int | None = None, count: int = 50) -> list[HistoryEntry]:
        """An annotator's answers, undone ones too, the newest first; ``before_seq`` gives the next page."""
        return self._page(annotator, "true", before_seq, count)

    def _page(self, annotator: str, condition: str, before_seq: int | None, count: int) -> list[HistoryEntry]:
        with self._database.snapshot() as connection:
            rows = connection.execute(
                f"""{_ENTRY} WHERE a.annotator_id = ?1 AND a.action <> 'undo' AND a.seq < coalesce(?2, a.seq + 1)
                    AND {condition}
                ORDER BY a.seq DESC LIMIT ?3""",
                (find_annotator(connection, annotator), before_seq, max(0, count)),
            ).fetchall()
        return _entries(rows)

    def current_with_prefix(self, prefix: str) -> tuple[int, int, str] | None:
        """``seq``, image and annotator of a current answer whose key begins with a prefix; None without one."""
        rows = self._database.rows(
            """SELECT a.seq, a.image_id, p.name
            FROM answers a JOIN standing s ON s.seq = a.seq JOIN annotators p ON p.id = a.annotator_id
            WHERE a.key >= ? AND a.key < ? LIMIT 1""",
            (prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1)),
        )
        return rows[0] if rows else None

    def labels_per_minute(self, annotator: str) -> float:
        """An annotator's labels per minute over the last five minutes; 0 with fewer than two labels in them."""
        with self._database.snapshot() as connection:
            now = clock_now(connection)
            first, labels = connection.execute(
                f"""SELECT min(answered_clock), count(*) FROM answers a
                WHERE annotator_id = ? AND action = 'class' AND answered_clock > ? AND {NOT_UNDONE}""",
                (find_annotator(connection, annotator), now - RATE_SECONDS),
            ).fetchone()
        return 0.0 if labels < 2 else 60 * (labels - 1) / max(now - first, _LEAST_SECONDS)


def _entries(rows: Iterable[tuple[Any, ...]]) -> list[HistoryEntry]:
    """Rows of :data:`_ENTRY` as records."""
    return [
        HistoryEntry(seq, image_id, os.fsdecode(name), action, class_id, annotator, at, bool(cancelled))
        for seq, image_id, name, action, class_id, annotator, at, cancelled in rows
    ]


def _check(event: AnswerEvent) -> None:
    if not event.key.strip():
        raise BadInput(
            "An answer was sent without a key.", "Give every answer a key of its own, such as a UUID."
        )
    if event.action not in ("class", "skip", "unsure", "bad image", "none of these", "undo"):
        raise BadInput(f"There is no action '{event.action}'.")
    if (event.action == "class") != (event.class_id is not None):
        raise BadInput(f"The action '{event.action}' was sent with class {event.class_id}.")
    if event.accepted and not (event.action == "class" and event.suggestion_shown):
        raise BadInput("A suggestion was accepted that was not shown.", "Answer with a class.")


def _record(connection: Connection, event: AnswerEvent, predictions: PredictionTable) -> AnswerReceipt:
    annotator_id = ensure_annotator(connection, event.annotator)
    image_id = _answered_image(connection, event.image_id)
    recorded = connection.execute(
        "SELECT seq, cancels, image_id, annotator_id, action, class_id FROM answers WHERE key = ?",
        (event.key,),
    ).fetchone()
    if recorded is not None:
        seq, cancels, *content = recorded
        if content != [image_id, annotator_id, event.action, event.class_id]:
            raise BadInput(
                f"The key '{event.key}' was used already, for another answer.",
                "Give every answer a key of its own.",
            )
        return AnswerReceipt(
            event.key, seq, image_id, True, cancels, _current(connection, image_id, annotator_id)
        )
    if (
        event.class_id is not None
        and not connection.execute(
            "SELECT 1 FROM classes WHERE id = ? AND removed = 0", (event.class_id,)
        ).fetchone()
    ):
        raise BadInput(f"There is no class {event.class_id}.", "Load the classes again.")
    if event.accepted and is_suggestion_hidden(connection, image_id):
        raise BadInput(
            f"The suggestion for image {image_id} is hidden, so it cannot be accepted.",
            "Answer with a class.",
        )
    if event.replaces is not None:
        _check_replaced(connection, event.replaces, image_id, annotator_id)
    cancels = _answer_to_undo(connection, event, image_id, annotator_id) if event.action == "undo" else None
    seq = insert_event(connection, event, image_id, annotator_id, cancels, predictions)
    update_current_answer(connection, image_id, annotator_id)
    end_lease(connection, image_id, annotator_id)
    update_consensus(connection, [image_id])
    return AnswerReceipt(
        event.key, seq, image_id, False, cancels, _current(connection, image_id, annotator_id)
    )


def given_label(
    connection: Connection, image_id: int, annotator_id: int, merges: Mapping[int, int]
) -> GivenLabel:
    """The label that a further answer of an annotator to an image replaces or contradicts.

    The annotator's own current answer, unless it is a skip or unsure; otherwise the consensus of the other
    annotators, if the image needs no more answers. Where it needs more, a further answer replaces nothing.

    Args:
        connection: of the project.
        image_id: the image; of exact copies the first.
        annotator_id: the annotator.
        merges: live class by class.
    """
    votes = connection.execute(
        "SELECT annotator_id, action, class_id FROM standing WHERE image_id = ?", (image_id,)
    ).fetchall()
    own = consensus_of(
        [(action, class_id) for voter_id, action, class_id in votes if voter_id == annotator_id], merges
    )
    if own.votes and own.state is not None:
        return own.state, own.class_id
    consensus = consensus_of([(action, class_id) for _, action, class_id in votes], merges)
    if not consensus.votes or consensus.state is None or consensus.votes < read_settings(connection).overlap:
        return None
    return consensus.state, consensus.class_id


def _check_replaced(
    connection: Connection, replaced: ReplacedLabel, image_id: int, annotator_id: int
) -> None:
    """Refuse an answer whose sender saw another label."""
    merges = live_class_of(connection)
    stated = replaced.label
    if stated is not None:
        stated = (stated[0], merges.get(stated[1]) if stated[1] is not None else None)
    if given_label(connection, image_id, annotator_id, merges) != stated:
        raise LabelChanged(f"Image {image_id} has another label by now.", "Look at it and answer again.")


def _answered_image(connection: Connection, image_id: int) -> int:
    """The image an answer counts for: of exact copies the first. Its file may have gone since."""
    row = connection.execute(
        "SELECT coalesce(duplicate_of, id) FROM images WHERE id = ? "
        "AND status IN ('ready', 'missing', 'changed')",
        (image_id,),
    ).fetchone()
    if row is None:
        raise BadInput(f"There is no image {image_id} to answer.", "Load the page again.")
    return int(row[0])


def _answer_to_undo(connection: Connection, event: AnswerEvent, image_id: int, annotator_id: int) -> int:
    row = connection.execute(
        "SELECT seq FROM standing WHERE image_id = ? AND annotator_id = ?", (image_id, annotator_id)
    ).fetchone()
    if row is None:
        raise BadInput(f"{event.annotator} has no answer to image {image_id} to undo.")
    return int(row[0])


def insert_event(
    connection: Connection,
    event: AnswerEvent,
    image_id: int,
    annotator_id: int,
    cancels: int | None,
    predictions: PredictionTable,
) -> int:
    """Append a checked event with its provenance and the suggestion at that time; returns its ``seq``."""
    lease = connection.execute(
        """SELECT purpose, round, strategy, score, suggested_class, suggested_probability, suggested_by
        FROM leases WHERE image_id = ? AND annotator_id = ?""",
        (image_id, annotator_id),
    ).fetchone()
    suggested = suggestion_columns(predictions.of(image_id)) if lease is None else lease[4:]
    purpose, provenance = _provenance(
        connection, event, image_id, annotator_id, None if lease is None else lease[:4]
    )
    seconds = event.seconds
    if seconds is not None and not (math.isfinite(seconds) and seconds >= 0):
        seconds = None
    (seq,) = connection.execute(
        """INSERT INTO answers (key, image_id, annotator_id, action, class_id, cancels, suggestion_shown,
            seconds, answered_at, answered_clock, purpose, round, strategy, score,
            suggested_class, suggested_probability, suggested_by)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING seq""",
        (
            event.key,
            image_id,
            annotator_id,
            event.action,
            event.class_id,
            cancels,
            event.suggestion_shown,
            seconds,
            utc_now(),
            clock(connection),
            purpose,
            provenance.round,
            provenance.strategy,
            provenance.score,
            *suggested,
        ),
    ).fetchone()
    return int(seq)


def _provenance(
    connection: Connection,
    event: AnswerEvent,
    image_id: int,
    annotator_id: int,
    lease: tuple[Purpose, int | None, str, float | None] | None,
) -> tuple[Purpose, Provenance]:
    """Why the image of an event was shown.

    That of its card, while it is leased. Otherwise that of the annotator's earlier answer, which the event
    corrects or repeats; then what the event itself states; last that of the newest query with the image, whose
    card may have been on a page for longer than a lease.
    """
    purpose, *card = (
        lease
        or connection.execute(f"SELECT {PROVENANCE} FROM {WITH_QUERY} WHERE i.id = ?", (image_id,)).fetchone()
    )
    if lease is not None and event.provenance is None:
        return purpose, Provenance(*card)
    before = connection.execute(
        """SELECT round, strategy, score FROM answers
        WHERE image_id = ? AND annotator_id = ? AND action <> 'undo' ORDER BY seq DESC LIMIT 1""",
        (image_id, annotator_id),
    ).fetchone()
    if before is not None:
        return purpose, Provenance(*before)
    return purpose, event.provenance or Provenance(*card)


def update_current_answer(connection: Connection, image_id: int, annotator_id: int) -> None:
    """Recompute an annotator's current answer to an image: the newest one that was not undone."""
    connection.execute(
        "DELETE FROM standing WHERE image_id = ? AND annotator_id = ?", (image_id, annotator_id)
    )
    connection.execute(
        f"""INSERT INTO standing SELECT image_id, annotator_id, seq, action, class_id FROM answers a
        WHERE image_id = ? AND annotator_id = ? AND action <> 'undo' AND {NOT_UNDONE}
        ORDER BY seq DESC LIMIT 1""",
        (image_id, annotator_id),
    )


def _current(connection: Connection, image_id: int, annotator_id: int) -> tuple[Action, int | None] | None:
    row: tuple[Action, int | None] | None = connection.execute(
        "SELECT action, class_id FROM standing WHERE image_id = ? AND annotator_id = ?",
        (image_id, annotator_id),
    ).fetchone()
    return row
