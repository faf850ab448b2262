"""Import: every file of the folder once, in two threads or more, a batch at a time onto the disk.

Killed at any moment, the next import goes on with the first image whose batch was not committed. Pixels and
thumbnails of a batch are written before the rows that say so.
"""

from __future__ import annotations

import os
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from aral.annotation.database import ProjectDatabase, read_setting, write_setting
from aral.annotation.estimate import fit_slice
from aral.annotation.intake import Read, commit
from aral.annotation.photo import SAMPLE, Photo, choose_pixels, read_photo
from aral.annotation.pixels import PixelFile, PixelWriter
from aral.annotation.records import ImportProgress, ImportResult
from aral.annotation.settings import read_settings
from aral.annotation.stocktaking import take_stock
from aral.data.decode import Channels
from aral.data.scan import scan
from aral.data.unreadable import Refused
from aral.errors import BadInput
from aral.loop.lock import FolderLock

MOST_THREADS = 4
AHEAD = 48
"""Images read and not yet committed; together they take some megabytes."""

BATCH_IMAGES = 128
BATCH_SECONDS = 0.3


@dataclass(frozen=True)
class ImportRequest:
    """What an import is to do.

    Attributes:
        observer: told after every batch.
        stopping: asked before every image.
        follow_links: take symbolic links that lead out of the folder.
        max_pixels: larger images are refused by their header.
        side: height and width of the squares for training; None to choose by a sample.
        channels: 3 for colour, 1 for grey; None to choose by a sample.
    """

    observer: Callable[[ImportProgress], None]
    stopping: Callable[[], bool]
    follow_links: bool
    max_pixels: int
    side: int | None
    channels: Channels | None


def run_import(database: ProjectDatabase, folder: Path, photos: Path, request: ImportRequest) -> ImportResult:
    """As :meth:`aral.annotation.Project.import_images`."""
    started = time.monotonic()
    if not photos.is_dir():
        raise BadInput(f"There is no folder {photos}.", "Is the drive with the photos connected?")
    lock = FolderLock(folder, "import.lock", "The import into")
    try:
        take_stock(database, photos, scan(photos, request.follow_links))
        _fit_slice(database)
        pending = database.rows(
            """SELECT id, name FROM images WHERE status = 'pending'
            ORDER BY estimate DESC, CASE estimate WHEN 1 THEN shuffle ELSE id END"""
        )
        files = [(image_id, os.fsdecode(name)) for image_id, name in pending]
        before = _progress(database)
        complete = _read_files(database, folder, photos, files, request) if files else True
        _fit_slice(database)
    finally:
        lock.release()
    progress = _progress(database)
    request.observer(progress)
    return ImportResult(
        **asdict(progress),
        added=progress.readable - before.readable,
        missing=_count(database, "status = 'missing'"),
        changed=_count(database, "status = 'changed'"),
        seconds=time.monotonic() - started,
        first_frames=_first_frames(database),
        complete=complete,
    )


def _read_files(
    database: ProjectDatabase,
    folder: Path,
    photos: Path,
    files: Sequence[tuple[int, str]],
    request: ImportRequest,
) -> bool:
    """Read the pending files and commit them batch by batch; False when it was asked to stop."""
    pixels = _pixel_file(database, folder, photos, files, request)
    (rows,) = database.row("SELECT max(id) + 1 FROM images")
    writer = PixelWriter(pixels, rows)

    def read(path: Path) -> Photo | Refused:
        try:
            return read_photo(path, pixels, request.max_pixels)
        except Refused as refused:
            return refused

    batch: list[Read] = []
    progress = _progress(database)
    committed = time.monotonic()
    try:
        for image_id, photo in _ahead(read, photos, files, request.stopping):
            batch.append((image_id, photo))
            if len(batch) >= BATCH_IMAGES or time.monotonic() - committed > BATCH_SECONDS:
                progress = commit(database, folder, writer, batch, progress)
                request.observer(progress)
                batch, committed = [], time.monotonic()
        commit(database, folder, writer, batch, progress)
    finally:
        writer.close()
    return _count(database, "status = 'pending'") == 0


def _ahead(
    read: Callable[[Path], Photo | Refused],
    photos: Path,
    files: Sequence[tuple[int, str]],
    stopping: Callable[[], bool],
) -> Iterator[Read]:
    """The files read by several threads, in their order, a few of them ahead of what was asked for."""
    waiting: deque[tuple[int, Future[Photo | Refused]]] = deque()
    # Pillow's warnings (odd metadata, size) are decided on here; Python's filters belong to all threads.
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


def _pixel_file(
    database: ProjectDatabase,
    folder: Path,
    photos: Path,
    files: Sequence[tuple[int, str]],
    request: ImportRequest,
) -> PixelFile:
    """The pixel file of the project; its shape is chosen at the first import and stays."""
    known = pixel_file(database, folder)
    if known is not None:
        if request.side not in (None, known.side) or request.channels not in (None, known.channels):
            raise BadInput(
                f"The images of this project are kept at {known.channels}×{known.side}×{known.side}.",
                "Start a new project for another size.",
            )
        return known
    names = [name for _, name in files[:: len(files) // SAMPLE + 1]]
    side, channels = choose_pixels(photos, names, len(files), request.side, request.channels)
    with database.transaction() as connection:
        write_setting(connection, "pixels", [side, channels])
    return PixelFile(folder / f"pixels-{side}x{channels}.u8", side, channels)


def pixel_file(database: ProjectDatabase, folder: Path) -> PixelFile | None:
    """The pixel file of a project; None before its first import."""
    with database.moment() as connection:
        kept = read_setting(connection, "pixels", None)
    if kept is None:
        return None
    side, channels = kept
    return PixelFile(folder / f"pixels-{side}x{channels}.u8", side, channels)


def _fit_slice(database: ProjectDatabase) -> None:
    with database.transaction() as connection:
        settings = read_settings(connection)
        fit_slice(connection, settings.budget, settings.estimate_share)


def _progress(database: ProjectDatabase) -> ImportProgress:
    total, pending, readable, duplicates, unreadable = database.row(
        """SELECT count(*), sum(status = 'pending'), sum(status = 'ready'),
            sum(status = 'ready' AND duplicate_of IS NOT NULL), sum(status = 'unreadable')
        FROM images WHERE status IN ('pending', 'ready', 'unreadable')"""
    )
    left_out = database.row("SELECT count(*) FROM left_out")[0]
    done = total - (pending or 0)
    return ImportProgress(done, total, readable or 0, duplicates or 0, (unreadable or 0) + left_out)


def _count(database: ProjectDatabase, condition: str) -> int:
    return int(database.row(f"SELECT count(*) FROM images WHERE {condition}")[0])


def _first_frames(database: ProjectDatabase) -> tuple[str, ...]:
    rows = database.rows("SELECT name FROM images WHERE animated = 1 AND status = 'ready' ORDER BY name")
    return tuple(os.fsdecode(name) for (name,) in rows)
