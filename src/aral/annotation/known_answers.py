"""What a project holds of the labels that are imported: which answers were given, which classes have which names.

Which imported labels are new is decided by :meth:`KnownAnswers.holds`.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Sequence
from decimal import Decimal

from aral.annotation.annotations import NOT_UNDONE
from aral.annotation.classes import insert_class
from aral.annotation.consensus import Vote, live_class_of, with_live_class
from aral.annotation.database import Connection
from aral.annotation.imported_labels import CheckedLabel
from aral.annotation.label_formats.spreadsheets import is_spreadsheet_date, number_in, unaltered
from aral.annotation.names import composed
from aral.annotation.provenance import IMPORT_KEY


def event_id_of(key: str) -> str:
    """The identity of the event with this key, the same in every project it is imported into."""
    if key.startswith(IMPORT_KEY):
        return key.removeprefix(IMPORT_KEY).partition(":")[0]
    return hashlib.sha256(key.encode()).hexdigest()[:40]


class KnownAnswers:
    """The answers of a project that were not undone, in memory."""

    def __init__(self, connection: Connection) -> None:
        merges = live_class_of(connection)
        self.annotators: dict[str, int] = dict(connection.execute("SELECT name, id FROM annotators"))
        self.provenance: dict[tuple[int, int], tuple[int | None, str, float | None]] = {}
        self._sha256 = dict(connection.execute("SELECT id, sha256 FROM images"))
        self._keys = {key for (key,) in connection.execute("SELECT key FROM answers")}
        self._by_event_id: dict[str, tuple[int, int, Vote]] = {}
        self._ever: set[tuple[int, int, Vote]] = set()
        self._current: dict[tuple[int, int], Vote] = {}
        self._of_image: defaultdict[int, dict[int, Vote]] = defaultdict(dict)
        rows = connection.execute(
            f"""SELECT a.key, a.image_id, a.annotator_id, a.action, a.class_id, a.round, a.strategy, a.score,
                s.seq IS NOT NULL, {NOT_UNDONE}
            FROM answers a LEFT JOIN standing s
                    ON s.image_id = a.image_id AND s.annotator_id = a.annotator_id AND s.seq = a.seq
            WHERE a.action <> 'undo' ORDER BY a.seq"""
        )
        for key, image_id, annotator_id, action, class_id, round, strategy, score, current, in_force in rows:
            self.provenance[image_id, annotator_id] = (round, strategy, score)
            if in_force:
                vote = with_live_class((action, class_id), merges)
                self.add(event_id_of(key), image_id, annotator_id, vote, bool(current))

    def add(self, event_id: str, image_id: int, annotator_id: int, vote: Vote, current: bool) -> None:
        """Add an answer; ``current`` if it is the annotator's newest."""
        self._by_event_id[event_id] = (image_id, annotator_id, vote)
        self._ever.add((image_id, annotator_id, vote))
        if current:
            self._current[image_id, annotator_id] = vote
            self._of_image[image_id][annotator_id] = vote

    def holds(self, image_id: int, annotator_id: int, vote: Vote, entry: CheckedLabel) -> bool:
        """Whether the project holds a label already.

        One with the identity of an event: if an event of this identity, on the same image, by the same annotator,
        has the same action and class; or if the annotator's current answer has. One that was edited after its
        export also if it was imported before.
        One without: if any answer of the annotator to the image, not undone, has. One without an annotator also
        if the current answer of any annotator has.
        """
        if not entry.event_id:
            if (image_id, annotator_id, vote) in self._ever:
                return True
            return not entry.named and vote in self._of_image[image_id].values()
        if self._current.get((image_id, annotator_id)) == vote:
            return True
        known = self._by_event_id.get(entry.event_id)
        if known is None:
            return False
        if known[0] == image_id and known[2] == vote:
            return not entry.named or known[1] == annotator_id
        return self._by_event_id.get(self._content_id(image_id, entry)) == (image_id, annotator_id, vote)

    def class_of_event(self, event_id: str) -> int | None:
        """The class of the event with this identity; None without such an event, or if it is no class."""
        known = self._by_event_id.get(event_id)
        return known[2][1] if known else None

    def current(self, image_id: int, annotator_id: int) -> Vote | None:
        """The annotator's current answer to an image."""
        return self._current.get((image_id, annotator_id))

    def is_current(self, image_id: int, annotator_id: int, vote: Vote, entry: CheckedLabel) -> bool:
        """Whether a label that is held counts now."""
        if not entry.named and vote in self._of_image[image_id].values():
            return True
        return self._current.get((image_id, annotator_id)) == vote

    def free_key(self, image_id: int, entry: CheckedLabel, number: int) -> str:
        """A key for a new event: made of its identity, or else of its content."""
        event_id = entry.event_id
        if not event_id or event_id in self._by_event_id:
            event_id = self._content_id(image_id, entry)
        key = f"{IMPORT_KEY}{event_id}"
        if key in self._keys:  # recorded before, and undone or changed since
            key = f"{key}:{number}:{image_id}"
        self._keys.add(key)
        return key

    def _content_id(self, image_id: int, entry: CheckedLabel) -> str:
        """The identity of a label that was not exported, or was edited since: a hash of its content."""
        content = [self._sha256[image_id], entry.annotator, entry.action, entry.composed_name]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:40]


class KnownClasses:
    """The live classes by every name that they, and classes merged into them, ever had."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.added: dict[int, str] = {}
        merges = live_class_of(connection)
        rows = connection.execute("SELECT id, name, merged_into, removed FROM classes").fetchall()
        removed = {class_id for class_id, _, _, is_removed in rows if is_removed}
        former: defaultdict[str, set[int]] = defaultdict(set)
        for class_id, change, detail in connection.execute(
            "SELECT class_id, change, detail FROM class_changes"
        ):
            if change in ("add", "rename"):
                names = json.loads(detail)
                for name in {names.get("name"), names.get("from"), names.get("to")} - {None}:
                    former[composed(name)].add(merges[class_id])
        self._by_name = {name: min(ids - removed) for name, ids in former.items() if len(ids - removed) == 1}
        self._live: dict[int, str] = {}
        for class_id, name, merged_into, is_removed in rows:
            if merged_into is None and not is_removed:
                self._by_name[composed(name)] = class_id
                self._live[class_id] = name

    def vote(self, entry: CheckedLabel) -> Vote | None:
        """Action and class of a label; None if its class is new."""
        if entry.action != "class":
            return entry.action, None
        class_id = self._by_name.get(entry.composed_name)
        return None if class_id is None else ("class", class_id)

    def add(self, entry: CheckedLabel) -> int:
        """Add the class of a label."""
        added = insert_class(self._connection, entry.name, entry.annotator)
        self._by_name[entry.composed_name] = added.id
        self.added[added.id] = added.name
        return added.id

    def altered(self, labels: Sequence[CheckedLabel], meant: Collection[str]) -> dict[str, str]:
        """Which new names seem to be changed by a spreadsheet, and why.

        Args:
            labels: of the source.
            meant: names that the user has given; they are not doubted.

        Returns:
            reason by the name as it is compared.
        """
        new = {label.composed_name: label.name for label in labels if self.vote(label) is None}
        numbers: defaultdict[Decimal, list[str]] = defaultdict(list)
        for name in new.values():
            number = number_in(name)
            if number is not None:
                numbers[number].append(name)
        reasons = {}
        for key, name in new.items():
            known = unaltered(name, self._live.values())
            number = number_in(name)
            alike = [] if number is None else numbers[number]
            if key in meant:
                continue
            if known is not None:
                reasons[key] = _changed(known)
            elif len(alike) > 1:
                reasons[key] = f"the labels {', '.join(map(repr, alike))} are the same number"
            elif is_spreadsheet_date(name):
                reasons[key] = (
                    "its label is no class of the project, and looks like a date that a spreadsheet made"
                )
        return reasons

    def altered_since_export(self, label: CheckedLabel, answers: KnownAnswers) -> str:
        """Why an exported label seems to be changed by a spreadsheet; empty if it does not."""
        before = answers.class_of_event(label.event_id) if label.event_id else None
        vote = self.vote(label)
        if before is None or label.action != "class" or (vote is not None and vote[1] == before):
            return ""
        known = self._live.get(before, "")
        return _changed(known) if unaltered(label.name, [known]) else ""


def _changed(known: str) -> str:
    return f"its label looks like the class {known!r}, changed by a spreadsheet"
