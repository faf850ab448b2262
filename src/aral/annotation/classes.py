"""The classes of a project: added, renamed, merged and described.

Only the undo of an import removes a class, one that nothing else uses; its row stays, because events refer to it.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from threading import Lock
from typing import Any, Literal

from aral.annotation.consensus import update_consensus_after_merge
from aral.annotation.database import Connection, ProjectDatabase, utc_now
from aral.annotation.names import checked_name, composed
from aral.annotation.settings import CLASS_KEYS, read_settings
from aral.errors import BadInput


@dataclass(frozen=True)
class ProjectClass:
    """A live class.

    Attributes:
        id: its number, for good.
        name: any text.
        key: the key that answers with it, as ``KeyboardEvent.key`` names it; empty when all are taken.
        guideline: when an image belongs to it, written by an annotator.
        example_ids: images that show it well.
        colour: 0, 1, 2 … in the order the classes were added; an index into the palette of a page.
    """

    id: int
    name: str
    key: str
    guideline: str
    example_ids: tuple[int, ...]
    colour: int


@dataclass(frozen=True)
class ClassChange:
    """A change of a class.

    Attributes:
        seq: its position in the order of all changes.
        class_id: the class; of a merge the one that was merged into the other.
        change: what was done.
        detail: for ``add`` and ``remove`` ``name``; for ``rename`` ``from`` and ``to``; for ``merge``
            ``name``, ``into`` and ``into_name``; for ``describe`` ``guideline`` and ``examples``.
        annotator: who did it.
        changed_at: UTC in ISO 8601.
    """

    seq: int
    class_id: int
    change: Literal["add", "rename", "merge", "describe", "remove"]
    detail: dict[str, Any]
    annotator: str
    changed_at: str


class Classes:
    """The classes of a project; each change is recorded with its author and time."""

    def __init__(self, database: ProjectDatabase) -> None:
        self._database = database
        self._lock = Lock()
        self._revision: tuple[object, str] = ((), "")

    def all(self) -> tuple[ProjectClass, ...]:
        """The live classes in the order they were added."""
        with self._database.snapshot() as connection:
            return live_classes(connection)

    def revision(self) -> str:
        """A hash of the live classes and the settings, by which a page sees that it must read them again.

        Computed once for each change of them; the comparison is one query.
        """
        with self._database.snapshot() as connection:
            state = connection.execute(
                "SELECT (SELECT max(seq) FROM class_changes), (SELECT value FROM settings WHERE name = 'page')"
            ).fetchone()
            with self._lock:
                if self._revision[0] != state:
                    known = [
                        [asdict(each) for each in live_classes(connection)],
                        asdict(read_settings(connection)),
                    ]
                    digest = sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
                    self._revision = (state, digest[:16])
                return self._revision[1]

    def changes(self) -> list[ClassChange]:
        """All changes of classes, in order."""
        rows = self._database.rows(
            "SELECT seq, class_id, change, detail, annotator, changed_at FROM class_changes ORDER BY seq"
        )
        return [
            ClassChange(seq, class_id, change, json.loads(detail), annotator, changed_at)
            for seq, class_id, change, detail, annotator, changed_at in rows
        ]

    def add(self, name: str, annotator: str) -> ProjectClass:
        """Add a class.

        Raises:
            BadInput: the name is empty or that of a live class.
        """
        name = checked_name("a class", name)
        with self._database.transaction() as connection:
            _check_name_is_free(connection, name)
            return insert_class(connection, name, annotator)

    def rename(self, class_id: int, name: str, annotator: str) -> ProjectClass:
        """Give a class another name; its answers stay with it.

        Raises:
            BadInput: there is no such live class, or the name is empty or that of another live class.
        """
        name = checked_name("a class", name)
        with self._database.transaction() as connection:
            before = _live_class(connection, class_id)
            _check_name_is_free(connection, name, class_id)
            connection.execute(
                "UPDATE classes SET name = ?, composed_name = ? WHERE id = ?",
                (name, composed(name), class_id),
            )
            _record_change(connection, class_id, "rename", {"from": before.name, "to": name}, annotator)
            return _live_class(connection, class_id)

    def merge(self, from_id: int, into_id: int, annotator: str) -> ProjectClass:
        """Merge one class into another; answers with the first count for the second from now on.

        Returns:
            the second class.

        Raises:
            BadInput: the two are the same, or one of them is no live class.
        """
        with self._database.transaction() as connection:
            before, into = _live_class(connection, from_id), _live_class(connection, into_id)
            if from_id == into_id:
                raise BadInput(f"Class '{into.name}' cannot be merged into itself.", "Choose two classes.")
            connection.execute("UPDATE classes SET merged_into = ? WHERE id = ?", (into_id, from_id))
            detail = {"name": before.name, "into": into_id, "into_name": into.name}
            _record_change(connection, from_id, "merge", detail, annotator)
            update_consensus_after_merge(connection)
            return into

    def describe(
        self, class_id: int, guideline: str, example_ids: Sequence[int], annotator: str
    ) -> ProjectClass:
        """Set the guideline and the example images of a class.

        Raises:
            BadInput: there is no such live class, no such image, or the text cannot be stored.
        """
        guideline = checked_name("a guideline", guideline) if guideline.strip() else ""
        examples = json.dumps(list(dict.fromkeys(int(image_id) for image_id in example_ids)))
        with self._database.transaction() as connection:
            _live_class(connection, class_id)
            for image_id in json.loads(examples):
                if not connection.execute("SELECT 1 FROM images WHERE id = ?", (image_id,)).fetchone():
                    raise BadInput(f"There is no image {image_id}.", "Give images of this project.")
            connection.execute(
                "UPDATE classes SET guideline = ?, example_ids = ? WHERE id = ?",
                (guideline, examples, class_id),
            )
            _record_change(
                connection, class_id, "describe", {"guideline": guideline, "examples": examples}, annotator
            )
            return _live_class(connection, class_id)


def live_classes(connection: Connection) -> tuple[ProjectClass, ...]:
    """The live classes with their keys."""
    keys = read_settings(connection).keys
    rows = connection.execute(
        "SELECT id, name, key, guideline, example_ids FROM classes "
        "WHERE merged_into IS NULL AND removed = 0 ORDER BY id"
    )
    return tuple(
        ProjectClass(
            class_id, name, keys.get(f"class:{class_id}", key), guideline, tuple(json.loads(ids)), class_id
        )
        for class_id, name, key, guideline, ids in rows
    )


def insert_class(connection: Connection, name: str, annotator: str) -> ProjectClass:
    """Add a class with a checked name and the first free key; inside a transaction."""
    (class_id,) = connection.execute("SELECT coalesce(max(id) + 1, 0) FROM classes").fetchone()
    key = _free_key(connection)
    connection.execute(
        "INSERT INTO classes (id, name, composed_name, key) VALUES (?, ?, ?, ?)",
        (class_id, name, composed(name), key),
    )
    _record_change(connection, class_id, "add", {"name": name}, annotator)
    return _live_class(connection, class_id)


def add_new_classes(connection: Connection, names: Sequence[str], annotator: str) -> None:
    """Add those classes whose name no class has or had before, so that a command can be repeated.

    The name of a class that the undo of an import removed is free again.

    Raises:
        BadInput: a name is empty, or the same name is given twice.
    """
    checked = _checked_names(names)
    used = _names_so_far(connection)
    for name in checked:
        if composed(name) not in used:
            insert_class(connection, name, annotator)


def start_classes(connection: Connection, names: Sequence[str], annotator: str) -> None:
    """Give a project without classes its classes; in any other check that it knows all of them.

    Raises:
        BadInput: the project has classes, and a name is or was that of none of them; a name is empty, or the same
            name is given twice.
    """
    checked = _checked_names(names)
    known = live_classes(connection)
    if not known:
        add_new_classes(connection, names, annotator)
        return
    so_far = _names_so_far(connection)
    unknown = [name for name in checked if composed(name) not in so_far]
    if unknown:
        options = " ".join(f"--add-class {shlex.quote(name)}" for name in unknown)
        raise BadInput(
            f"The project has no class {_quoted(unknown)}; its classes are "
            f"{_quoted([each.name for each in known])}.",
            f"Leave --classes out to continue. To add a class: {options}",
        )


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _checked_names(names: Sequence[str]) -> list[str]:
    """The names of classes, each once."""
    checked = [checked_name("a class", name) for name in names]
    repeated = [
        name for index, name in enumerate(checked) if composed(name) in map(composed, checked[:index])
    ]
    if repeated:
        raise BadInput(f"The class '{repeated[0]}' is given twice.", "Give each class once.")
    return checked


def _names_so_far(connection: Connection) -> set[str]:
    """The composed names that classes have or had, without those of classes that were removed."""
    used = {composed(name) for (name,) in connection.execute("SELECT name FROM classes WHERE removed = 0")}
    for (detail,) in connection.execute(
        """SELECT detail FROM class_changes JOIN classes ON classes.id = class_id
        WHERE change = 'rename' AND removed = 0"""
    ):
        used.add(composed(json.loads(detail)["from"]))
    return used


def remove_class(connection: Connection, class_id: int, annotator: str) -> None:
    """Remove a live class that no current answer refers to; inside a transaction."""
    removed = _live_class(connection, class_id)
    connection.execute("UPDATE classes SET removed = 1 WHERE id = ?", (class_id,))
    connection.execute(
        """UPDATE leases SET suggested_class = NULL, suggested_probability = NULL, suggested_by = NULL
        WHERE suggested_class = ?""",
        (class_id,),
    )
    _record_change(connection, class_id, "remove", {"name": removed.name}, annotator)


def _free_key(connection: Connection) -> str:
    """The first key that is neither the key of an action nor the own or overriding key of a class."""
    own = connection.execute("SELECT key FROM classes WHERE merged_into IS NULL AND removed = 0").fetchall()
    keys = [*read_settings(connection).keys.values(), *(key for (key,) in own)]
    taken = {key.casefold() for key in keys}
    return next((key for key in CLASS_KEYS if key not in taken), "")


def _live_class(connection: Connection, class_id: int) -> ProjectClass:
    found = next((known for known in live_classes(connection) if known.id == class_id), None)
    if found is None:
        raise BadInput(f"There is no class {class_id}.", "It may have been merged: load the classes again.")
    return found


def _check_name_is_free(connection: Connection, name: str, but: int | None = None) -> None:
    taken = connection.execute(
        "SELECT id FROM classes WHERE composed_name = ? AND merged_into IS NULL AND removed = 0 AND id <> ?",
        (composed(name), -1 if but is None else but),
    ).fetchone()
    if taken:
        raise BadInput(f"There is a class '{name}' already.", "Choose another name, or merge the classes.")


def _record_change(
    connection: Connection, class_id: int, change: str, detail: dict[str, object], annotator: str
) -> None:
    connection.execute(
        "INSERT INTO class_changes (class_id, change, detail, annotator, changed_at) VALUES (?, ?, ?, ?, ?)",
        (class_id, change, json.dumps(detail), checked_name("an annotator", annotator), utc_now()),
    )
