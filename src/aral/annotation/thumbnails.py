"""Small pictures for the page: always encoded anew, so that nothing of a file but its pixels gets there."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image

from aral.data.image_file import Opened

SIDE = 512
QUALITY = 85


def as_jpeg(opened: Opened, longest: int = SIDE, quality: int = QUALITY) -> tuple[bytes, Image.Image]:
    """An image as a JPEG file without any metadata, grey if it is grey, never enlarged.

    Args:
        opened: the image.
        longest: the longer side is brought down to this many pixels.
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


def likeness(thumbnail: Image.Image) -> int:
    """The difference hash: 64 signs that change little when an image is resized or encoded anew.

    The image is shrunk to 9×8 grey pixels; each bit says whether a pixel is brighter than the one to its
    left. As SQLite wants it, a signed number of 64 bits.
    """
    small = thumbnail.convert("L").resize((9, 8), Image.Resampling.BOX)
    rows = np.asarray(small)
    signs = np.packbits(rows[:, 1:] > rows[:, :-1])
    return int.from_bytes(signs.tobytes(), "big", signed=True)


def thumbnail_path(folder: Path, image_id: int) -> Path:
    """Where the thumbnail of an image is kept; a thousand lie in one folder."""
    return folder / "thumbnails" / f"{image_id // 1000:03d}" / f"{image_id:06d}.jpg"


def write_thumbnail(folder: Path, image_id: int, jpeg: bytes) -> None:
    """Keep a thumbnail, under its name when it is complete.

    Two that write the same one at once may get in each other's way; :func:`read_thumbnail` notices a part.

    Raises:
        OSError: the disk is full or refuses.
    """
    path = thumbnail_path(folder, image_id)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")  # what a kill leaves is written over the next time
    try:
        with open(partial, "wb", opener=_private) as file:
            file.write(jpeg)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def read_thumbnail(folder: Path, image_id: int) -> bytes | None:
    """A thumbnail that was kept; None when it is missing, or was cut short by a power failure."""
    try:
        jpeg = thumbnail_path(folder, image_id).read_bytes()
    except FileNotFoundError:
        return None
    return jpeg if jpeg.startswith(b"\xff\xd8") and jpeg.endswith(b"\xff\xd9") else None
