"""Imports of labels as units: each is one transaction, is listed, and can be taken back.

When two label events are the same is decided here; see :meth:`_Held.has`.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aral.annotation.annotators import annotator_id, known_annotator
from aral.annotation.answer_records import Action, AnswerEvent
from aral.annotation.answers import UNCANCELLED, append, update_standing
from aral.annotation.classes import insert_class, remove_class
from aral.annotation.database import ProjectDatabase, utc_now
from aral.annotation.leases import end_lease
from aral.annotation.names import checked_name, composed
from aral.annotation.predictions import NewestPredictions
from aral.annotation.records import IMPORT, IMPORT_KEY, Asking
from aral.annotation.standing import Vote, followed, live_class_of, refresh
from aral.errors import BadInput


@dataclass(frozen=True)
class ImportedAnswer:
    """An answer from elsewhere, about an image that was found.

    Attributes:
        image_id: the image; of exact copies any.
        annotator: who gave it; empty if unknown.
        action: never ``undo``.
        label: for ``class`` the name of the class, otherwise empty.
        asked: what asked for it.
        event_id: identity of the exported event, as :meth:`LabelImports.event_ids` gives it; empty for an
            answer that comes from no export.
    """

    image_id: int
    annotator: str
    action: Action
    label: str
    asked: Asking
    event_id: str = ""


@dataclass(frozen=True)
class RecordedImport:
    """What an import changed.

    Attributes:
        number: of the import; None if nothing was new, so that there is nothing to take back.
        recorded: answers that are new.
        repeated: answers that the project held already.
        changed_since: those of ``repeated`` that were changed in the project since; the newer answer stays.
        replaced: answers that a later line of the same annotator on the same image replaced.
        new_classes: names of the classes that were added.
    """

    number: int | None
    recorded: int
    repeated: int
    changed_since: int
    replaced: int
    new_classes: tuple[str, ...]


@dataclass(frozen=True)
class UndoneImport:
    """What the undo of an import changed.

    Attributes:
        number: of the undo, in the list of imports.
        undoes: number of the import that was taken back.
        source: of that import.
        taken_back: labels that stood and were taken back.
        changed_since: images that keep an answer that was given after the import.
        taken_back_before: labels of the import that somebody had taken back already.
        removed_classes: classes that only this import had added and nothing else uses.
        kept_classes: classes that it had added and that stay, because something else uses them.
    """

    number: int
    undoes: int
    source: str
    taken_back: int
    changed_since: int
    taken_back_before: int
    removed_classes: tuple[str, ...]
    kept_classes: tuple[str, ...]


@dataclass(frozen=True)
class LabelImport:
    """An entry of the list of imports.

    Attributes:
        number: its place in the list.
        undoes: number of the import that it takes back; None for an import.
        undone_by: number of the entry that took it back; None while it stands.
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
        predictions: what the newest model says, which is noted beside every event.
    """

    def __init__(self, database: ProjectDatabase, predictions: NewestPredictions) -> None:
        self._database = database
        self._predictions = predictions

    def event_ids(self) -> dict[int, str]:
        """The identity of every answer that stands, by its ``seq``; the same in every project it is imported to."""
        rows = self._database.rows("SELECT a.seq, a.key FROM standing s JOIN answers a ON a.seq = s.seq")
        return {seq: event_id_of(key) for seq, key in rows}

    def record(
        self, source: str, answers: Sequence[ImportedAnswer], counts: Mapping[str, int] | None = None
    ) -> RecordedImport:
        """Append what the project does not hold yet, with the classes that this needs, in one transaction.

        Args:
            source: the file or folder, for the list.
            answers: of one annotator on one image the last counts.
            counts: more numbers for the list.

        Raises:
            BadInput: a name is empty or no text, or an image is unknown; nothing of the import is kept.
            RunFailed: the disk is full; nothing of the import is kept.
        """
        predictions = self._predictions.table()
        with self._database.transaction() as connection:
            held = _Held(connection)
            classes = _Classes(connection)
            last = _last_of_each(connection, answers)
            number = _next_number(connection)
            seqs: list[int] = []
            touched: set[int] = set()
            repeated = changed_since = 0
            for image_id, answer in last:
                person = answer.annotator or IMPORT
                vote: Vote
                existing = classes.vote(answer)
                known = known_annotator(connection, person)
                if existing is None:
                    vote = ("class", classes.add(answer.label, person))
                else:
                    vote = existing
                    if held.has(image_id, known, vote, answer):
                        repeated += 1
                        changed_since += not held.stands(image_id, known, vote, bool(answer.annotator))
                        continue
                known = annotator_id(connection, person)
                key = held.free_key(image_id, answer, person, number)
                event = AnswerEvent(key, image_id, person, vote[0], vote[1], asked=answer.asked)
                seq = append(connection, event, image_id, known, None, predictions)
                update_standing(connection, image_id, known)
                end_lease(connection, image_id, known)
                held.add(event_id_of(key), image_id, known, vote, stands=True)
                seqs.append(seq)
                touched.add(image_id)
            refresh(connection, sorted(touched))
            result = RecordedImport(
                number if seqs else None,
                len(seqs),
                repeated,
                changed_since,
                len(answers) - len(last) - _copies(connection, answers, last),
                tuple(classes.added.values()),
            )
            if seqs:
                _note(
                    connection,
                    number,
                    None,
                    source,
                    {
                        "recorded": result.recorded,
                        "repeated": repeated,
                        "changed since": changed_since,
                        "replaced": result.replaced,
                        **(counts or {}),
                    },
                    seqs,
                )
                connection.executemany(
                    "INSERT INTO label_import_classes VALUES (?, ?)",
                    [(class_id, number) for class_id in classes.added],
                )
        return result

    def undo(self, number: int | None = None) -> UndoneImport:
        """Take an import back: its answers by further events, and the classes that only it needed.

        An answer of the import that its annotator has changed since is taken back as well, so that it never
        stands again, but the newer answer stays.

        Args:
            number: of the import; None for the last one that stands.

        Raises:
            BadInput: there is no such import, it was taken back already, or it is an undo itself.
        """
        predictions = self._predictions.table()
        with self._database.transaction() as connection:
            number, source = _to_undo(connection, number)
            events = connection.execute(
                f"""SELECT a.seq, a.image_id, a.annotator_id, p.name, s.seq IS NOT NULL, {UNCANCELLED}
                FROM label_import_events e JOIN answers a ON a.seq = e.seq
                JOIN annotators p ON p.id = a.annotator_id
                LEFT JOIN standing s
                    ON s.image_id = a.image_id AND s.annotator_id = a.annotator_id AND s.seq = a.seq
                WHERE e.import_id = ? ORDER BY a.seq""",
                (number,),
            ).fetchall()
            undo_number = _next_number(connection)
            seqs: list[int] = []
            for seq, image_id, person, name, _, uncancelled in events:
                if not uncancelled:
                    continue
                event = AnswerEvent(f"import-undo:{undo_number}:{seq}", image_id, name, "undo")
                seqs.append(append(connection, event, image_id, person, seq, predictions))
                update_standing(connection, image_id, person)
            refresh(connection, sorted({image_id for _, image_id, *_ in events}))
            removed, kept = _remove_classes(connection, number)
            result = UndoneImport(
                undo_number,
                number,
                source,
                sum(bool(stood) for *_, stood, _ in events),
                _newer_answers(connection, events),
                sum(not uncancelled for *_, uncancelled in events),
                removed,
                kept,
            )
            counts = {
                "taken back": result.taken_back,
                "changed since": result.changed_since,
                "taken back before": result.taken_back_before,
                "classes removed": len(removed),
                "classes kept": len(kept),
            }
            _note(connection, undo_number, number, source, counts, seqs)
        return result

    def entries(self) -> list[LabelImport]:
        """All imports and undos, the oldest first; an import that added nothing is none."""
        with self._database.moment() as connection:
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


def event_id_of(key: str) -> str:
    """The identity of the answer with this key, kept when it goes from project to project."""
    if key.startswith(IMPORT_KEY):
        return key.removeprefix(IMPORT_KEY).partition(":")[0]
    return hashlib.sha256(key.encode()).hexdigest()[:40]


class _Held:
    """What a project holds already: all answers that nobody took back."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        merges = live_class_of(connection)
        self._content = dict(connection.execute("SELECT id, sha256 FROM images"))
        self._keys = {key for (key,) in connection.execute("SELECT key FROM answers")}
        self._by_event_id: dict[str, tuple[int, int, Vote]] = {}
        self._ever: set[tuple[int, int, Vote]] = set()
        self._standing: dict[tuple[int, int], Vote] = {}
        self._of_image: defaultdict[int, dict[int, Vote]] = defaultdict(dict)
        rows = connection.execute(
            f"""SELECT a.key, a.image_id, a.annotator_id, a.action, a.class_id, s.seq IS NOT NULL
            FROM answers a LEFT JOIN standing s
                    ON s.image_id = a.image_id AND s.annotator_id = a.annotator_id AND s.seq = a.seq
            WHERE a.action <> 'undo' AND {UNCANCELLED} ORDER BY a.seq"""
        )
        for key, image_id, person, action, class_id, stands in rows:
            vote = followed((action, class_id), merges)
            self.add(event_id_of(key), image_id, person, vote, bool(stands))

    def add(self, event_id: str, image_id: int, person: int, vote: Vote, stands: bool) -> None:
        """Note an answer."""
        self._by_event_id[event_id] = (image_id, person, vote)
        self._ever.add((image_id, person, vote))
        if stands:
            self._standing[image_id, person] = vote
            self._of_image[image_id][person] = vote

    def has(self, image_id: int, person: int, vote: Vote, answer: ImportedAnswer) -> bool:
        """Whether the project holds a label event already.

        One from an export is told by the identity of its event. If that is unknown here, the project holds it
        when the annotator's answer that stands says the same. One without an identity is held when the
        annotator has ever said the same of the image and did not take it back; one without an annotator,
        when anybody's answer that stands says the same, or an import without an annotator has said so before.
        """
        known = self._by_event_id.get(answer.event_id) if answer.event_id else None
        if answer.event_id and known is None:
            return self._standing.get((image_id, person)) == vote
        if known is not None and known[0] == image_id and known[2] == vote:
            return not answer.annotator or known[1] == person
        if (image_id, person, vote) in self._ever:
            return True
        return not answer.annotator and vote in self._of_image[image_id].values()

    def stands(self, image_id: int, person: int, vote: Vote, named: bool) -> bool:
        """Whether an event that is held is what counts now."""
        if not named and vote in self._of_image[image_id].values():
            return True
        return self._standing.get((image_id, person)) == vote

    def free_key(self, image_id: int, answer: ImportedAnswer, person: str, number: int) -> str:
        """A key for a new event: made of its identity, or else of what it says."""
        event_id = answer.event_id
        if not event_id or event_id in self._by_event_id:
            said = [self._content[image_id], person, answer.action, composed(answer.label)]
            event_id = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:40]
        key = f"{IMPORT_KEY}{event_id}"
        if key in self._keys:  # said before, and taken back or changed since
            key = f"{key}:{number}:{image_id}"
        self._keys.add(key)
        return key


class _Classes:
    """The live classes by every name they and what went into them ever had."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.added: dict[int, str] = {}
        merges = live_class_of(connection)
        rows = connection.execute("SELECT id, name, merged_into, removed FROM classes").fetchall()
        removed = {class_id for class_id, _, _, gone in rows if gone}
        former: defaultdict[str, set[int]] = defaultdict(set)
        for class_id, change, detail in connection.execute(
            "SELECT class_id, change, detail FROM class_changes"
        ):
            if change in ("add", "rename"):
                names = json.loads(detail)
                for name in {names.get("name"), names.get("from"), names.get("to")} - {None}:
                    former[composed(name)].add(merges[class_id])
        self._by_name = {name: min(ids - removed) for name, ids in former.items() if len(ids - removed) == 1}
        for class_id, name, merged_into, gone in rows:
            if merged_into is None and not gone:
                self._by_name[composed(name)] = class_id

    def vote(self, answer: ImportedAnswer) -> Vote | None:
        """What an answer says; None if its class is new."""
        if answer.action != "class":
            return answer.action, None
        class_id = self._by_name.get(composed(answer.label.strip()))
        return None if class_id is None else ("class", class_id)

    def add(self, name: str, annotator: str) -> int:
        """Add a class."""
        made = insert_class(self._connection, checked_name("a class", name), annotator)
        self._by_name[composed(made.name)] = made.id
        self.added[made.id] = made.name
        return made.id


def _last_of_each(
    connection: sqlite3.Connection, answers: Iterable[ImportedAnswer]
) -> list[tuple[int, ImportedAnswer]]:
    """Of each annotator on each image the last answer, with the image that it counts for."""
    first_of = dict(
        connection.execute(
            """SELECT id, coalesce(duplicate_of, id) FROM images
            WHERE status IN ('ready', 'missing', 'changed')"""
        )
    )
    last: dict[tuple[int, str], ImportedAnswer] = {}
    for answer in answers:
        image_id = first_of.get(answer.image_id)
        if image_id is None:
            raise BadInput(
                f"There is no image {answer.image_id} to label.", "Run aral sync, then import again."
            )
        place = (image_id, composed(answer.annotator.strip()))
        last.pop(place, None)
        last[place] = answer
    return [(image_id, answer) for (image_id, _), answer in last.items()]


def _copies(
    connection: sqlite3.Connection,
    answers: Sequence[ImportedAnswer],
    last: Sequence[tuple[int, ImportedAnswer]],
) -> int:
    """How many answers only repeat, within the import, the one that counts."""
    first_of = dict(connection.execute("SELECT id, coalesce(duplicate_of, id) FROM images"))
    counts = {
        (image_id, composed(answer.annotator.strip())): (answer.action, composed(answer.label.strip()))
        for image_id, answer in last
    }
    same = sum(
        counts[first_of[answer.image_id], composed(answer.annotator.strip())]
        == (answer.action, composed(answer.label.strip()))
        for answer in answers
    )
    return same - len(last)


def _next_number(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT coalesce(max(id), 0) + 1 FROM label_imports").fetchone()[0])


def _note(
    connection: sqlite3.Connection,
    number: int,
    undoes: int | None,
    source: str,
    counts: Mapping[str, int],
    seqs: Sequence[int],
) -> None:
    """Put a unit into the list, with the events that it appended."""
    connection.execute(
        "INSERT INTO label_imports (id, undoes, source, imported_at, counts) VALUES (?, ?, ?, ?, ?)",
        (number, undoes, os.fsencode(source), utc_now(), json.dumps(dict(counts))),
    )
    connection.executemany(
        "INSERT INTO label_import_events (seq, import_id) VALUES (?, ?)", [(seq, number) for seq in seqs]
    )


def _to_undo(connection: sqlite3.Connection, number: int | None) -> tuple[int, str]:
    """Number and source of the import to take back."""
    row = connection.execute(
        """SELECT i.id, i.source, i.undoes, u.id FROM label_imports i LEFT JOIN label_imports u ON u.undoes = i.id
        WHERE i.id = ?1 OR (?1 IS NULL AND i.undoes IS NULL AND u.id IS NULL) ORDER BY i.id DESC LIMIT 1""",
        (number,),
    ).fetchone()
    if row is None:
        raise BadInput(
            "There is no import to take back." if number is None else f"There is no import {number}.",
            "See the list: aral import PROJECT --list",
        )
    found, source, undoes, undone_by = row
    if undoes is not None:
        raise BadInput(f"Entry {found} is the undo of import {undoes}.", "Import the labels again instead.")
    if undone_by is not None:
        raise BadInput(f"Import {found} was taken back already, by entry {undone_by}.")
    return int(found), os.fsdecode(source)


def _newer_answers(connection: sqlite3.Connection, events: Sequence[tuple[Any, ...]]) -> int:
    """How many images of these events have an answer that stands and is newer than theirs."""
    newest = dict(connection.execute("SELECT image_id, max(seq) FROM standing GROUP BY image_id"))
    of_image: dict[int, int] = {}
    for seq, image_id, *_ in events:
        of_image[image_id] = max(seq, of_image.get(image_id, 0))
    return sum(newest.get(image_id, 0) > seq for image_id, seq in of_image.items())


def _remove_classes(connection: sqlite3.Connection, number: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Remove the classes that an import added and nothing else uses; gives their names, and those that stay."""
    rows = connection.execute(
        f"""SELECT c.id, c.name,
            EXISTS (SELECT 1 FROM answers a WHERE a.class_id = c.id AND {UNCANCELLED})
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
