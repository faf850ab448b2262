"""What a project stores of an image file: pixels for training, pictures for the page, hashes.

The pixels of all images are one file of raw bytes (:class:`PixelFile`), one row per image. The page gets a JPEG in one
of three sizes, encoded from the decoded pixels: a browser can show it whatever the format of the file, and it has no
metadata of the file. Thumbnails are made when a file is read, stage pictures when one is first shown
(:class:`StagePictures`), full pictures each time.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image

from aral.data.decode import Channels, shows_colour, square
from aral.data.image_file import Opened, open_image, peek, read_image_bytes
from aral.data.pixel_values import Note
from aral.data.unreadable import Reason, Refused
from aral.errors import RunFailed

SAMPLE = 64
"""Size of the sample by which the size and channels of the training images are chosen."""

_COLOUR_SAMPLE = 16

PictureSize: TypeAlias = Literal["thumbnail", "stage", "full"]
"""Sizes of the page's pictures: for lists and the first frame, for the screen, for zooming in."""

THUMBNAIL_SIDE = 512
THUMBNAIL_QUALITY = 85
STAGE_SIDE = 1600
STAGE_QUALITY = 88
FULL_SIDE = 16_384
"""The longest side of a full picture: browsers do not show much larger ones."""

FULL_QUALITY = 95

STAGE_BYTES = 512 * 2**20
"""Most bytes of the stage pictures of a project, about 1,500 of them."""

SIDES = (28, 32, 48, 64, 96, 128)
"""Possible heights and widths of the training images, affordable for a small network on a CPU."""

MOST_BYTES = 2**30
"""A smaller side is chosen if the pixel file would exceed this size."""


@dataclass(frozen=True)
class PixelFile:
    """The pixels for training: raw bytes, ``channels``×``side``×``side`` per row; the row number is the image id.

    Attributes:
        path: the file; it grows when images are added.
        side: height and width of the centre crops.
        channels: 3 for colour, 1 for grey.
    """

    path: Path
    side: int
    channels: Channels

    @property
    def row_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        return self.channels, self.side, self.side

    @property
    def row_bytes(self) -> int:
        """Size of an image in bytes."""
        return self.channels * self.side * self.side

    def rows(self, ids: Int64[np.ndarray, " N"]) -> UInt8[np.ndarray, "N C side side"]:
        """The pixels of these images, 0..255, in the order of the ids; only these rows are read.

        Raises:
            ValueError: an id lies outside the file; ids of images that were ever ready do not.
        """
        count = self.path.stat().st_size // self.row_bytes if self.path.exists() else 0
        if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < count:
            raise ValueError(f"ids {ids.min()} to {ids.max()} do not fit the {count} rows of {self.path}")
        if not ids.size:
            return np.empty((0, *self.row_shape), dtype=np.uint8)
        return np.asarray(np.memmap(self.path, np.uint8, "r", shape=(count, *self.row_shape))[ids])


class PixelWriter:
    """Writes rows of a pixel file; a row is on the disk after :meth:`flush`.

    Args:
        pixels: the file.
        rows: how many rows it must have.

    Raises:
        RunFailed: the disk has no room for so many.
    """

    def __init__(self, pixels: PixelFile, rows: int) -> None:
        self._pixels = pixels
        try:
            self._descriptor = os.open(pixels.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise RunFailed(f"{pixels.path} cannot be written: {error.strerror}.") from error
        try:
            status = os.fstat(self._descriptor)
            needed = rows * pixels.row_bytes - 512 * status.st_blocks
            free = shutil.disk_usage(pixels.path.parent).free
            if needed > free:
                raise RunFailed(
                    f"{pixels.path} needs {needed} more bytes, and {free} bytes are free.",
                    "Free some space, or put the project elsewhere with --project.",
                )
            if status.st_size < rows * pixels.row_bytes:
                os.ftruncate(self._descriptor, rows * pixels.row_bytes)
        except BaseException:
            self.close()
            raise

    def write(self, image_id: int, square: UInt8[np.ndarray, "C side side"]) -> None:
        """Write the pixels of an image into its row.

        Raises:
            OSError: the disk is full or not writable.
        """
        view, offset = memoryview(square.tobytes()), image_id * self._pixels.row_bytes
        while view:
            written = os.pwrite(self._descriptor, view, offset)
            view, offset = view[written:], offset + written

    def flush(self) -> None:
        """Flush what was written to the disk."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def choose_side(short_sides: Sequence[int], images: int, channels: Channels) -> int:
    """Height and width of the training images: about that of the originals, limited by :data:`MOST_BYTES`.

    Args:
        short_sides: the shorter side of each image of a sample, in pixels; 64 without any.
        images: how many images there are in all.
        channels: of the training images.
    """
    typical = float(np.median(short_sides)) if short_sides else 64.0
    wanted = next((side for side in SIDES if side >= typical), SIDES[-1])
    affordable = [side for side in SIDES if images * channels * side**2 <= MOST_BYTES]
    return min(wanted, max(affordable, default=SIDES[0]))


def all_grey(images: Iterable[UInt8[np.ndarray, "3 H W"]]) -> bool:
    """Whether none of the images shows colour; stops at the first that does."""
    return not any(shows_colour(pixels) for pixels in images)


def as_jpeg(
    opened: Opened, longest: int = THUMBNAIL_SIDE, quality: int = THUMBNAIL_QUALITY
) -> tuple[bytes, Image.Image]:
    """An image as a JPEG file without any metadata, grey if it is grey, never enlarged.

    Args:
        opened: the image.
        longest: the longer side is reduced to this many pixels.
        quality: of the JPEG.

    Returns:
        the bytes, and the same picture before it was encoded.
    """
    image = opened.image.convert("L" if opened.grey else "RGB")
    scale = min(1.0, longest / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    if size != image.size:
        image = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    image.info = {}
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue(), image


def difference_hash(thumbnail: Image.Image) -> int:
    """The difference hash (dHash): 64 bits that change little when an image is resized or encoded again.

    The image is reduced to 9×8 grey pixels; a bit is 1 where a pixel is brighter than the one to its left.
    A signed number of 64 bits, for SQLite.
    """
    small = thumbnail.convert("L").resize((9, 8), Image.Resampling.BOX)
    rows = np.asarray(small)
    signs = np.packbits(rows[:, 1:] > rows[:, :-1])
    return int.from_bytes(signs.tobytes(), "big", signed=True)


def thumbnail_path(folder: Path, image_id: int) -> Path:
    """The path of the thumbnail of an image; a thousand in one folder."""
    return folder / "thumbnails" / f"{image_id // 1000:03d}" / f"{image_id:06d}.jpg"


def write_thumbnail(folder: Path, image_id: int, jpeg: bytes) -> None:
    """Write a thumbnail under a temporary name and rename it.

    It is not flushed to the disk as :func:`aral.durable.write_file` does, which would take minutes for a large
    folder. :func:`read_thumbnail` detects a partial file, left by a power failure or by two concurrent writers, and
    the thumbnail is made again.

    Raises:
        OSError: the disk is full or not writable.
    """
    _write_picture(thumbnail_path(folder, image_id), jpeg)


def _write_picture(path: Path, jpeg: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")  # one left by a kill is overwritten the next time
    try:
        with open(partial, "wb", opener=_private) as file:
            file.write(jpeg)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def read_thumbnail(folder: Path, image_id: int) -> bytes | None:
    """A stored thumbnail; None when it is missing or truncated, as after a power failure."""
    return _read_picture(thumbnail_path(folder, image_id))


def _read_picture(path: Path) -> bytes | None:
    try:
        jpeg = path.read_bytes()
    except FileNotFoundError:
        return None
    return jpeg if jpeg.startswith(b"\xff\xd8") and jpeg.endswith(b"\xff\xd9") else None


class StagePictures:
    """The stage pictures of a project, by the content of the image file; the least recently shown ones are deleted.

    It serves all threads of a process. A disk that is full or read-only is no error: then nothing is kept.

    Args:
        folder: of the project.
        most_bytes: when they exceed it, the oldest are deleted until a fifth of it is free.
    """

    def __init__(self, folder: Path, most_bytes: int = STAGE_BYTES) -> None:
        self._folder = folder / "stage"
        self._most_bytes = most_bytes
        self._bytes: int | None = None
        self._lock = Lock()

    def read(self, sha256: str) -> bytes | None:
        """The stage picture of an image file with this SHA-256; None if there is none, or only a part of it."""
        path = self._path(sha256)
        try:
            jpeg = _read_picture(path)
            if jpeg is not None:
                os.utime(path)
        except OSError:
            return None
        return jpeg

    def keep(self, sha256: str, jpeg: bytes) -> None:
        """Store the stage picture of an image file with this SHA-256."""
        with self._lock:
            try:
                _write_picture(self._path(sha256), jpeg)
                self._bytes = None if self._bytes is None else self._bytes + len(jpeg)
                if self._bytes is None or self._bytes > self._most_bytes:
                    self._delete_oldest()
            except OSError:
                self._bytes = None

    def _path(self, sha256: str) -> Path:
        return self._folder / sha256[:2] / f"{sha256}.jpg"

    def _delete_oldest(self) -> None:
        """Count the bytes; if they are too many, delete the pictures that were shown least recently."""
        files = [(path, path.stat()) for path in self._folder.glob("*/*.jpg")]
        self._bytes = sum(status.st_size for _, status in files)
        if self._bytes <= self._most_bytes:
            return
        for path, status in sorted(files, key=lambda file: (file[1].st_mtime_ns, file[0])):
            path.unlink(missing_ok=True)
            self._bytes -= status.st_size
            if self._bytes <= self._most_bytes * 4 // 5:
                return


@dataclass(frozen=True, eq=False)
class Photo:
    """What a project stores of an image file.

    Attributes:
        width: of the upright image in pixels.
        height: likewise.
        format: by its content, such as ``"PNG"``.
        animated: it has more frames than the one that is read.
        sha256: of its bytes.
        difference_hash: the difference hash of the thumbnail.
        thumbnail: a JPEG file.
        square: the pixels for training.
        notes: what was done to its pixels.
    """

    width: int
    height: int
    format: str
    animated: bool
    sha256: str
    difference_hash: int
    thumbnail: bytes
    square: UInt8[np.ndarray, "C side side"]
    notes: frozenset[Note]


def read_photo(path: Path, pixels: PixelFile, max_pixels: int) -> Photo:
    """Read a file once and decode it once.

    Raises:
        Refused: it cannot be used, with the reason.
    """
    data = read_image_bytes(path)
    opened = open_image(data, max_pixels, (THUMBNAIL_SIDE, max(pixels.side, 128)))
    try:
        return _photo(data, opened, pixels)
    except MemoryError as error:
        raise Refused(Reason.TOO_LARGE, "there is not enough memory for it") from error
    except (OSError, ValueError) as error:  # a pixel format that Pillow reads and cannot convert
        raise Refused(Reason.UNSUPPORTED, str(error)) from error


def _photo(data: bytes, opened: Opened, pixels: PixelFile) -> Photo:
    thumbnail, small = as_jpeg(opened)
    return Photo(
        opened.width,
        opened.height,
        opened.format,
        opened.animated,
        hashlib.sha256(data).hexdigest(),
        difference_hash(small),
        thumbnail,
        square(opened.image, pixels.side, pixels.channels),
        opened.notes,
    )


def choose_pixels(
    photos: Path, sample: Sequence[str], images: int, side: int | None, channels: Channels | None
) -> tuple[int, Channels]:
    """Side and channels of the training images, by a sample of the files where they are not given.

    Args:
        photos: the folder.
        sample: names of some files in it.
        images: how many files there are in all.
        side: None to choose.
        channels: None to choose: grey unless an image of the sample shows colour.
    """
    headers = {}
    for name in sample:
        try:
            headers[name] = peek(photos / name)
        except Refused:
            continue
    if channels is None:
        doubtful = [name for name, (_, _, grey) in headers.items() if not grey][:_COLOUR_SAMPLE]
        is_grey = bool(headers) and all_grey(_in_colour(photos, doubtful))
        channels = 1 if is_grey else 3
    if side is None:
        short_sides = [min(width, height) for width, height, _ in headers.values()]
        side = choose_side(short_sides, images, channels)
    return side, channels


def _in_colour(photos: Path, names: Sequence[str]) -> Iterator[UInt8[np.ndarray, "3 H W"]]:
    for name in names:
        try:
            opened = open_image(read_image_bytes(photos / name), enough=(64, 64))
        except Refused:
            continue
        yield square(opened.image, 64, 3)
