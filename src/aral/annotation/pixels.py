"""The pixels of a project as the trainer reads them: one row of bytes an image."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8

from aral.data.decode import Channels
from aral.errors import RunFailed

SIDES = (28, 32, 48, 64, 96, 128)
"""What a small network on a processor can afford."""

MOST_BYTES = 2**30
"""Beyond this size of the file a smaller side is chosen."""


@dataclass(frozen=True)
class PixelFile:
    """Raw bytes, ``channels``×``side``×``side`` a row; the number of the row is the image id.

    Attributes:
        path: the file; it grows when images are added.
        side: height and width of the squares, cut out of the middle of the images.
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
            ValueError: an id lies outside the file, which no image that was ever ready does.
        """
        count = self.path.stat().st_size // self.row_bytes if self.path.exists() else 0
        if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < count:
            raise ValueError(f"ids {ids.min()} to {ids.max()} do not fit the {count} rows of {self.path}")
        if not ids.size:
            return np.empty((0, *self.row_shape), dtype=np.uint8)
        return np.asarray(np.memmap(self.path, np.uint8, "r", shape=(count, *self.row_shape))[ids])


class PixelWriter:
    """Writes rows of a pixel file; a row is on the disk after :meth:`settle`.

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
        """Put the pixels of an image into its row.

        Raises:
            OSError: the disk is full or refuses.
        """
        view, offset = memoryview(square.tobytes()), image_id * self._pixels.row_bytes
        while view:
            written = os.pwrite(self._descriptor, view, offset)
            view, offset = view[written:], offset + written

    def settle(self) -> None:
        """Push what was written to the disk."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)


def choose_side(short_sides: Sequence[int], images: int, channels: Channels) -> int:
    """Height and width of the squares: about that of the images, as far as a processor can afford it.

    Args:
        short_sides: the shorter side of each image of a sample, in pixels; without any, 64 is taken.
        images: how many images there are in all.
        channels: of the squares.
    """
    typical = float(np.median(short_sides)) if short_sides else 64.0
    wanted = next((side for side in SIDES if side >= typical), SIDES[-1])
    affordable = [side for side in SIDES if images * channels * side**2 <= MOST_BYTES]
    return min(wanted, max(affordable, default=SIDES[0]))


def shows_colour(pixels: UInt8[np.ndarray, "3 H W"]) -> bool:
    """Whether an image is more than grey in three channels; the noise of a JPEG is no colour."""
    spread = pixels.max(axis=0).astype(np.int64) - pixels.min(axis=0)
    return bool(np.quantile(spread, 0.99) > 8)


def nothing_but_grey(images: Iterable[UInt8[np.ndarray, "3 H W"]]) -> bool:
    """Whether none of the images shows colour; it stops at the first that does."""
    return not any(shows_colour(pixels) for pixels in images)
