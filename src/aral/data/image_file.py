"""An image file decoded with limits and checks, upright and in eight bits, or the reason why it cannot be.

The content of a file decides its format, never its name. The size is in the header and is checked before any
pixel is decoded. Decoders accept truncated files (Pillow takes a JPEG without its end marker, and PNG pixels
without their checksums), so the end and the checksums are checked here. Sixteen-bit grey is scaled, not
clipped; transparency is laid over white; a camera's orientation is applied; of an animation the first frame
is used.
"""

from __future__ import annotations

import io
import math
import os
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from aral.data.unreadable import Reason, Refused

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
"""The only formats that are decoded."""

MAX_PIXELS = 50_000_000
MILLION, MOST_MILLIONS = 1_000_000, 178
"""Pillow refuses images of more than 178 million pixels, whatever the limit here."""

MAX_BYTES = 512 * 2**20
_MAX_TEXT_BYTES = 2**20


@dataclass(frozen=True, eq=False)
class Opened:
    """A completely decoded image file, before it is resized.

    Attributes:
        image: upright, opaque, eight bits a channel.
        width: of the upright image as it is in the file, in pixels.
        height: likewise.
        format: what the file really is.
        animated: it has more frames than the one that was read.
        grey: the image has no colours.
    """

    image: Image.Image
    width: int
    height: int
    format: str
    animated: bool
    grey: bool


def open_image(data: bytes, max_pixels: int = MAX_PIXELS, enough: tuple[int, int] | None = None) -> Opened:
    """Decode the bytes of an image file.

    Args:
        data: the whole file.
        max_pixels: as in :func:`decode_image`.
        enough: sizes that suffice for the longer and the shorter side; a larger JPEG is decoded at a half, a
            quarter or an eighth of its size, which saves most of the time and memory.

    Raises:
        Refused: the file cannot be used, with the reason.
    """
    try:
        return _open(data, max_pixels, enough)
    except Refused:
        raise
    except Exception as error:  # a decoder fed with damaged bytes may raise anything
        raise _refusal(data, error) from error


def read_image_bytes(path: Path) -> bytes:
    """The bytes of a regular file; it never blocks on a pipe or a device.

    Raises:
        Refused: it is missing, empty, too large, no regular file, or may not be read.
    """
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise Refused(Reason.NOT_A_FILE, "a pipe, socket or device")
            if status.st_size > MAX_BYTES:
                raise Refused(Reason.TOO_LARGE, f"{status.st_size} bytes, more than {MAX_BYTES}")
            data = file.read(MAX_BYTES)
    except FileNotFoundError as error:
        raise Refused(Reason.MISSING, "the file is gone") from error
    except PermissionError as error:
        raise Refused(Reason.NO_PERMISSION, "the file may not be read") from error
    except OSError as error:
        raise Refused(Reason.DAMAGED, str(error)) from error
    if not data:
        raise Refused(Reason.NOT_AN_IMAGE, "the file is empty")
    return data


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _refusal(data: bytes, error: Exception) -> Refused:
    """The reason for a decoder's error: from the structure of the file, else from the error."""
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


def _open(data: bytes, max_pixels: int, enough: tuple[int, int] | None) -> Opened:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        if image.width * image.height > max_pixels:
            raise Refused(Reason.TOO_LARGE, _remedy(image.width, image.height, max_pixels))
        kind = kind_of(data) or "BMP"
        if text_bytes(kind, data) > _MAX_TEXT_BYTES:
            raise Refused(Reason.TOO_LARGE, f"more than {_MAX_TEXT_BYTES} bytes of text inside the {kind}")
        if not is_whole(kind, data):
            raise Refused(Reason.TRUNCATED, f"the end of the {kind} is missing")
        if not is_intact(kind, data):
            raise Refused(Reason.DAMAGED, f"a checksum inside the {kind} does not match")
        # Read before loading: for a GIF of one frame it fails afterwards.
        animated = kind != "JPEG" and bool(getattr(image, "is_animated", False))
        width, height = image.size
        if kind == "JPEG" and enough is not None:
            _reduce(image, enough)
        image.load()
        orientation = image.getexif().get(_ORIENTATION)
        grey = image.mode in _GREY_MODES
        flat = _upright(_eight_bits(image), orientation)
    if orientation in _SIDEWAYS:
        width, height = height, width
    return Opened(flat, width, height, kind, animated, grey)


def _remedy(width: int, height: int, max_pixels: int) -> str:
    """Why an image is too large, and the option that accepts it."""
    needed = math.ceil(width * height / MILLION)
    problem = f"{width}×{height} pixels, more than {max_pixels} in all"
    if needed > MOST_MILLIONS:
        return f"{problem}; make it smaller"
    return f"{problem}; aral label, sync and predict accept it with --max-pixels {needed}"


def _reduce(image: Image.Image, enough: tuple[int, int]) -> None:
    """Decode a JPEG at the smallest scale (1, ½, ¼, ⅛) that is large enough."""
    longer, shorter = enough
    scale = min(max(image.size) // longer, min(image.size) // shorter)
    if scale > 1:
        image.draft(None, (image.width // scale, image.height // scale))


_GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"})


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
        # The file does not define black and white: take the smallest and the largest value.
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
_SIDEWAYS = (5, 6, 7, 8)


def _upright(image: Image.Image, orientation: int | None) -> Image.Image:
    """The image turned and mirrored according to the orientation in the EXIF entry 0x0112."""
    turn = _TURNS.get(orientation or 1)
    return image if turn is None else image.transpose(turn)


def peek(path: Path) -> tuple[int, int, bool]:
    """Width and height from the header of a file, and whether it is grey; nothing is decoded.

    Raises:
        Refused: the file has no header that can be understood.
    """
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Refused(Reason.NOT_A_FILE, "a pipe, socket or device")
            with Image.open(file, formats=FORMATS) as image:
                return image.width, image.height, image.mode in _GREY_MODES
    except Refused:
        raise
    except Exception as error:
        raise Refused(Reason.NOT_AN_IMAGE, str(error)) from error


def kind_of(data: bytes) -> str | None:
    """The format by the first bytes; ``None`` if unknown, or BMP, whose two letters are not enough evidence."""
    if data.startswith(b"\xff\xd8"):
        return "JPEG"
    if data.startswith(b"\x89PNG"):
        return "PNG"
    if data.startswith(b"RIFF") and b"WEBP".startswith(data[8:12]):
        return "WEBP"
    if data.startswith(b"GIF8"):
        return "GIF"
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    return None


def is_whole(kind: str, data: bytes) -> bool:
    """Whether the file reaches its own end; formats without a known end count as whole."""
    if kind == "JPEG":
        # Inside a scan 0xFF is never followed by 0xD9: after the last scan's start it must be the end.
        return data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda") >= 0
    if kind == "PNG":
        return any(name == b"IEND" for name, _, _ in _png_chunks(data))
    if kind == "WEBP":
        return len(data) >= 12 and len(data) >= 8 + int.from_bytes(data[4:8], "little")
    if kind == "GIF":
        return data.rstrip(b"\0").endswith(b";")
    return True


def is_intact(kind: str, data: bytes) -> bool:
    """Whether the checksums inside the file match; only PNG has them."""
    view = memoryview(data)
    return kind != "PNG" or all(
        zlib.crc32(view[start - 4 : end]) == int.from_bytes(view[end : end + 4], "big")
        for _, start, end in _png_chunks(data)
    )


def text_bytes(kind: str, data: bytes) -> int:
    """Size of the comments that a PNG carries, 0 for other formats."""
    if kind != "PNG":
        return 0
    return sum(end - start for name, start, end in _png_chunks(data) if name in (b"tEXt", b"zTXt", b"iTXt"))


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of the contents of each complete chunk, up to the end of the picture."""
    position = 8
    while position + 12 <= len(data):
        start = position + 8
        end = start + int.from_bytes(data[position : position + 4], "big")
        if end + 4 > len(data):
            return
        name = data[position + 4 : start]
        yield name, start, end
        if name == b"IEND":
            return
        position = end + 4
