"""One image file into pixels, bounded and checked, or a reason why not.

A file is believed by its content, never by its name. The size stands in the header and is checked before
any pixel is decoded. Sixteen-bit grey is scaled, not cut; transparency is laid over white; a camera's
orientation is applied; of an animation the first frame counts.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from aral.data.completeness import is_intact, is_whole, kind_of, text_bytes
from aral.data.unreadable import Reason, Refused, Unreadable

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
"""The only decoders that a file can reach."""

MAX_PIXELS = 50_000_000
MAX_BYTES = 512 * 2**20
_MAX_TEXT_BYTES = 2**20
_FILES_AT_ONCE = 4096


class Fit(StrEnum):
    """How a rectangle becomes a square: cut the middle out of it, or stretch it."""

    CROP = "crop"
    STRETCH = "stretch"


Channels = Literal[1, 3]


@dataclass(frozen=True, eq=False)
class Decoded:
    """An image that could be read.

    Attributes:
        pixels: C×side×side, 0..255.
        format: what the file really is, such as ``"PNG"``.
        animated: it has more frames than the one that was read.
    """

    pixels: UInt8[np.ndarray, "C H W"]
    format: str
    animated: bool


def decode_all(
    folder: Path,
    names: Sequence[str],
    side: int,
    channels: Channels = 3,
    fit: Fit = Fit.CROP,
    max_pixels: int = MAX_PIXELS,
) -> Iterator[tuple[str, Decoded | Unreadable]]:
    """Each named file of a folder with its image, or the reason why there is none, in the order of the names.

    One thread a core. Iterate to the end without a pause: Pillow's warnings are silenced meanwhile, because
    what they tell (odd metadata, size) is decided here, and the filters of Python belong to all threads.
    The other arguments are those of :func:`decode_image`.
    """

    def one(name: str) -> tuple[str, Decoded | Unreadable]:
        try:
            return name, decode_image(folder / name, side, channels, fit, max_pixels)
        except Refused as refused:
            return name, Unreadable(name, refused.reason, refused.detail)

    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as threads:
        warnings.simplefilter("ignore")
        for start in range(0, len(names), _FILES_AT_ONCE):
            yield from threads.map(one, names[start : start + _FILES_AT_ONCE])


def decode_image(
    path: Path, side: int, channels: Channels = 3, fit: Fit = Fit.CROP, max_pixels: int = MAX_PIXELS
) -> Decoded:
    """Read one image file and bring it to side×side.

    Args:
        path: a regular file.
        side: height and width of the result; with ``Fit.CROP`` the shorter side is brought to it and the
            centre is cut out.
        channels: 3 for colour, 1 for grey.
        fit: how a rectangle becomes a square.
        max_pixels: larger images are refused by their header; Pillow's own limit of about 179 million
            pixels stays in force.

    Raises:
        Refused: the file cannot be used, with the reason.
    """
    data = _bytes_of(path)
    try:
        return _decode(data, side, channels, fit, max_pixels)
    except Refused:
        raise
    except Exception as error:  # a decoder fed with damaged bytes may raise anything
        raise _refusal(data, error) from error


def _bytes_of(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise Refused(Reason.TOO_LARGE, f"{size} bytes, more than {MAX_BYTES}")
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise Refused(Reason.MISSING, "the file is gone") from error
    except PermissionError as error:
        raise Refused(Reason.NO_PERMISSION, "the file may not be read") from error
    except OSError as error:
        raise Refused(Reason.DAMAGED, str(error)) from error
    if not data:
        raise Refused(Reason.NOT_AN_IMAGE, "the file is empty")
    return data


def _refusal(data: bytes, error: Exception) -> Refused:
    """Why a decoder gave up, by the file's own structure first and the decoder's words second."""
    if isinstance(error, (Image.DecompressionBombError, MemoryError)):
        return Refused(Reason.TOO_LARGE, str(error))
    kind = kind_of(data)
    if kind is not None and not is_whole(kind, data):
        return Refused(Reason.TRUNCATED, f"begins as {kind} but ends too early")
    if isinstance(error, UnidentifiedImageError):
        if kind is None:
            return Refused(Reason.NOT_AN_IMAGE, f"not one of {', '.join(FORMATS)}")
        # A TIFF's directory may stand at its end.
        reason = Reason.TRUNCATED if kind == "TIFF" else Reason.DAMAGED
        return Refused(reason, f"begins as {kind} but cannot be understood")
    return Refused(Reason.TRUNCATED if "truncated" in str(error) else Reason.DAMAGED, str(error))


def _decode(data: bytes, side: int, channels: Channels, fit: Fit, max_pixels: int) -> Decoded:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        if image.width * image.height > max_pixels:
            raise Refused(
                Reason.TOO_LARGE, f"{image.width}×{image.height} pixels, more than {max_pixels} in all"
            )
        kind = kind_of(data) or "BMP"
        if text_bytes(kind, data) > _MAX_TEXT_BYTES:
            raise Refused(Reason.TOO_LARGE, f"more than {_MAX_TEXT_BYTES} bytes of text inside the {kind}")
        if not is_whole(kind, data):
            raise Refused(Reason.TRUNCATED, f"the end of the {kind} is missing")
        if not is_intact(kind, data):
            raise Refused(Reason.DAMAGED, f"a checksum inside the {kind} does not match")
        # Asked before loading: a GIF of one frame cannot be asked any more once it is loaded.
        animated = kind != "JPEG" and bool(getattr(image, "is_animated", False))
        image.load()
        flat = _upright(_eight_bits(image), image.getexif().get(_ORIENTATION))
    square = _square(flat.convert("L" if channels == 1 else "RGB"), side, fit)
    pixels = np.asarray(square)
    return Decoded(
        pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1)), kind, animated
    )


def _eight_bits(image: Image.Image) -> Image.Image:
    """Eight bits a channel, opaque: wide values scaled, transparency over white."""
    if image.mode.startswith("I;16"):
        return Image.fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        values = np.asarray(image).astype(np.float64)
        if not np.isfinite(values).all():
            raise Refused(Reason.DAMAGED, "some values are NaN or infinite")
        lowest, highest = float(values.min()), float(values.max())
        if image.mode == "F" and lowest >= 0 and highest <= 1:
            lowest, highest = 0.0, 1.0
        # Nothing in the file says what is black and what is white: take the ends of what is there.
        scaled = (values - lowest) / max(highest - lowest, np.finfo(np.float64).tiny)
        return Image.fromarray(np.rint(scaled * 255).astype(np.uint8))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        return white
    if image.mode == "LAB":
        raise Refused(Reason.UNSUPPORTED, "CIE Lab colours are not supported; save it as RGB")
    return image


_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _upright(image: Image.Image, orientation: int | None) -> Image.Image:
    """The image as the camera's EXIF entry 0x0112 says it should be looked at."""
    turn = _TURNS.get(orientation or 1)
    return image if turn is None else image.transpose(turn)


def _square(image: Image.Image, side: int, fit: Fit) -> Image.Image:
    """Resized in one step from the part that is kept, so a very long strip never grows in between."""
    width, height = image.size
    short = min(width, height)
    box = (0.0, 0.0, float(width), float(height))
    if fit is Fit.CROP:
        left, top = (width - short) / 2, (height - short) / 2
        box = (left, top, left + short, top + short)
    if image.size == (side, side):
        return image
    return image.resize((side, side), Image.Resampling.BILINEAR, box=box)
