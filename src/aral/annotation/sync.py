"""Sync: bring the list of images up to date with the folder of photos, and read every new file once.

First the folder is compared with the list (:func:`update_image_list`): new files become pending images, others are
marked. Then the pending files are read by several threads and committed batch by batch: pixels and thumbnails
first, then the rows that refer to them. After a kill at any moment the next sync continues with the first image
whose batch was not committed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
import warnings
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from aral.annotation.consensus import update_consensus
from aral.annotation.database import Connection, ProjectDatabase, read_setting, write_setting
from aral.annotation.estimate import image_stream
from aral.annotation.pictures import (
    SAMPLE,
    Photo,
    PixelFile,
    PixelWriter,
    choose_pixels,
    read_photo,
    write_thumbnail,
)
from aral.annotation.settings import adapt_estimate_set, read_settings
from aral.data.decode import Channels
from aral.data.image_file import read_image_bytes
from aral.data.pixel_values import Note
from aral.data.scan import Found, scan
from aral.data.unreadable import Reason, Refused
from aral.errors import BadInput, RunFailed
from aral.lock import FolderLock
from aral.randomness import Stream

MOST_THREADS = 4
AHEAD = 48
"""Images read and not yet committed; together they take some megabytes."""

BATCH_IMAGES = 128
BATCH_SECONDS = 0.3

STEPS_AT_ONCE = 500
"""Changes of the list in one transaction: a few milliseconds, so that annotators can answer meanwhile."""

_RETRIED = (Reason.NO_PERMISSION, Reason.MISSING, Reason.TOO_LARGE, Reason.UNSUPPORTED)
"""Reasons that may no longer hold though the file looks the same."""

READER_VERSION = 2
"""Raised when more files can be read than before; then all unreadable ones are read again."""

_Read: TypeAlias = tuple[int, Photo | Refused]
"""An image id with the result of reading its file."""

_Step: TypeAlias = Callable[[Connection], object]
"""A change of the list of images, made inside a transaction."""


@dataclass(frozen=True)
class SyncProgress:
    """Progress of a sync.

    Attributes:
        done: files processed, those of earlier syncs included.
        total: files found.
        readable: images that can be used, copies included.
        duplicates: exact copies among them.
        unreadable: files and folders left out, each listed with its reason.
    """

    done: int
    total: int
    readable: int
    duplicates: int
    unreadable: int


@dataclass(frozen=True)
class SyncResult(SyncProgress):
    """Result of a sync.

    Attributes:
        added: images that were read for the first time.
        missing: images whose file has gone.
        changed: images whose file has other content now.
        seconds: how long it took.
        first_frames: names of the animations, of which the first frame counts.
        scaled: images read by this sync that have more than eight bits a channel, which were scaled to eight.
        profiles_ignored: images read by this sync whose colour profile cannot be used.
        complete: False when it was stopped before the end.
    """

    added: int
    missing: int
    changed: int
    seconds: float
    first_frames: tuple[str, ...]
    scaled: int
    profiles_ignored: int
    complete: bool


@dataclass(frozen=True)
class SyncRequest:
    """The arguments of :meth:`aral.annotation.images.Images.sync`, with ``max_pixels`` resolved."""

    observer: Callable[[SyncProgress], None]
    stopping: Callable[[], bool]
    follow_links: bool
    max_pixels: int
    side: int | None
    channels: Channels | None


def run_sync(database: ProjectDatabase, folder: Path, photos: Path, request: SyncRequest) -> SyncResult:
    """As :meth:`aral.annotation.images.Images.sync`.

    Args:
        database: the project's.
        folder: of the project.
        photos: the user's images.
        request: the arguments.
    """
    started = time.monotonic()
    if not photos.is_dir():
        raise BadInput(f"There is no folder {photos}.", "Is the drive with the photos connected?")
    lock = FolderLock(folder, "import.lock", "The sync of")
    try:
        update_image_list(database, photos, scan(photos, request.follow_links))
        _resize_estimate_set(database)
        pending = database.rows(
            """SELECT id, name FROM images WHERE status = 'pending'
            ORDER BY estimate DESC, CASE estimate WHEN 1 THEN shuffle ELSE id END"""
        )
        files = [(image_id, os.fsdecode(name)) for image_id, name in pending]
        before = _progress(database)
        notes: Counter[Note] = Counter()
        complete = _read_files(database, folder, photos, files, request, notes) if files else True
        _resize_estimate_set(database)
    finally:
        lock.release()
    progress = _progress(database)
    request.observer(progress)
    return SyncResult(
        **asdict(progress),
        added=progress.readable - before.readable,
        missing=_count(database, "status = 'missing'"),
        changed=_count(database, "status = 'changed'"),
        seconds=time.monotonic() - started,
        first_frames=_first_frames(database),
        scaled=notes[Note.SCALED],
        profiles_ignored=notes[Note.PROFILE_IGNORED],
        complete=complete,
    )


def pixel_file(database: ProjectDatabase, folder: Path) -> PixelFile | None:
    """The pixel file of a project; None before its first sync."""
    with database.snapshot() as connection:
        stored = read_setting(connection, "pixels", None)
    if stored is None:
        return None
    side, channels = stored
    return _pixel_file(folder, side, channels)


def _pixel_file(folder: Path, side: int, channels: Channels) -> PixelFile:
    return PixelFile(folder / f"pixels-{side}x{channels}.u8", side, channels)


def _resize_estimate_set(database: ProjectDatabase) -> None:
    with database.transaction() as connection:
        adapt_estimate_set(connection, read_settings(connection))


def _progress(database: ProjectDatabase) -> SyncProgress:
    total, pending, readable, duplicates, unreadable = database.row(
        """SELECT count(*), count(*) FILTER (WHERE status = 'pending'), count(*) FILTER (WHERE status = 'ready'),
            count(*) FILTER (WHERE status = 'ready' AND duplicate_of IS NOT NULL),
            count(*) FILTER (WHERE status = 'unreadable')
        FROM images WHERE status IN ('pending', 'ready', 'unreadable')"""
    )
    left_out = database.row("SELECT count(*) FROM left_out")[0]
    return SyncProgress(total - pending, total, readable, duplicates, unreadable + left_out)


def _count(database: ProjectDatabase, condition: str) -> int:
    return int(database.row(f"SELECT count(*) FROM images WHERE {condition}")[0])


def _first_frames(database: ProjectDatabase) -> tuple[str, ...]:
    rows = database.rows("SELECT name FROM images WHERE animated = 1 AND status = 'ready' ORDER BY name")
    return tuple(os.fsdecode(name) for (name,) in rows)


# Comparing the folder with the list of images


@dataclass(frozen=True)
class _Known:
    """What the list holds of a file."""

    id: int
    status: str
    size: int
    time: int
    sha256: str
    reason: str | None


@dataclass
class _Comparison:
    """The steps that bring the list of images up to date with the folder.

    Attributes:
        photos: the folder.
        stream: the random numbers of images.
        next_id: of the next new image.
        present: by name the listed files that were in the folder at the last sync; those found again are removed.
        gone: by name the listed images whose file is missing or changed.
        retried: reasons of unreadable files that are read again though they look the same.
        steps: the changes.
    """

    photos: Path
    stream: Stream
    next_id: int
    retried: Collection[str]
    present: dict[str, _Known] = field(default_factory=dict)
    gone: dict[str, list[_Known]] = field(default_factory=lambda: defaultdict(list))
    steps: list[_Step] = field(default_factory=list)

    def compare(self, name: str) -> None:
        """Compare a file of the folder with the list. Its content is read only if size or time differ."""
        try:
            status = (self.photos / name).stat()
        except OSError:
            return  # it has gone since; the next sync will mark it
        size, time = status.st_size, status.st_mtime_ns
        known = self.present.pop(name, None)
        if known is None:
            self.add_or_restore(name, size, time, self.known_content(name, size, time))
        elif known.status == "unreadable":
            if (known.size, known.time) != (size, time) or known.reason in self.retried:
                self.steps.append(_set_status(known.id, "pending", size, time))
        elif known.status == "ready" and (known.size, known.time) != (size, time):
            content = _content(self.photos / name)
            if content == known.sha256:
                self.steps.append(_set_status(known.id, "ready", size, time))
            else:
                self.steps.append(_set_status(known.id, "changed"))
                self.add_or_restore(name, size, time, content)

    def known_content(self, name: str, size: int, time: int) -> str:
        """The SHA-256 of a file that is back; empty for a new name, whose file is hashed when it is read."""
        known = self.gone.get(name, ())
        same = next((one for one in known if (one.size, one.time) == (size, time)), None)
        if same is not None and same.status == "missing":
            return same.sha256
        return _content(self.photos / name) if known else ""

    def add_or_restore(self, name: str, size: int, time: int, content: str) -> None:
        """A file that was not there: restore the image of the same name and content, or add a new one."""
        back = next((known for known in self.gone.get(name, ()) if known.sha256 == content), None)
        if back is not None:
            self.steps.append(_set_status(back.id, "ready", size, time))
            return
        shuffle = float(self.stream.uniform(np.array([self.next_id], dtype=np.int64))[0])
        self.steps.append(_add(self.next_id, name, size, time, shuffle))
        self.next_id += 1

    def mark_missing(self) -> None:
        """Images whose file was not found are missing; those that were never read are deleted."""
        for known in self.present.values():
            if known.status == "ready":
                self.steps.append(_set_status(known.id, "missing"))
            else:
                self.steps.append(_delete(known.id))


def update_image_list(database: ProjectDatabase, photos: Path, found: Found) -> None:
    """Bring the list of images up to date with the files found; may be repeated after a kill at any moment.

    A changed file becomes a new image; the old one keeps its answers. When the first of several exact copies has
    gone, the next one replaces it.
    """
    with database.snapshot() as connection:
        stream = image_stream(connection)
        same_reader = read_setting(connection, "reader", 1) == READER_VERSION
    rows = database.rows("SELECT id, name, status, file_size, file_time, sha256, reason FROM images")
    next_id = max((row[0] for row in rows), default=-1) + 1
    comparison = _Comparison(photos, stream, next_id, _RETRIED if same_reader else tuple(Reason))
    for image_id, name, status, size, time_, sha256, reason in rows:
        known = _Known(image_id, status, size, time_, sha256, reason)
        if status in ("missing", "changed"):
            comparison.gone[os.fsdecode(name)].append(known)
        else:
            comparison.present[os.fsdecode(name)] = known
    for name in found.files:
        comparison.compare(name)
    comparison.mark_missing()
    for start in range(0, len(comparison.steps), STEPS_AT_ONCE):
        with database.transaction() as connection:
            for step in comparison.steps[start : start + STEPS_AT_ONCE]:
                step(connection)
    with database.transaction() as connection:
        connection.execute("DELETE FROM left_out")
        connection.executemany(
            "INSERT INTO left_out VALUES (?, ?, ?)",
            list(
                {
                    bad.path: (os.fsencode(bad.path), bad.reason.value, bad.detail) for bad in found.left_out
                }.values()
            ),
        )
        _replace_missing_by_copies(connection)
        write_setting(connection, "reader", READER_VERSION)


def _content(path: Path) -> str:
    try:
        return hashlib.sha256(read_image_bytes(path)).hexdigest()
    except Refused:
        return "unreadable"


def _add(image_id: int, name: str, size: int, time: int, shuffle: float) -> _Step:
    return lambda connection: connection.execute(
        "INSERT INTO images (id, name, status, file_size, file_time, shuffle) "
        "VALUES (?, ?, 'pending', ?, ?, ?)",
        (image_id, os.fsencode(name), size, time, shuffle),
    )


def _set_status(image_id: int, status: str, size: int | None = None, time: int | None = None) -> _Step:
    def step(connection: Connection) -> None:
        connection.execute(
            """UPDATE images SET status = ?2, reason = NULL, detail = NULL,
                file_size = coalesce(?3, file_size), file_time = coalesce(?4, file_time) WHERE id = ?1""",
            (image_id, status, size, time),
        )
        update_consensus(connection, [image_id])

    return step


def _delete(image_id: int) -> _Step:
    return lambda connection: connection.execute("DELETE FROM images WHERE id = ?", (image_id,))


def _replace_missing_by_copies(connection: Connection) -> None:
    """Swap the names of a first copy that has gone and its next copy that is there: the answers stay usable."""
    pairs = connection.execute(
        """SELECT f.id, min(c.id) FROM images c JOIN images f ON f.id = c.duplicate_of
        WHERE c.duplicate_of IS NOT NULL AND c.status = 'ready' AND f.status IN ('missing', 'changed')
        GROUP BY f.id"""
    ).fetchall()
    for first, copy in pairs:
        files = [
            connection.execute(
                "SELECT name, file_size, file_time, status FROM images WHERE id = ?", (image_id,)
            ).fetchone()
            for image_id in (first, copy)
        ]
        # In this order no two present images have the same name at any moment.
        connection.execute("UPDATE images SET status = ? WHERE id = ?", (files[0][3], copy))
        for image_id, file in ((first, files[1]), (copy, files[0])):
            connection.execute(
                "UPDATE images SET name = ?, file_size = ?, file_time = ?, status = ? WHERE id = ?",
                (*file, image_id),
            )
        update_consensus(connection, [first, copy])


# Reading the pending files


def _read_files(
    database: ProjectDatabase,
    folder: Path,
    photos: Path,
    files: Sequence[tuple[int, str]],
    request: SyncRequest,
    notes: Counter[Note],
) -> bool:
    """Read the pending files and commit them batch by batch; False when stopped before the end.

    The notes of the images that were read are counted.
    """
    pixels = _choose_pixel_file(database, folder, photos, files, request)
    (rows,) = database.row("SELECT max(id) + 1 FROM images")
    writer = PixelWriter(pixels, rows)

    def read(path: Path) -> Photo | Refused:
        try:
            return read_photo(path, pixels, request.max_pixels)
        except Refused as refused:
            return refused

    batch: list[_Read] = []
    progress = _progress(database)
    committed = time.monotonic()
    try:
        for image_id, photo in _read_ahead(read, photos, files, request.stopping):
            batch.append((image_id, photo))
            if isinstance(photo, Photo):
                notes.update(photo.notes)
            if len(batch) >= BATCH_IMAGES or time.monotonic() - committed > BATCH_SECONDS:
                progress = _commit(database, folder, writer, batch, progress)
                request.observer(progress)
                batch, committed = [], time.monotonic()
        _commit(database, folder, writer, batch, progress)
    finally:
        writer.close()
    return _count(database, "status = 'pending'") == 0


def _read_ahead(
    read: Callable[[Path], Photo | Refused],
    photos: Path,
    files: Sequence[tuple[int, str]],
    stopping: Callable[[], bool],
) -> Iterator[_Read]:
    """The files in their order, read by several threads, up to :data:`AHEAD` of them in advance."""
    waiting: deque[tuple[int, Future[Photo | Refused]]] = deque()
    # Pillow's warnings (odd metadata, size) are handled by open_image; Python's filters belong to all threads.
    with warnings.catch_warnings(), ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as threads:
        warnings.simplefilter("ignore")
        try:
            for image_id, name in files:
                if stopping():
                    break
                waiting.append((image_id, threads.submit(read, photos / name)))
                if len(waiting) >= AHEAD:
                    first, photo = waiting.popleft()
                    yield first, photo.result()
            while waiting:
                first, photo = waiting.popleft()
                yield first, photo.result()
        finally:
            for _, photo in waiting:
                photo.cancel()


def _choose_pixel_file(
    database: ProjectDatabase,
    folder: Path,
    photos: Path,
    files: Sequence[tuple[int, str]],
    request: SyncRequest,
) -> PixelFile:
    """The pixel file of the project; its shape is chosen at the first sync and stays."""
    known = pixel_file(database, folder)
    if known is not None:
        if request.side not in (None, known.side) or request.channels not in (None, known.channels):
            raise BadInput(
                f"The training images of this project are stored at {known.channels}×{known.side}×{known.side}.",
                "Start a new project for another size.",
            )
        return known
    names = [name for _, name in files[:: len(files) // SAMPLE + 1]]
    side, channels = choose_pixels(photos, names, len(files), request.side, request.channels)
    with database.transaction() as connection:
        write_setting(connection, "pixels", [side, channels])
    return _pixel_file(folder, side, channels)


def _commit(
    database: ProjectDatabase,
    folder: Path,
    writer: PixelWriter,
    batch: Sequence[_Read],
    progress: SyncProgress,
) -> SyncProgress:
    """Write a batch of files that were read: pixels and thumbnails first, then the rows.

    Args:
        database: the project's.
        folder: the project's folder.
        writer: of the pixel file.
        batch: images that are pending.
        progress: before this batch.

    Returns:
        the progress after this batch.

    Raises:
        RunFailed: the disk is full or not writable; the images of the batch stay pending.
    """
    try:
        for image_id, photo in batch:
            if isinstance(photo, Photo):
                writer.write(image_id, photo.square)
                write_thumbnail(folder, image_id, photo.thumbnail)
        writer.flush()
    except OSError as error:
        free = shutil.disk_usage(folder).free
        raise RunFailed(
            f"The sync of {folder} stopped: {error.strerror} ({free} bytes free).",
            "Free some space and run the same command again: it continues where it stopped.",
        ) from error
    with database.transaction() as connection:
        for image_id, photo in batch:
            if isinstance(photo, Photo):
                progress = _record_photo(connection, image_id, photo, progress)
            else:
                progress = _record_refused(connection, image_id, photo, progress)
    return progress


def _record_refused(
    connection: Connection, image_id: int, refused: Refused, progress: SyncProgress
) -> SyncProgress:
    if refused.reason is Reason.MISSING:
        connection.execute("DELETE FROM images WHERE id = ?", (image_id,))
        return replace(progress, total=progress.total - 1)
    connection.execute(
        "UPDATE images SET status = 'unreadable', estimate = 0, reason = ?, detail = ? WHERE id = ?",
        (refused.reason.value, refused.detail, image_id),
    )
    return replace(progress, done=progress.done + 1, unreadable=progress.unreadable + 1)


def _record_photo(
    connection: Connection, image_id: int, photo: Photo, progress: SyncProgress
) -> SyncProgress:
    """Record a file that was read: a new image, an exact copy, or a known image under another name."""
    progress = replace(progress, done=progress.done + 1, readable=progress.readable + 1)
    twin = connection.execute(
        """SELECT id, status FROM images WHERE sha256 = ? AND sha256 <> '' AND duplicate_of IS NULL AND id <> ?
            AND status IN ('ready', 'missing', 'changed') ORDER BY status <> 'ready', id LIMIT 1""",
        (photo.sha256, image_id),
    ).fetchone()
    if twin is not None and twin[1] != "ready":
        file = connection.execute(
            "SELECT name, file_size, file_time FROM images WHERE id = ?", (image_id,)
        ).fetchone()
        connection.execute("DELETE FROM images WHERE id = ?", (image_id,))
        connection.execute(
            "UPDATE images SET status = 'ready', name = ?, file_size = ?, file_time = ? WHERE id = ?",
            (*file, twin[0]),
        )
        update_consensus(connection, [twin[0]])
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
            photo.difference_hash,
            first,
            first is None,
            first is None,
            image_id,
        ),
    )
    return progress if first is None else replace(progress, duplicates=progress.duplicates + 1)
