"""Image files as squares of pixels, one file or many files of a folder."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from aral.data.image_file import MAX_PIXELS, open_image, read_image_bytes
from aral.data.pixel_values import Note
from aral.data.unreadable import Refused, Unreadable

__all__ = [
    "MAX_PIXELS",
    "Channels",
    "Decoded",
    "FileFacts",
    "decode_all",
    "decode_image",
    "shows_colour",
    "square",
]

_FILES_AT_ONCE, _BYTES_AT_ONCE = 4096, 128 << 20


Channels = Literal[1, 3]


@dataclass(frozen=True)
class FileFacts:
    """What is known of an image file that could be decoded.

    Attributes:
        format: what it really is, such as ``"PNG"``.
        animated: it has more frames than the one that was read.
        notes: what was done to its pixels.
    """

    format: str
    animated: bool
    notes: frozenset[Note]


@dataclass(frozen=True, eq=False)
class Decoded:
    """An image that could be read.

    Attributes:
        pixels: C×side×side, 0..255.
        facts: of its file.
    """

    pixels: UInt8[np.ndarray, "C H W"]
    facts: FileFacts


def decode_all(
    folder: Path,
    names: Sequence[str],
    side: int,
    channels: Channels = 3,
    max_pixels: int = MAX_PIXELS,
) -> Iterator[tuple[str, Decoded | Unreadable]]:
    """Each named file of a folder with its image, or the reason why there is none, in the order of the names.

    One thread a core. Iterate to the end without a pause: meanwhile Pillow's warnings (of metadata and size,
    which are checked here) are suppressed in all threads of the process. The other arguments are those of
    :func:`decode_image`.
    """

    def one(name: str) -> tuple[str, Decoded | Unreadable]:
        try:
            return name, decode_image(folder / name, side, channels, max_pixels)
        except Refused as refused:
            return name, Unreadable(name, refused.reason, refused.detail)

    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as threads:
        warnings.simplefilter("ignore")
        # Images that are decoded wait in memory until they are asked for.
        at_once = max(1, min(_FILES_AT_ONCE, _BYTES_AT_ONCE // (channels * side * side)))
        for start in range(0, len(names), at_once):
            yield from threads.map(one, names[start : start + at_once])


def decode_image(path: Path, side: int, channels: Channels = 3, max_pixels: int = MAX_PIXELS) -> Decoded:
    """Read one image file and bring it to side×side.

    Args:
        path: a regular file.
        side: height and width of the result; the shorter side is brought to it and the centre is cut out.
        channels: 3 for colour, 1 for grey.
        max_pixels: larger images are refused by their header; Pillow's own limit of about 179 million
            pixels stays in force.

    Raises:
        Refused: the file cannot be used, with the reason.
    """
    opened = open_image(read_image_bytes(path), max_pixels)
    facts = FileFacts(opened.format, opened.animated, opened.notes)
    return Decoded(square(opened.image, side, channels), facts)


def square(image: Image.Image, side: int, channels: Channels) -> UInt8[np.ndarray, "C H W"]:
    """An upright image as side×side pixels, channels first, 0..255.

    It is resized in one step from the part that is kept, so a very long strip never grows in between.
    """
    image = image.convert("L" if channels == 1 else "RGB")
    width, height = image.size
    short = min(width, height)
    left, top = (width - short) / 2, (height - short) / 2
    box = (left, top, left + short, top + short)
    if image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.BILINEAR, box=box)
    pixels = np.asarray(image)
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def shows_colour(pixels: UInt8[np.ndarray, "3 H W"]) -> bool:
    """Whether an image has colour, beyond the noise of a JPEG."""
    spread = pixels.max(axis=0).astype(np.int64) - pixels.min(axis=0)
    return bool(np.quantile(spread, 0.99) > 8)
