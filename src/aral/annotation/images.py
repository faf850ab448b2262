"""The images of a project: what is known of the files, their pixels and thumbnails."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Literal

import numpy as np
from jaxtyping import Int64, UInt8

from aral.annotation.database import ProjectDatabase, read_setting, write_setting
from aral.annotation.near_duplicates import cell_averages, near_duplicate_groups
from aral.annotation.pictures import (
    FULL_QUALITY,
    FULL_SIDE,
    STAGE_QUALITY,
    STAGE_SIDE,
    THUMBNAIL_SIDE,
    PictureSize,
    PixelFile,
    StagePictures,
    as_jpeg,
    read_thumbnail,
    write_thumbnail,
)
from aral.annotation.settings import read_settings
from aral.annotation.sync import SyncProgress, SyncRequest, SyncResult, pixel_file, run_sync
from aral.data.decode import Channels
from aral.data.image_file import MAX_PIXELS, Opened, open_image, read_image_bytes
from aral.data.unreadable import Reason, Refused, Unreadable
from aral.errors import BadInput

_ROWS_AT_ONCE = 128
_LABELABLE = "status = 'ready' AND duplicate_of IS NULL"

ImageStatus = Literal["pending", "ready", "missing", "changed", "unreadable"]
"""``pending``: found and not read yet; ``missing``, ``changed``: the file has gone, or has other content now."""


@dataclass(frozen=True)
class ProjectImage:
    """One image of a project.

    Attributes:
        id: its number, for good; the row in :class:`aral.annotation.PixelFile`.
        name: path relative to the photos, with ``/``; bytes that are not valid UTF-8 are surrogates, and
            ``os.fsencode`` gives them back.
        width: of the upright image in pixels; 0 while it is pending or when it is unreadable.
        height: likewise.
        format: by its content, such as ``"PNG"``; empty while it was not read.
        sha256: of the file's bytes when it was read, 64 hexadecimal digits; empty while it was not read.
        status: whether it can be used.
        duplicate_of: the first image with the same bytes, which carries the label of both.
    """

    id: int
    name: str
    width: int
    height: int
    format: str
    sha256: str
    status: ImageStatus
    duplicate_of: int | None


@dataclass(frozen=True, eq=False)
class _NearDuplicates:
    """Groups of near-duplicates, and what they were made from: ids with hashes, and the setting."""

    table: Int64[np.ndarray, "N two"]
    bits: int
    groups: tuple[tuple[int, ...], ...]


class Images:
    """The images of a project.

    Args:
        database: the project's.
        folder: of the project.
        photos: the user's images; never written to.
    """

    def __init__(self, database: ProjectDatabase, folder: Path, photos: Path) -> None:
        self._database = database
        self._folder = folder
        self._photos = photos
        self._stage = StagePictures(folder)
        self._near_lock = Lock()
        self._near = _NearDuplicates(np.empty((0, 2), np.int64), 0, ())
        self._cells: dict[int, UInt8[np.ndarray, " D"]] = {}

    def sync(
        self,
        observer: Callable[[SyncProgress], None] = lambda progress: None,
        stopping: Callable[[], bool] = lambda: False,
        follow_links: bool = False,
        max_pixels: int | None = None,
        side: int | None = None,
        channels: Channels | None = None,
    ) -> SyncResult:
        """Bring the list of images up to date with the folder of photos; nothing in it is written.

        New files are added; files that have gone or changed are marked. A moved or renamed file keeps its id
        and its answers. Unreadable files are listed with a reason. Images can be labelled as soon as their
        batch is committed, and the first batch is a random one. After a kill the next call continues.

        Args:
            observer: called with the progress, several times a second.
            stopping: called before every file; True stops the sync after the files that are being read.
            follow_links: read symbolic links that lead out of the folder.
            max_pixels: larger images are refused by their header; stored for later calls. None takes the stored
                value, 50 million in a new project.
            side: height and width of the pixels for training; None chooses 28 to 128 by a sample.
            channels: 3 for colour, 1 for grey; None chooses by a sample.

        Raises:
            BadInput: the photos are gone, another process syncs this project, or it has pixels of another shape.
            RunFailed: the disk is full; what was committed stays.
        """
        request = SyncRequest(observer, stopping, follow_links, self._max_pixels(max_pixels), side, channels)
        return run_sync(self._database, self._folder, self._photos, request)

    def _max_pixels(self, max_pixels: int | None) -> int:
        """How many pixels an image may have, stored when it is given."""
        if max_pixels is None:
            with self._database.snapshot() as connection:
                return int(read_setting(connection, "max pixels", MAX_PIXELS))
        with self._database.transaction() as connection:
            write_setting(connection, "max pixels", max_pixels)
        return max_pixels

    def get(self, image_id: int) -> ProjectImage:
        """One image.

        Raises:
            BadInput: there is no image of this id.
        """
        rows = self._database.rows(
            "SELECT id, name, width, height, format, sha256, status, duplicate_of FROM images WHERE id = ?",
            (image_id,),
        )
        if not rows:
            raise BadInput(f"There is no image {image_id}.", "Load the page again.")
        number, name, *rest = rows[0]
        return ProjectImage(number, os.fsdecode(name), *rest)

    def all(self) -> list[ProjectImage]:
        """Every image that was ever read, also those whose file has gone or changed, in order of id."""
        rows = self._database.rows(
            """SELECT id, name, width, height, format, sha256, status, duplicate_of FROM images
            WHERE status IN ('ready', 'missing', 'changed') ORDER BY id"""
        )
        return [ProjectImage(number, os.fsdecode(name), *rest) for number, name, *rest in rows]

    def any(self) -> bool:
        """Whether an image can be labelled; fast however many there are."""
        return bool(self._database.row(f"SELECT EXISTS (SELECT 1 FROM images WHERE {_LABELABLE})")[0])

    def count(self) -> int:
        """How many images can be labelled: ready, exact copies counted once."""
        return int(self._database.row(f"SELECT count(*) FROM images WHERE {_LABELABLE}")[0])

    def status_counts(self) -> dict[ImageStatus, int]:
        """How many files have each status; a status without files is left out."""
        return dict(
            self._database.rows("SELECT status, count(*) FROM images GROUP BY status ORDER BY status")
        )

    def labelable_ids(self) -> Int64[np.ndarray, " N"]:
        """Ids of the images that can be labelled, ascending."""
        rows = self._database.rows(f"SELECT id FROM images WHERE {_LABELABLE} ORDER BY id")
        return np.array([image_id for (image_id,) in rows], dtype=np.int64)

    def labelable_state(self) -> tuple[int, int]:
        """Two numbers that change when other images can be labelled; they take a pass over these images."""
        count, total = self._database.row(
            f"SELECT count(*), coalesce(sum(id), 0) FROM images WHERE {_LABELABLE}"
        )
        return int(count), int(total)

    def pending(self) -> int:
        """How many files were found and not read yet: not 0 while an import is under way or was stopped."""
        return int(self._database.row("SELECT count(*) FROM images WHERE status = 'pending'")[0])

    def by_urgency(self, urgent_only: bool = False) -> list[tuple[int, str, str]]:
        """Id, name and SHA-256 of the images that can be labelled: those with an answer first, then those that are
        leased, then the estimate set, then the others at random.

        Args:
            urgent_only: without the others, which is fast however many there are.
        """
        urgent = """AND id IN (SELECT image_id FROM standing UNION SELECT image_id FROM leases
                UNION SELECT id FROM images WHERE estimate = 1)"""
        rows = self._database.rows(
            f"""SELECT id, name, sha256 FROM images i WHERE {_LABELABLE} {urgent if urgent_only else ""}
                ORDER BY verdicts > 0 DESC,
                EXISTS (SELECT 1 FROM leases l WHERE l.image_id = i.id) DESC, estimate DESC, shuffle"""
        )
        return [(image_id, os.fsdecode(name), sha256) for image_id, name, sha256 in rows]

    def digests(self) -> dict[int, str]:
        """SHA-256 by id of every image that was ever read, also of those whose file has gone or changed."""
        return dict(
            self._database.rows(
                """SELECT id, sha256 FROM images
                WHERE status IN ('ready', 'missing', 'changed') AND duplicate_of IS NULL"""
            )
        )

    def most_pixels(self) -> int:
        """The largest number of pixels an image may have, as the last sync had it."""
        return self._max_pixels(None)

    def duplicates(self) -> dict[int, tuple[int, ...]]:
        """For each image with exact copies (equal bytes) the ids of these; they share its label."""
        rows = self._database.rows(
            "SELECT duplicate_of, id FROM images WHERE duplicate_of IS NOT NULL AND status = 'ready' "
            "ORDER BY duplicate_of, id"
        )
        copies: dict[int, list[int]] = defaultdict(list)
        for first, copy in rows:
            copies[first].append(copy)
        return {first: tuple(ids) for first, ids in copies.items()}

    def near_duplicates(self) -> tuple[tuple[int, ...], ...]:
        """Groups of labelable images that look the same, every two of a group; see :mod:`.near_duplicates`.

        How much they may differ is a setting of the project. Computed once for a set of images; takes seconds for a
        hundred thousand.
        """
        with self._database.snapshot() as connection:
            bits = read_settings(connection).near_duplicate_bits
            rows = connection.execute(
                f"SELECT id, likeness FROM images WHERE {_LABELABLE} ORDER BY id"
            ).fetchall()
        table = np.array(rows, dtype=np.int64).reshape(-1, 2)
        with self._near_lock:
            if self._near.bits != bits or not np.array_equal(table, self._near.table):
                ids, hashes = table[:, 0].copy(), table[:, 1].copy()
                groups = near_duplicate_groups(ids, hashes, self._cell_averages(ids), bits)
                self._near = _NearDuplicates(table, bits, groups)
            return self._near.groups

    def _cell_averages(self, ids: Int64[np.ndarray, " N"]) -> UInt8[np.ndarray, "N D"]:
        """The averages of the cells of these images' pixels; an image never changes, so they are read once."""
        if not ids.size:
            return np.empty((0, 0), np.uint8)
        pixels = self.pixels()
        unread = np.array([one for one in ids.tolist() if one not in self._cells], dtype=np.int64)
        for start in range(0, unread.size, _ROWS_AT_ONCE):
            part = unread[start : start + _ROWS_AT_ONCE]
            self._cells.update(zip(part.tolist(), cell_averages(pixels.rows(part)), strict=True))
        return np.stack([self._cells[one] for one in ids.tolist()])

    def unreadable(self) -> tuple[Unreadable, ...]:
        """Files and folders that were left out, with reasons, in order of their paths."""
        rows = self._database.rows(
            """SELECT name, reason, detail FROM images WHERE status = 'unreadable'
            UNION ALL SELECT path, reason, detail FROM left_out ORDER BY 1"""
        )
        return tuple(Unreadable(os.fsdecode(path), Reason(reason), detail) for path, reason, detail in rows)

    def pixels(self) -> PixelFile:
        """The pixels for training.

        Raises:
            BadInput: the project was never synced.
        """
        pixels = pixel_file(self._database, self._folder)
        if pixels is None:
            raise BadInput(f"{self._folder} holds no images yet.", "Sync the photos first: aral sync FOLDER")
        return pixels

    def picture(self, image_id: int, size: PictureSize = "thumbnail") -> bytes:
        """A JPEG of an image, upright, without metadata, never enlarged.

        Args:
            image_id: the image.
            size: the longer side is at most 512 pixels (thumbnail), 1,600 (stage) or 16,384 (full). A thumbnail and a
                stage picture are stored, and made again when they are missing on the disk.

        Raises:
            BadInput: there is no such image, it was never readable, or the picture must be made from the file and
                this has gone or changed.
        """
        image = self.get(image_id)
        if size == "full":
            return as_jpeg(self._original(image, FULL_SIDE), FULL_SIDE, FULL_QUALITY)[0]
        if size == "stage" and max(image.width, image.height) > THUMBNAIL_SIDE:
            return self._stage_picture(image)
        return self.thumbnail(image_id)

    def thumbnail(self, image_id: int) -> bytes:
        """As :meth:`picture` in its smallest size."""
        image = self.get(image_id)
        first = image.duplicate_of if image.duplicate_of is not None else image.id
        stored = read_thumbnail(self._folder, first)
        if stored is not None and image.status not in ("pending", "unreadable"):
            return stored
        jpeg, _ = as_jpeg(self._original(image, THUMBNAIL_SIDE))
        try:
            write_thumbnail(self._folder, image.id, jpeg)
        except OSError:
            pass  # a full disk is no reason not to show it
        return jpeg

    def _stage_picture(self, image: ProjectImage) -> bytes:
        stored = self._stage.read(image.sha256)
        if stored is not None:
            return stored
        jpeg, _ = as_jpeg(self._original(image, STAGE_SIDE), STAGE_SIDE, STAGE_QUALITY)
        self._stage.keep(image.sha256, jpeg)
        return jpeg

    def _original(self, image: ProjectImage, side: int) -> Opened:
        """The file of an image, if it still is the one that was read; otherwise the image is marked."""
        if image.status not in ("ready", "missing", "changed"):
            raise BadInput(f"Image {image.id} cannot be shown: it is {image.status}.")
        try:
            data = read_image_bytes(self._photos / image.name)
            if hashlib.sha256(data).hexdigest() != image.sha256:
                self._mark(image, "changed")
                raise BadInput(
                    f"The file of image {image.id} has changed.", "Sync the photos: aral sync FOLDER"
                )
            return open_image(data, max(MAX_PIXELS, image.width * image.height), (side, 1))
        except Refused as refused:
            if refused.reason is Reason.MISSING:
                self._mark(image, "missing")
            raise BadInput(
                f"The file of image {image.id} cannot be read: {refused.detail}.",
                "Sync the photos: aral sync FOLDER",
            ) from refused

    def _mark(self, image: ProjectImage, status: ImageStatus) -> None:
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE images SET status = ?, open = 0 WHERE id = ? AND status = 'ready'", (status, image.id)
            )
