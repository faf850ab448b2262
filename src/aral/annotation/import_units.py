"""Imports of labels as units: each is one transaction, is listed, and can be undone."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from aral.annotation.annotations import NOT_UNDONE
from aral.annotation.annotators import ensure_annotator
from aral.annotation.classes import remove_class
from aral.annotation.consensus import DECISIVE, Vote, update_consensus
from aral.annotation.database import Connection, ProjectDatabase, clock, utc_now
from aral.annotation.imported_labels import CheckedLabel, ImportedLabel, checked_labels, consistent_labels
from aral.annotation.known_answers import KnownAnswers, KnownClasses, event_id_of
from aral.annotation.names import composed
from aral.annotation.predictions import Predictions, PredictionTable, suggestion_columns
from aral.annotation.provenance import IMPORT, Provenance
from aral.annotation.queue import PROVENANCE, WITH_QUERY
from aral.annotation.rejected import Rejected, reason_counts
from aral.errors import BadInput

_IMAGES_AT_ONCE = 500
"""In one query; databases limit the number of values in one."""


@dataclass(frozen=True)
class LabelImportResult:
    """What an import of labels changed.

    Attributes:
        number: of the import, for its undo; None if it added nothing.
        recorded: labels that are new.
        repeated: labels that the project held already.
        changed_since: those of ``repeated`` that were changed in the project since; the newer label stays.
        replaced: labels of the project that a new one by the same annotator on the same image replaced.
        disagreements: images of the import on which the annotators disagree now, without a majority; their names.
        rejected: rows and files that were not imported, in the order they were found.
        new_classes: names of the classes that were added.
        notes: how the source was read, as sentences.
    """

    number: int | None
    recorded: int
    repeated: int
    changed_since: int
    replaced: int
    disagreements: tuple[str, ...]
    rejected: tuple[Rejected, ...]
    new_classes: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def reasons(self) -> dict[str, int]:
        """How many rows and files were rejected, by reason, the most frequent first."""
        return reason_counts(self.rejected)


@dataclass(frozen=True)
class UndoneImport:
    """What the undo of an import changed.

    Attributes:
        number: of the undo, in the list of imports.
        undoes: number of the import that was undone.
        source: of that import.
        undone: labels of the import that counted until now.
        changed_since: images that keep a label that was given after the import.
        undone_before: labels of the import that an annotator had undone already.
        removed_classes: classes that only this import had added and nothing else uses.
        kept_classes: classes that it had added and that stay, because something else uses them.
    """

    number: int
    undoes: int
    source: str
    undone: int
    changed_since: int
    undone_before: int
    removed_classes: tuple[str, ...]
    kept_classes: tuple[str, ...]


@dataclass(frozen=True)
class LabelImport:
    """An entry of the list of imports.

    Attributes:
        number: its number in the list.
        undoes: number of the import that it undoes; None for an import.
        undone_by: number of the entry that undid it; None for one that is in force.
        source: the file or folder.
        imported_at: UTC in ISO 8601.
        counts: what was counted, by name.
        events: ``seq`` of the first and of the last event that it appended; None without any.
        new_classes: names of the classes that it added, as they are now.
    """

    number: int
    undoes: int | None
    undone_by: int | None
    source: str
    imported_at: str
    counts: Mapping[str, int]
    events: tuple[int, int] | None
    new_classes: tuple[str, ...]


class LabelImports:
    """The imports of labels of a project.

    Args:
        database: of the project.
        predictions: the newest model's predictions, recorded with every event.
    """

    def __init__(self, database: ProjectDatabase, predictions: Predictions) -> None:
        self._database = database
        self._predictions = predictions

    def event_ids(self) -> dict[int, str]:
        """The identity of every current answer by its ``seq``; the same in every project it is imported into."""
        rows = self._database.rows("SELECT a.seq, a.key FROM standing s JOIN answers a ON a.seq = s.seq")
        return {seq: event_id_of(key) for seq, key in rows}

    def record(
        self,
        source: str,
        labels: Sequence[ImportedLabel],
        rejected: Sequence[Rejected] = (),
        notes: Sequence[str] = (),
        meant: Collection[str] = (),
    ) -> LabelImportResult:
        """Append the labels that the project does not hold yet, with the classes they need, in one transaction.

        Args:
            source: the file or folder, for the list.
            labels: those of one annotator on one image that contradict each other are rejected.
            rejected: what the source holds besides; it is counted and returned.
            notes: how the source was read; returned.
            meant: names of classes that the user has given; they are never taken for names that a spreadsheet
                changed.

        Raises:
            BadInput: a name is empty or not valid Unicode, or an image is unknown; nothing is imported.
            RunFailed: the disk is full; nothing is imported.
        """
        predictions = self._predictions.table()
        with self._database.transaction() as connection:
            log, classes = KnownAnswers(connection), KnownClasses(connection)
            checked, altered = _unaltered(checked_labels(connection, labels), log, classes, meant)
            consistent = consistent_labels(checked, classes.vote)
            rejected = (*rejected, *altered, *consistent.rejected)
            number = _next_number(connection)
            rows: list[_NewEvent] = []
            repeated = changed_since = replaced = 0
            for entry in consistent.labels:
                image_id = entry.image_id
                annotator_id = log.annotators.get(entry.annotator, 0)
                known_vote = classes.vote(entry)
                vote: Vote = known_vote or ("class", classes.add(entry))
                if known_vote and log.holds(image_id, annotator_id, vote, entry):
                    repeated += 1
                    changed_since += not log.is_current(image_id, annotator_id, vote, entry)
                    continue
                if not annotator_id:
                    annotator_id = log.annotators[entry.annotator] = ensure_annotator(
                        connection, entry.annotator
                    )
                before = log.current(image_id, annotator_id)
                replaced += before is not None and before[0] in DECISIVE and before != vote
                key = log.free_key(image_id, entry, number)
                log.add(event_id_of(key), image_id, annotator_id, vote, current=True)
                rows.append(_NewEvent(key, image_id, annotator_id, vote, entry.provenance))
            first = _append(connection, rows, log, predictions) if rows else 0
            result = LabelImportResult(
                number if rows else None,
                len(rows),
                repeated,
                changed_since,
                replaced,
                _disagreements(connection, {entry.image_id for entry in consistent.labels}),
                rejected,
                tuple(classes.added.values()),
                (*notes, *consistent.notes),
            )
            if rows:
                counts = {
                    "recorded": result.recorded,
                    "repeated": repeated,
                    "changed since": changed_since,
                    "replaced": replaced,
                    "disagreements": len(result.disagreements),
                    "rejected": len(rejected),
                }
                _insert_unit(connection, number, None, source, counts, first)
                connection.executemany(
                    "INSERT INTO label_import_classes VALUES (?, ?)",
                    [(class_id, number) for class_id in classes.added],
                )
        return result

    def undo(self, number: int | None = None) -> UndoneImport:
        """Undo an import: its labels by further events, and the classes that only it needed.

        A label of the import that its annotator has changed since is undone as well, so that it never counts
        again, but the newer one stays.

        Args:
            number: of the import; None for the last one in force.

        Raises:
            BadInput: there is no such import, it was undone already, or it is an undo itself.
        """
        with self._database.transaction() as connection:
            number, source = _to_undo(connection, number)
            undo_number = _next_number(connection)
            labels, undone_before, undone = connection.execute(
                f"""SELECT count(*), count(*) FILTER (WHERE NOT {NOT_UNDONE}), count(s.seq) FROM label_import_events e
                JOIN answers a ON a.seq = e.seq
                LEFT JOIN standing s ON s.image_id = a.image_id AND s.annotator_id = a.annotator_id
                    AND s.seq = a.seq
                WHERE e.import_id = ?""",
                (number,),
            ).fetchone()
            image_ids = _append_undos(connection, number, undo_number)
            first = _last_seq(connection) + 1 - (labels - undone_before)
            removed, kept = _remove_classes(connection, number)
            result = UndoneImport(
                undo_number,
                number,
                source,
                undone,
                _images_changed_since(connection, number),
                undone_before,
                removed,
                kept,
            )
            update_consensus(connection, image_ids)
            counts = {
                "undone": result.undone,
                "changed since": result.changed_since,
                "undone before": result.undone_before,
                "classes removed": len(removed),
                "classes kept": len(kept),
            }
            _insert_unit(connection, undo_number, number, source, counts, first)
        return result

    def entries(self) -> list[LabelImport]:
        """All imports and undos, the oldest first; an import that added nothing is not listed."""
        with self._database.snapshot() as connection:
            rows = connection.execute(
                """SELECT i.id, i.undoes, u.id, i.source, i.imported_at, i.counts,
                    (SELECT min(seq) FROM label_import_events WHERE import_id = i.id),
                    (SELECT max(seq) FROM label_import_events WHERE import_id = i.id)
                FROM label_imports i LEFT JOIN label_imports u ON u.undoes = i.id ORDER BY i.id"""
            ).fetchall()
            classes: defaultdict[int, list[str]] = defaultdict(list)
            for number, name in connection.execute(
                """SELECT import_id, name FROM label_import_classes JOIN classes ON classes.id = class_id
                ORDER BY class_id"""
            ):
                classes[number].append(name)
        return [
            LabelImport(
                number,
                undoes,
                undone_by,
                os.fsdecode(source),
                imported_at,
                json.loads(counts),
                None if first is None else (first, last),
                tuple(classes[number]),
            )
            for number, undoes, undone_by, source, imported_at, counts, first, last in rows
        ]


def _unaltered(
    labels: Sequence[CheckedLabel], log: KnownAnswers, classes: KnownClasses, meant: Collection[str]
) -> tuple[list[CheckedLabel], list[Rejected]]:
    """The labels whose names no spreadsheet has changed, and the others."""
    altered = classes.altered(labels, {composed(name) for name in meant})
    kept: list[CheckedLabel] = []
    rejected: list[Rejected] = []
    for label in labels:
        reason = classes.altered_since_export(label, log)
        if label.action == "class":
            reason = reason or altered.get(label.composed_name, "")
        if reason:
            rejected.append(label.rejected(reason))
        else:
            kept.append(label)
    return kept, rejected


def _disagreements(connection: Connection, image_ids: Collection[int]) -> tuple[str, ...]:
    """Names of those images on which the annotators disagree, without a majority."""
    rows = connection.execute("SELECT id, name FROM images WHERE state = 'conflict' ORDER BY id")
    return tuple(os.fsdecode(name) for image_id, name in rows if image_id in image_ids)


@dataclass(frozen=True)
class _NewEvent:
    """A label that is to be appended."""

    key: str
    image_id: int
    annotator_id: int
    vote: Vote
    provenance: Provenance


def _append(
    connection: Connection, rows: Sequence[_NewEvent], log: KnownAnswers, predictions: PredictionTable
) -> int:
    """Append new events at once, make them the current answers, and end their leases.

    Each keeps the provenance of the annotator's earlier answer to the image, as any further answer does.

    Returns:
        ``seq`` of the first; the others follow.
    """
    image_ids = sorted({row.image_id for row in rows})
    leases = {
        (image_id, annotator_id): columns
        for image_id, annotator_id, *columns in connection.execute(
            "SELECT image_id, annotator_id, purpose, suggested_class, suggested_probability, suggested_by "
            "FROM leases"
        )
    }
    purposes = {}
    for start in range(0, len(image_ids), _IMAGES_AT_ONCE):
        part = image_ids[start : start + _IMAGES_AT_ONCE]
        places = ", ".join("?" * len(part))
        found = connection.execute(
            f"SELECT i.id, {PROVENANCE} FROM {WITH_QUERY} WHERE i.id IN ({places})", part
        )
        purposes.update({image_id: purpose for image_id, purpose, *_ in found})
    first, now, at = _last_seq(connection) + 1, utc_now(), clock(connection)
    table = []
    for seq, row in enumerate(rows, first):
        pair = (row.image_id, row.annotator_id)
        stated = row.provenance
        purpose, *suggested = leases.get(pair) or (
            purposes[row.image_id],
            *suggestion_columns(predictions.of(row.image_id)),
        )
        table.append(
            (
                seq,
                row.key,
                *pair,
                *row.vote,
                now,
                at,
                purpose,
                *log.provenance.get(pair, (stated.round, stated.strategy, stated.score)),
                *suggested,
            )
        )
    connection.executemany(
        """INSERT INTO answers (seq, key, image_id, annotator_id, action, class_id, suggestion_shown, answered_at,
            answered_clock, purpose, round, strategy, score, suggested_class, suggested_probability, suggested_by)
        VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        table,
    )
    connection.execute(
        """INSERT INTO standing (image_id, annotator_id, seq, action, class_id)
        SELECT image_id, annotator_id, seq, action, class_id FROM answers WHERE seq >= ?
        ON CONFLICT (image_id, annotator_id) DO UPDATE SET
            seq = excluded.seq, action = excluded.action, class_id = excluded.class_id""",
        (first,),
    )
    connection.executemany(
        "DELETE FROM leases WHERE image_id = ? AND annotator_id = ?",
        [pair for pair in {(row.image_id, row.annotator_id) for row in rows} if pair in leases],
    )
    update_consensus(connection, image_ids)
    return first


def _append_undos(connection: Connection, number: int, undo_number: int) -> list[int]:
    """Append an undo for every event of an import that was not undone, and make the answers before current again.

    Returns:
        the images of the import.
    """
    now, at = utc_now(), clock(connection)
    connection.execute(
        f"""INSERT INTO answers (key, image_id, annotator_id, action, cancels, suggestion_shown, answered_at,
            answered_clock, purpose, round, strategy, score)
        SELECT 'import-undo:' || ? || ':' || a.seq, a.image_id, a.annotator_id, 'undo', a.seq, 0, ?, ?,
            a.purpose, a.round, a.strategy, a.score
        FROM label_import_events e JOIN answers a ON a.seq = e.seq
        WHERE e.import_id = ? AND {NOT_UNDONE} ORDER BY a.seq""",
        (undo_number, now, at, number),
    )
    pairs = connection.execute(
        """SELECT DISTINCT a.image_id, a.annotator_id
        FROM label_import_events e JOIN answers a ON a.seq = e.seq WHERE e.import_id = ?""",
        (number,),
    ).fetchall()
    connection.execute(
        "DELETE FROM standing WHERE seq IN (SELECT seq FROM label_import_events WHERE import_id = ?)",
        (number,),
    )
    # Where a newer answer is current, nothing changes.
    connection.executemany(
        f"""INSERT INTO standing (image_id, annotator_id, seq, action, class_id)
        SELECT image_id, annotator_id, seq, action, class_id FROM answers a
        WHERE image_id = ? AND annotator_id = ? AND action <> 'undo' AND {NOT_UNDONE}
        ORDER BY seq DESC LIMIT 1
        ON CONFLICT DO NOTHING""",
        pairs,
    )
    return sorted({image_id for image_id, _ in pairs})


def _last_seq(connection: Connection) -> int:
    return int(connection.execute("SELECT coalesce(max(seq), 0) FROM answers").fetchone()[0])


def _next_number(connection: Connection) -> int:
    return int(connection.execute("SELECT coalesce(max(id), 0) + 1 FROM label_imports").fetchone()[0])


def _insert_unit(
    connection: Connection,
    number: int,
    undoes: int | None,
    source: str,
    counts: Mapping[str, int],
    first: int,
) -> None:
    """List a unit, with the events that it appended: all since ``first``."""
    connection.execute(
        "INSERT INTO label_imports (id, undoes, source, imported_at, counts) VALUES (?, ?, ?, ?, ?)",
        (number, undoes, os.fsencode(source), utc_now(), json.dumps(dict(counts))),
    )
    connection.execute(
        "INSERT INTO label_import_events (seq, import_id) SELECT seq, ? FROM answers WHERE seq >= ?",
        (number, first),
    )


def _to_undo(connection: Connection, number: int | None) -> tuple[int, str]:
    """Number and source of the import to undo."""
    row = connection.execute(
        """SELECT i.id, i.source, i.undoes, u.id FROM label_imports i LEFT JOIN label_imports u ON u.undoes = i.id
        WHERE i.id = ?1 OR (?1 IS NULL AND i.undoes IS NULL AND u.id IS NULL) ORDER BY i.id DESC LIMIT 1""",
        (number,),
    ).fetchone()
    if row is None:
        raise BadInput(
            "There is no import to undo." if number is None else f"There is no import {number}.",
            "See the list: aral import PROJECT --list",
        )
    found, source, undoes, undone_by = row
    if undoes is not None:
        raise BadInput(f"Entry {found} is the undo of import {undoes}.", "Import the labels again instead.")
    if undone_by is not None:
        raise BadInput(f"Import {found} was undone already, by entry {undone_by}.")
    return int(found), os.fsdecode(source)


def _images_changed_since(connection: Connection, number: int) -> int:
    """How many images of an import have a current answer that is newer than the import's."""
    (count,) = connection.execute(
        """SELECT count(*) FROM (
            SELECT a.image_id, max(a.seq) AS newest FROM label_import_events e JOIN answers a ON a.seq = e.seq
            WHERE e.import_id = ? GROUP BY a.image_id) i
        WHERE EXISTS (SELECT 1 FROM standing s WHERE s.image_id = i.image_id AND s.seq > i.newest)""",
        (number,),
    ).fetchone()
    return int(count)


def _remove_classes(connection: Connection, number: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Remove the classes that an import added and nothing else uses; names of the removed and the kept ones."""
    rows = connection.execute(
        f"""SELECT c.id, c.name,
            EXISTS (SELECT 1 FROM answers a WHERE a.class_id = c.id AND {NOT_UNDONE})
            OR EXISTS (SELECT 1 FROM classes m WHERE m.merged_into = c.id)
            OR EXISTS (SELECT 1 FROM class_changes h WHERE h.class_id = c.id AND h.change <> 'add')
        FROM label_import_classes l JOIN classes c ON c.id = l.class_id
        WHERE l.import_id = ? AND c.merged_into IS NULL AND c.removed = 0 ORDER BY c.id""",
        (number,),
    ).fetchall()
    for class_id, _, used in rows:
        if not used:
            remove_class(connection, class_id, IMPORT)
    return tuple(name for _, name, used in rows if not used), tuple(name for _, name, used in rows if used)
