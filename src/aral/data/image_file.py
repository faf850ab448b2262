"""An image file decoded with limits and checks, upright and in eight bits, or the reason why it cannot be.

The content of a file decides its format (:mod:`aral.data.file_kinds`), never its name. The size is in the header and
is checked before any pixel is decoded. Decoders accept truncated files and fill what is missing with grey or black,
so the end of the picture (:mod:`aral.data.file_structure`), checksums and the number of decoded pixels are checked
here. :mod:`aral.data.pixel_values` makes eight bits of sRGB or grey; a camera's orientation is applied; of an animation
the first frame is used.
"""

from __future__ import annotations

import io
import math
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, UnidentifiedImageError

from aral.data.file_kinds import FORMATS, HEAD, SAVE_AS, advice_for, kind_of, missing_decoder, other_image
from aral.data.file_structure import (
    JpegLayout,
    jpeg2000_size,
    jpeg_layout,
    picture_end,
    png_has_all_rows,
    png_is_intact,
    png_significant_bits,
    png_text_bytes,
    with_filled_scans,
)
from aral.data.netpbm import MOST_PLAIN_BYTES, NetpbmHeader, netpbm_samples
from aral.data.pixel_values import (
    GREY_MODES,
    Note,
    flat_colours,
    is_wide,
    needs_low_bytes,
    scaled,
    white_of,
    wide_colour,
    wide_grey,
)
from aral.data.unreadable import Reason, Refused

MAX_PIXELS = 50_000_000
MILLION, MOST_MILLIONS = 1_000_000, 178
"""Pillow refuses images of more than 178 million pixels, whatever the limit here."""

MAX_BYTES = 512 * 2**20
_MAX_TEXT_BYTES = 2**20


@dataclass(frozen=True, eq=False)
class Opened:
    """A completely decoded image file, before it is resized.

    Attributes:
        image: upright, opaque, sRGB (mode ``"RGB"``) or grey (``"L"``).
        width: of the upright image as it is in the file, in pixels.
        height: likewise.
        format: what the file really is.
        animated: it has more frames than the one that was read.
        grey: the image has no colours.
        notes: what was done to its pixels.
    """

    image: Image.Image
    width: int
    height: int
    format: str
    animated: bool
    grey: bool
    notes: frozenset[Note]


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
    """The reason for a decoder's error."""
    if isinstance(error, (Image.DecompressionBombError, MemoryError)):
        return Refused(Reason.TOO_LARGE, str(error))
    kind = kind_of(data)
    if isinstance(error, UnidentifiedImageError) and kind is not None:
        # The picture reaches its end, so it is of a kind that Pillow does not know, or its header is damaged.
        reason = Reason.UNSUPPORTED if kind in ("TIFF", "BMP") else Reason.DAMAGED
        return Refused(reason, f"begins as {kind} but cannot be understood; save it as {SAVE_AS}")
    return Refused(Reason.TRUNCATED if "truncated" in str(error) else Reason.DAMAGED, str(error))


def _checked(data: bytes) -> tuple[str, bytes]:
    """The format of a file that can be decoded and reaches its own end, and the file without what follows that."""
    kind = kind_of(data)
    if kind is None:
        other = other_image(data)
        if other is not None:
            raise Refused(Reason.UNSUPPORTED, advice_for(other))
        raise Refused(Reason.NOT_AN_IMAGE, f"none of {', '.join(FORMATS)}")
    missing = missing_decoder(kind)
    if missing is not None:
        raise Refused(Reason.UNSUPPORTED, missing)
    end = picture_end(kind, data)
    if end is None:
        raise Refused(Reason.TRUNCATED, f"begins as {kind} but ends too early")
    if kind == "PNG" and png_text_bytes(data) > _MAX_TEXT_BYTES:
        raise Refused(Reason.TOO_LARGE, f"more than {_MAX_TEXT_BYTES} bytes of text inside the {kind}")
    if kind == "PNG" and not png_is_intact(data):
        raise Refused(Reason.DAMAGED, f"a checksum inside the {kind} does not match")
    # Behind it are further pages of a TIFF, which tell that it has several, and numbers of a plain PPM.
    return kind, data if kind in ("TIFF", "PPM") else data[:end]


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise Refused(Reason.TOO_LARGE, _remedy(width, height, max_pixels))


def _open(data: bytes, max_pixels: int, enough: tuple[int, int] | None) -> Opened:
    kind, data = _checked(data)
    if kind == "PPM":
        return _open_netpbm(data, max_pixels)
    if kind == "JPEG":
        return _open_jpeg(data, max_pixels, enough)
    with Image.open(io.BytesIO(data), formats=(kind,)) as image:
        _check_size(image.width, image.height, max_pixels)
        _check_header(kind, data, image)
        # Read before loading: for a GIF of one frame it fails afterwards.
        animated = bool(getattr(image, "is_animated", False))
        wide = is_wide(image.mode) or any(";16" in str(tile.args) for tile in image.tile)
        image.load()
        if kind == "PNG" and _may_lack_rows(image) and not png_has_all_rows(data):
            raise Refused(Reason.TRUNCATED, "it has fewer pixels than its header promises")
        notes = {Note.SCALED} if wide else set()
        return _finished(image, _eight_bits(kind, data, image, wide), kind, image.size, animated, notes)


def _finished(
    image: Image.Image,
    narrow: Image.Image,
    kind: str,
    size: tuple[int, int],
    animated: bool,
    notes: set[Note],
) -> Opened:
    """A decoded image turned upright, in sRGB or grey.

    Args:
        image: as it was decoded.
        narrow: the same with eight bits a channel.
        kind: its format.
        size: width and height of the stored picture; a reduced JPEG has fewer pixels.
        animated: it has more frames.
        notes: what was done to the pixels; this may add to it.
    """
    orientation = image.getexif().get(_ORIENTATION)
    grey = image.mode in GREY_MODES
    flat, profile_ignored = flat_colours(narrow, grey)
    if profile_ignored:
        notes.add(Note.PROFILE_IGNORED)
    width, height = size[::-1] if orientation in _SIDEWAYS else size
    return Opened(_upright(flat, orientation), width, height, kind, animated, grey, frozenset(notes))


def _open_jpeg(data: bytes, max_pixels: int, enough: tuple[int, int] | None) -> Opened:
    layout = jpeg_layout(data)
    with _jpeg(data, layout) as image:
        _check_size(image.width, image.height, max_pixels)
        size = image.size
        if enough is not None:
            _reduce(image, enough)
        image.load()
        if _may_lack_data(image, layout):
            with _jpeg(with_filled_scans(data, layout), layout) as filled:
                if enough is not None:
                    _reduce(filled, enough)
                filled.load()
                if ImageChops.difference(image, filled).getbbox() is not None:
                    raise Refused(Reason.TRUNCATED, "it has fewer pixels than its header promises")
        return _finished(image, image, "JPEG", size, False, set())


def _jpeg(data: bytes, layout: JpegLayout) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=("JPEG",))
    except UnidentifiedImageError as error:
        if layout.precision != 8 or layout.frame not in (0xC0, 0xC1, 0xC2):
            raise Refused(
                Reason.UNSUPPORTED,
                f"a JPEG of {layout.precision} bits, or of a rare process; save it as {SAVE_AS}",
            ) from error
        raise


def _may_lack_data(image: Image.Image, layout: JpegLayout) -> bool:
    """Whether a decoder may have filled the end of a JPEG: it uses grey; of several scans any may be short."""
    if layout.arithmetic:
        return False
    if not layout.sequential or image.mode not in ("L", "RGB"):
        return True
    corner = image.crop((image.width - 1, image.height - 1, image.width, image.height)).convert("L")
    return abs(int(np.asarray(corner)[0, 0]) - 128) <= 2


def _may_lack_rows(image: Image.Image) -> bool:
    """Whether one of the last two rows has no value but 0, as a decoder leaves what it has no data for."""
    rows = image.crop((0, max(0, image.height - 2), image.width, image.height))
    return any(not row.any() for row in np.asarray(rows))


def _check_header(kind: str, data: bytes, image: Image.Image) -> None:
    """Refuse what the header tells before anything is decoded."""
    if kind == "JPEG2000" and jpeg2000_size(data)[:2] != image.size:
        raise Refused(Reason.DAMAGED, "its headers contradict each other about its size")
    tags = getattr(image, "tag_v2", {})
    if _DNG_VERSION in tags or (_SUB_DIRECTORIES in tags and tags.get(_SUBFILE_TYPE, 0) == 1):
        # The first directory of such a file is a small preview.
        raise Refused(Reason.UNSUPPORTED, advice_for("camera raw"))


_SUBFILE_TYPE, _BITS_PER_SAMPLE, _SUB_DIRECTORIES, _DNG_VERSION = 254, 258, 330, 50706


def _eight_bits(kind: str, data: bytes, image: Image.Image, wide: bool) -> Image.Image:
    """A loaded image with eight bits a channel; transparency, palette and profile are kept."""
    if not wide:
        return image
    declared = png_significant_bits(data) if kind == "PNG" else None
    if is_wide(image.mode):
        if kind == "TIFF":
            bits = image.tag_v2.get(_BITS_PER_SAMPLE, ())[:1]  # type: ignore[attr-defined]
            declared = bits[0] if bits and bits[0] < 16 else None
        return wide_grey(image, declared, kind == "JPEG2000" and jpeg2000_size(data)[2] < 16)
    if not needs_low_bytes(image, declared):
        return image
    lower = _low_bytes(kind, data)
    if lower is None:
        return image
    narrow = wide_colour(image, lower, declared)
    narrow.info = image.info
    return narrow


_GREY_AND_ALPHA = "LA;16B"
"""The only order of these samples that Pillow knows."""


def _low_bytes(kind: str, data: bytes) -> Image.Image | None:
    """The lower bytes of a colour image of 16 bits: decoded once more, with the byte order turned round."""
    with Image.open(io.BytesIO(data), formats=(kind,)) as image:
        turned, raw = [], ""
        for tile in image.tile:
            args = tile.args if isinstance(tile.args, tuple) else (tile.args,)
            raw = str(args[0])
            order = "L" if raw.endswith("B") else "B"
            other = ("RGBA" if raw == _GREY_AND_ALPHA else raw[:-1] + order, *args[1:])
            turned.append(tile._replace(args=other if isinstance(tile.args, tuple) else other[0]))
        image.tile = turned
        try:
            image.load()
        except ValueError:  # no such order in Pillow
            return None
        if raw == _GREY_AND_ALPHA:  # bytes of grey, then of transparency, upper ones first
            values = np.asarray(image)
            return Image.fromarray(values[..., [1, 1, 1, 3]], "RGBA")
        return image.copy()


def _open_netpbm(data: bytes, max_pixels: int) -> Opened:
    header = NetpbmHeader.of(data)
    if header is None or header.width * header.height == 0 or not 0 < header.maxval < 2**16:
        raise Refused(Reason.DAMAGED, "begins as PPM but cannot be understood")
    _check_size(header.width, header.height, max_pixels)
    if header.plain and len(data) > MOST_PLAIN_BYTES:
        raise Refused(Reason.TOO_LARGE, "a plain PPM of more than 64 MiB; save it as a binary one")
    samples = netpbm_samples(data, header)
    if samples is None:
        raise Refused(Reason.TRUNCATED, "it has fewer pixels than its header promises")
    white = white_of(int(samples.max())) if header.maxval == 65535 else header.maxval
    pixels = samples.astype(np.uint8) if white == 255 else scaled(samples, 0, white)
    image = Image.fromarray(pixels[..., 0] if header.channels == 1 else pixels)
    notes = {Note.SCALED} if header.maxval > 255 else set()
    return _finished(image, image, "PPM", image.size, False, notes)


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


def kind_of_file(path: Path) -> str | None:
    """The format of a file by its first bytes, one of :data:`FORMATS`; ``None`` for anything else."""
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            return kind_of(file.read(HEAD)) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else None
    except OSError:
        return None


def peek(path: Path) -> tuple[int, int, bool]:
    """Width and height from the header of a file, and whether it is grey; nothing is decoded.

    Raises:
        Refused: the file has no header that can be understood (``not_an_image``), or its format cannot be decoded
            (``unsupported``).
    """
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Refused(Reason.NOT_A_FILE, "a pipe, socket or device")
            head = file.read(HEAD)
            kind = kind_of(head)
            other = other_image(head) if kind is None else None
            missing = advice_for(other) if other else missing_decoder(kind) if kind else None
            if missing is not None:
                raise Refused(Reason.UNSUPPORTED, missing)
            if kind is None:
                raise Refused(Reason.NOT_AN_IMAGE, f"none of {', '.join(FORMATS)}")
            file.seek(0)
            with Image.open(file, formats=(kind,)) as image:
                return image.width, image.height, image.mode in GREY_MODES
    except Refused:
        raise
    except Exception as error:
        raise Refused(Reason.NOT_AN_IMAGE, str(error)) from error
