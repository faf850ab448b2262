"""Everything a project keeps of an image file, made of it in one go."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from aral.annotation.pixels import PixelFile, choose_side, nothing_but_grey
from aral.annotation.thumbnails import SIDE, as_jpeg, likeness
from aral.data.decode import Channels, square
from aral.data.image_file import Opened, open_image, peek, read_image_bytes
from aral.data.unreadable import Reason, Refused

SAMPLE = 64
"""How many images say which size and how many channels the squares have."""

_COLOUR_SAMPLE = 16


@dataclass(frozen=True, eq=False)
class Photo:
    """What is kept of a file.

    Attributes:
        width: of the upright image in pixels.
        height: likewise.
        format: what the file really is.
        animated: it has more frames than the one that was read.
        sha256: of its bytes.
        likeness: the difference hash.
        thumbnail: a JPEG file.
        square: the pixels for training.
    """

    width: int
    height: int
    format: str
    animated: bool
    sha256: str
    likeness: int
    thumbnail: bytes
    square: UInt8[np.ndarray, "C side side"]


def read_photo(path: Path, pixels: PixelFile, max_pixels: int) -> Photo:
    """Read a file once and decode it once.

    Raises:
        Refused: it cannot be used, with the reason.
    """
    data = read_image_bytes(path)
    opened = open_image(data, max_pixels, (SIDE, max(pixels.side, 128)))
    try:
        return _made_of(data, opened, pixels)
    except MemoryError as error:
        raise Refused(Reason.TOO_LARGE, "there is not enough memory for it") from error
    except (OSError, ValueError) as error:  # a kind of pixels that Pillow reads and cannot convert
        raise Refused(Reason.UNSUPPORTED, str(error)) from error


def _made_of(data: bytes, opened: Opened, pixels: PixelFile) -> Photo:
    thumbnail, small = as_jpeg(opened)
    return Photo(
        opened.width,
        opened.height,
        opened.format,
        opened.animated,
        hashlib.sha256(data).hexdigest(),
        likeness(small),
        thumbnail,
        square(opened.image, pixels.side, pixels.channels),
    )


def choose_pixels(
    photos: Path, sample: Sequence[str], images: int, side: int | None, channels: Channels | None
) -> tuple[int, Channels]:
    """Side and channels of the squares, by a sample of the images where they are not given.

    Args:
        photos: the folder.
        sample: names of files in it, at random.
        images: how many files there are in all.
        side: as wished; None to choose.
        channels: as wished; None to choose: grey unless one image of the sample shows colour.
    """
    headers = {}
    for name in sample:
        try:
            headers[name] = peek(photos / name)
        except Refused:
            continue
    if channels is None:
        doubtful = [name for name, (_, _, grey) in headers.items() if not grey][:_COLOUR_SAMPLE]
        is_grey = bool(headers) and nothing_but_grey(_in_colour(photos, doubtful))
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
