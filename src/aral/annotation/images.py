"""The images of a project: what was found, what they look like, and their pixels."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from threading import Lock

import numpy as np
from jaxtyping import Int64

from aral.annotation.database import Part, ProjectDatabase, read_setting, write_setting
from aral.annotation.duplicates import groups_alike
from aral.annotation.importing import ImportRequest, pixel_file, run_import
from aral.annotation.pixels import PixelFile
from aral.annotation.records import ImageStatus, ImportProgress, ImportResult, ProjectImage
from aral.annotation.thumbnails import SIDE, as_jpeg, read_thumbnail, write_thumbnail
from aral.data.decode import Channels
from aral.data.image_file import MAX_PIXELS, Opened, open_image, read_image_bytes
from aral.data.unreadable import Reason, Refused, Unreadable
from aral.errors import BadInput

LARGEST_SIDE = 8192
_LARGE_QUALITY = 90
_LABELABLE = "status = 'ready' AND duplicate_of IS NULL"


class ImagesPart(Part):
    """Methods on the images.

    Attributes:
        folder: of the project.
        photos: the images as people keep them; never written to.
    """

    def __init__(self, database: ProjectDatabase, folder: Path, photos: Path) -> None:
        super().__init__(database)
        self.folder = folder
        self.photos = photos
        self._alike_lock = Lock()
        self._alike: tuple[Int64[np.ndarray, "N two"], tuple[tuple[int, ...], ...]] = (
            np.empty((0, 2), np.int64),
            (),
        )

    def import_images(
        self,
        observer: Callable[[ImportProgress], None] = lambda progress: None,
        stopping: Callable[[], bool] = lambda: False,
        follow_links: bool = False,
        max_pixels: int | None = None,
        side: int | None = None,
        channels: Channels | None = None,
    ) -> ImportResult:
        """Take in the folder of photos as it is now; nothing in it is copied, moved or written.

        New files are added; files that have gone or changed are marked. A moved or renamed file keeps its
        number and its answers. Bad files are listed with a reason and stop nothing. Images can be answered
        as soon as their batch is in, and the first batch is a random one. Killed, it goes on where it was.

        Args:
            observer: told how far it is, several times a second.
            stopping: asked before every file; True ends the import after what was begun.
            follow_links: take symbolic links that lead out of the folder.
            max_pixels: larger images are refused by their header; kept for later imports. None takes what
                was kept, 50 million in a new project.
            side: height and width of the pixels for training; None chooses 28 to 128 by a sample.
            channels: 3 for colour, 1 for grey; None chooses by a sample.

        Raises:
            BadInput: the photos are gone, another process imports into this project, or it has pixels of
                another shape.
            RunFailed: the disk is full; what was committed stays.
        """
        request = ImportRequest(observer, stopping, follow_links, self._largest(max_pixels), side, channels)
        return run_import(self._database, self.folder, self.photos, request)

    def _largest(self, max_pixels: int | None) -> int:
        """How many pixels an image may have, remembered when it is given."""
        if max_pixels is None:
            with self._database.moment() as connection:
                return int(read_setting(connection, "max pixels", MAX_PIXELS))
        with self._database.transaction() as connection:
            write_setting(connection, "max pixels", max_pixels)
        return max_pixels

    def image(self, image_id: int) -> ProjectImage:
        """One image.

        Raises:
            BadInput: there is none of this number.
        """
        rows = self._database.rows(
            "SELECT id, name, width, height, format, sha256, status, duplicate_of FROM images WHERE id = ?",
            (image_id,),
        )
        if not rows:
            raise BadInput(f"There is no image {image_id}.", "Load the page again.")
        number, name, *rest = rows[0]
        return ProjectImage(number, os.fsdecode(name), *rest)

    def images(self) -> list[ProjectImage]:
        """Every image that was ever read, those whose file is gone or changed as well, in order of id."""
        rows = self._database.rows(
            """SELECT id, name, width, height, format, sha256, status, duplicate_of FROM images
            WHERE status IN ('ready', 'missing', 'changed') ORDER BY id"""
        )
        return [ProjectImage(number, os.fsdecode(name), *rest) for number, name, *rest in rows]

    def image_count(self) -> int:
        """How many images can be labelled: ready, exact copies counted once."""
        return int(self._database.row(f"SELECT count(*) FROM images WHERE {_LABELABLE}")[0])

    def status_counts(self) -> dict[ImageStatus, int]:
        """How many files there are of each status; one that nothing has is left out."""
        return dict(
            self._database.rows("SELECT status, count(*) FROM images GROUP BY status ORDER BY status")
        )

    def labelable_ids(self) -> Int64[np.ndarray, " N"]:
        """Ids of the images that can be labelled, ascending."""
        rows = self._database.rows(f"SELECT id FROM images WHERE {_LABELABLE} ORDER BY id")
        return np.array([image_id for (image_id,) in rows], dtype=np.int64)

    def duplicates(self) -> dict[int, tuple[int, ...]]:
        """For each image that has exact copies (equal bytes) their ids; the copies share its label."""
        rows = self._database.rows(
            "SELECT duplicate_of, id FROM images WHERE duplicate_of IS NOT NULL AND status = 'ready' "
            "ORDER BY duplicate_of, id"
        )
        copies: dict[int, list[int]] = defaultdict(list)
        for first, copy in rows:
            copies[first].append(copy)
        return {first: tuple(ids) for first, ids in copies.items()}

    def near_duplicates(self) -> tuple[tuple[int, ...], ...]:
        """Groups of labelable images that look alike: difference hashes within 4 of 64 bits of the first's.

        Worked out once for a set of images, which takes seconds for a hundred thousand of them.
        """
        rows = self._database.rows(f"SELECT id, likeness FROM images WHERE {_LABELABLE} ORDER BY id")
        table = np.array(rows, dtype=np.int64).reshape(-1, 2)
        with self._alike_lock:
            if not np.array_equal(table, self._alike[0]):
                self._alike = (table, groups_alike(table[:, 0].copy(), table[:, 1].copy()))
            return self._alike[1]

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
            BadInput: nothing was imported yet.
        """
        pixels = pixel_file(self._database, self.folder)
        if pixels is None:
            raise BadInput(f"{self.folder} holds no images yet.", "Import the photos first.")
        return pixels

    def thumbnail(self, image_id: int) -> bytes:
        """A small JPEG of an image, without metadata; made anew when it is missing on the disk.

        Raises:
            BadInput: there is no such image, it was never readable, or both thumbnail and file are gone.
        """
        image = self.image(image_id)
        kept = read_thumbnail(self.folder, image.duplicate_of if image.duplicate_of is not None else image_id)
        if kept is not None and image.status not in ("pending", "unreadable"):
            return kept
        jpeg, _ = as_jpeg(self._original(image, SIDE))
        try:
            write_thumbnail(self.folder, image_id, jpeg)
        except OSError:
            pass  # a full disk is no reason not to show it
        return jpeg

    def large(self, image_id: int, side: int = 2048) -> bytes:
        """A JPEG of an image for looking closely, made from the file, without metadata, never enlarged.

        Args:
            image_id: the image.
            side: its longer side is brought down to this many pixels.

        Raises:
            BadInput: there is no such image, its file has gone or changed, or the side is out of range.
        """
        if not 1 <= side <= LARGEST_SIDE:
            raise BadInput(f"A side of {side} pixels is out of range.", f"Ask for 1 to {LARGEST_SIDE}.")
        return as_jpeg(self._original(self.image(image_id), side), side, _LARGE_QUALITY)[0]

    def _original(self, image: ProjectImage, side: int) -> Opened:
        """The file of an image, if it still is the one that was imported; marked if it is not."""
        if image.status not in ("ready", "missing", "changed"):
            raise BadInput(f"Image {image.id} cannot be shown: it is {image.status}.")
        try:
            data = read_image_bytes(self.photos / image.name)
            if hashlib.sha256(data).hexdigest() != image.sha256:
                self._mark(image, "changed")
                raise BadInput(f"The file of image {image.id} has changed.", "Import the photos again.")
            return open_image(data, max(MAX_PIXELS, image.width * image.height), (side, 1))
        except Refused as refused:
            if refused.reason is Reason.MISSING:
                self._mark(image, "missing")
            raise BadInput(
                f"The file of image {image.id} cannot be read: {refused.detail}.", "Import the photos again."
            ) from refused

    def _mark(self, image: ProjectImage, status: str) -> None:
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE images SET status = ?, open = 0 WHERE id = ? AND status = 'ready'", (status, image.id)
            )
