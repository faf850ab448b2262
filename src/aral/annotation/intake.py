"""A batch of files that were read, onto the disk."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from aral.annotation.database import ProjectDatabase
from aral.annotation.photo import Photo
from aral.annotation.pixels import PixelWriter
from aral.annotation.records import ImportProgress
from aral.annotation.standing import refresh
from aral.annotation.thumbnails import write_thumbnail
from aral.data.unreadable import Reason, Refused
from aral.errors import RunFailed

Read: TypeAlias = tuple[int, Photo | Refused]
"""An image id, and what its file gave."""


def commit(
    database: ProjectDatabase,
    folder: Path,
    writer: PixelWriter,
    batch: Sequence[Read],
    progress: ImportProgress,
) -> ImportProgress:
    """Put a batch onto the disk: first what was made of the files, then the rows.

    Args:
        database: the project's.
        folder: the project's folder.
        writer: of the pixel file.
        batch: images that are pending.
        progress: before this batch.

    Returns:
        the progress with this batch.

    Raises:
        RunFailed: the disk is full or refuses; the images of the batch are still to be read.
    """
    try:
        for image_id, photo in batch:
            if isinstance(photo, Photo):
                writer.write(image_id, photo.square)
                write_thumbnail(folder, image_id, photo.thumbnail)
        writer.settle()
    except OSError as error:
        free = shutil.disk_usage(folder).free
        raise RunFailed(
            f"The import into {folder} stopped: {error.strerror} ({free} bytes free).",
            "Free some space and give the same command again: it goes on where it stopped.",
        ) from error
    with database.transaction() as connection:
        for image_id, photo in batch:
            if isinstance(photo, Photo):
                progress = _enter(connection, image_id, photo, progress)
            else:
                progress = _leave_out(connection, image_id, photo, progress)
    return progress


def _leave_out(
    connection: sqlite3.Connection, image_id: int, refused: Refused, progress: ImportProgress
) -> ImportProgress:
    if refused.reason is Reason.MISSING:
        connection.execute("DELETE FROM images WHERE id = ?", (image_id,))
        return replace(progress, total=progress.total - 1)
    connection.execute(
        "UPDATE images SET status = 'unreadable', estimate = 0, reason = ?, detail = ? WHERE id = ?",
        (refused.reason.value, refused.detail, image_id),
    )
    return replace(progress, done=progress.done + 1, unreadable=progress.unreadable + 1)


def _enter(
    connection: sqlite3.Connection, image_id: int, photo: Photo, progress: ImportProgress
) -> ImportProgress:
    """An image that was read: a new one, an exact copy, or one known before under another name."""
    progress = replace(progress, done=progress.done + 1, readable=progress.readable + 1)
    twin = connection.execute(
        """SELECT id, status FROM images WHERE sha256 = ? AND sha256 <> '' AND duplicate_of IS NULL AND id <> ?
            AND status IN ('ready', 'missing', 'changed') ORDER BY status <> 'ready', id LIMIT 1""",
        (photo.sha256, image_id),
    ).fetchone()
    if twin is not None and twin[1] != "ready":
        place = connection.execute(
            "SELECT name, file_size, file_time FROM images WHERE id = ?", (image_id,)
        ).fetchone()
        connection.execute("DELETE FROM images WHERE id = ?", (image_id,))
        connection.execute(
            "UPDATE images SET status = 'ready', name = ?, file_size = ?, file_time = ? WHERE id = ?",
            (*place, twin[0]),
        )
        refresh(connection, [twin[0]])
        return progress
    first = None if twin is None else twin[0]
    connection.execute(
        """UPDATE images SET status = 'ready', width = ?, height = ?, format = ?, animated = ?, sha256 = ?,
            likeness = ?, duplicate_of = ?, estimate = estimate * ?, open = ? WHERE id = ?""",
        (
            photo.width,
            photo.height,
            photo.format,
            photo.animated,
            photo.sha256,
            photo.likeness,
            first,
            first is None,
            first is None,
            image_id,
        ),
    )
    return progress if first is None else replace(progress, duplicates=progress.duplicates + 1)
