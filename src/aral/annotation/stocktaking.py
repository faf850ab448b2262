"""Compare what lies in the folder of photos with what the project knows of it."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np

from aral.annotation.database import ProjectDatabase
from aral.annotation.standing import refresh
from aral.data.image_file import read_image_bytes
from aral.data.scan import Found
from aral.data.unreadable import Reason, Refused
from aral.randomness import Stream

STEPS_AT_ONCE = 500
"""Changes in one transaction: a few milliseconds, so that people can answer meanwhile."""

_RETRIED = (Reason.NO_PERMISSION, Reason.MISSING, Reason.TOO_LARGE)
"""Reasons that may have gone though the file looks the same."""

_SHUFFLE = Stream.root(0).child("shuffle")

Step: TypeAlias = Callable[[sqlite3.Connection], object]


@dataclass(frozen=True)
class _Known:
    id: int
    status: str
    size: int
    time: int
    sha256: str
    reason: str | None


@dataclass
class _Stock:
    """What has to be changed for the project to know the folder as it is."""

    photos: Path
    next_id: int
    present: dict[str, _Known] = field(default_factory=dict)
    gone: dict[str, list[_Known]] = field(default_factory=lambda: defaultdict(list))
    steps: list[Step] = field(default_factory=list)

    def look_at(self, name: str) -> None:
        """Note the change that a file found asks for, if any."""
        try:
            status = (self.photos / name).stat()
        except OSError:
            return  # it went since; the next import will say so
        size, time = status.st_size, status.st_mtime_ns
        known = self.present.pop(name, None)
        if known is None:
            self.take_up(name, size, time, self.content_if_known(name, size, time))
        elif known.status == "unreadable":
            if (known.size, known.time) != (size, time) or known.reason in _RETRIED:
                self.steps.append(_setting(known.id, "pending", size, time))
        elif known.status == "ready" and (known.size, known.time) != (size, time):
            content = _content(self.photos / name)
            if content == known.sha256:
                self.steps.append(_setting(known.id, "ready", size, time))
            else:
                self.steps.append(_setting(known.id, "changed"))
                self.take_up(name, size, time, content)

    def content_if_known(self, name: str, size: int, time: int) -> str:
        """The hash of a file that has come back; empty for one whose name is new, which is hashed later."""
        known = self.gone.get(name, ())
        missed = next((one for one in known if (one.size, one.time) == (size, time)), None)
        if missed is not None and missed.status == "missing":
            return missed.sha256
        return _content(self.photos / name) if known else ""

    def take_up(self, name: str, size: int, time: int, content: str) -> None:
        """A file of this name was not there: it has come back as it was once, or it is new."""
        back = next((known for known in self.gone.get(name, ()) if known.sha256 == content), None)
        if back is not None:
            self.steps.append(_setting(back.id, "ready", size, time))
            return
        shuffle = float(_SHUFFLE.uniform(np.array([self.next_id], dtype=np.int64))[0])
        row = (self.next_id, os.fsencode(name), size, time, shuffle)
        self.steps.append(
            lambda connection: connection.execute(
                "INSERT INTO images (id, name, status, file_size, file_time, shuffle) "
                "VALUES (?, ?, 'pending', ?, ?, ?)",
                row,
            )
        )
        self.next_id += 1

    def miss_the_rest(self) -> None:
        """What is known and was not found is missing; what was never read is forgotten."""
        for known in self.present.values():
            if known.status == "ready":
                self.steps.append(_setting(known.id, "missing"))
            else:
                self.steps.append(_forgetting(known.id))


def take_stock(database: ProjectDatabase, photos: Path, found: Found) -> None:
    """Bring the list of images to what was found; may be repeated after a kill at any moment.

    A file that changed becomes a new image; the old one keeps its answers. A copy takes the place of a first
    one that has gone. The content of a file is looked at only when its size or time is another.
    """
    stock = _Stock(photos, int(database.row("SELECT coalesce(max(id) + 1, 0) FROM images")[0]))
    rows = database.rows("SELECT id, name, status, file_size, file_time, sha256, reason FROM images")
    for image_id, name, status, size, time, sha256, reason in rows:
        known = _Known(image_id, status, size, time, sha256, reason)
        if status in ("missing", "changed"):
            stock.gone[os.fsdecode(name)].append(known)
        else:
            stock.present[os.fsdecode(name)] = known
    for name in found.files:
        stock.look_at(name)
    stock.miss_the_rest()
    for start in range(0, len(stock.steps), STEPS_AT_ONCE):
        with database.transaction() as connection:
            for step in stock.steps[start : start + STEPS_AT_ONCE]:
                step(connection)
    with database.transaction() as connection:
        connection.execute("DELETE FROM left_out")
        connection.executemany(
            "INSERT OR REPLACE INTO left_out VALUES (?, ?, ?)",
            [(os.fsencode(bad.path), bad.reason.value, bad.detail) for bad in found.left_out],
        )
        _let_copies_step_in(connection)


def _content(path: Path) -> str:
    try:
        return hashlib.sha256(read_image_bytes(path)).hexdigest()
    except Refused:
        return "unreadable"


def _setting(image_id: int, status: str, size: int | None = None, time: int | None = None) -> Step:
    def step(connection: sqlite3.Connection) -> None:
        connection.execute(
            """UPDATE images SET status = ?2, reason = NULL, detail = NULL,
                file_size = coalesce(?3, file_size), file_time = coalesce(?4, file_time) WHERE id = ?1""",
            (image_id, status, size, time),
        )
        refresh(connection, [image_id])

    return step


def _forgetting(image_id: int) -> Step:
    return lambda connection: connection.execute("DELETE FROM images WHERE id = ?", (image_id,))


def _let_copies_step_in(connection: sqlite3.Connection) -> None:
    """A first one that has gone, and its first copy that is there, change names: the answers stay usable."""
    pairs = connection.execute(
        """SELECT f.id, min(c.id) FROM images c JOIN images f ON f.id = c.duplicate_of
        WHERE c.duplicate_of IS NOT NULL AND c.status = 'ready' AND f.status IN ('missing', 'changed')
        GROUP BY f.id"""
    ).fetchall()
    for first, copy in pairs:
        places = [
            connection.execute(
                "SELECT name, file_size, file_time, status FROM images WHERE id = ?", (image_id,)
            ).fetchone()
            for image_id in (first, copy)
        ]
        # In this order no two images that are there have the same name at any moment.
        connection.execute("UPDATE images SET status = ? WHERE id = ?", (places[0][3], copy))
        for image_id, place in ((first, places[1]), (copy, places[0])):
            connection.execute(
                "UPDATE images SET name = ?, file_size = ?, file_time = ?, status = ? WHERE id = ?",
                (*place, image_id),
            )
        refresh(connection, [first, copy])
