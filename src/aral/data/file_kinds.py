"""What a file is, by its first bytes, and what to do about an image format that is not decoded.

The names of formats are Pillow's. Each is decoded by one decoder only, the one of its name; files of any other kind
reach no decoder.
"""

from __future__ import annotations

import re
from functools import cache

from PIL import Image, features

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF", "HEIF")
"""The formats that are decoded; the last three only where a decoder is installed. MPO is JPEG with more pictures."""

SAVE_AS = "JPEG, PNG, WebP, BMP, GIF or TIFF"
"""What every image program can write."""

HEAD = 4096
"""As many bytes as :func:`kind_of` needs."""

_NETPBM = re.compile(rb"P[1-6][ \t\r\n\v\f](?:[ \t\r\n\v\f]|#[^\r\n]*[\r\n])*(?:\d|#[^\r\n]*$|$)")

_PREFIXES = (
    ("JPEG", b"\xff\xd8"),
    ("PNG", b"\x89PNG"),
    ("GIF", b"GIF8"),
    ("TIFF", b"II*\0"),
    ("TIFF", b"MM\0*"),
    ("TIFF", b"II+\0"),
    ("TIFF", b"MM\0+"),
    ("JPEG2000", b"\xff\x4f\xff\x51"),
    ("JPEG2000", b"\0\0\0\x0cjP  \r\n\x87\n"),
)

_BITMAP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)

_HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
)
_AVIF_BRANDS = frozenset({b"avif", b"avis"})

_OTHERS = (
    ("Photoshop", b"8BPS"),
    ("PDF", b"%PDF"),
    ("PostScript", b"%!PS"),
    ("PostScript", b"\xc5\xd0\xd3\xc6"),
    ("JPEG XL", b"\xff\x0a"),
    ("JPEG XL", b"\0\0\0\x0cJXL \r\n\x87\n"),
    ("JPEG XR", b"II\xbc\x01"),
    ("OpenEXR", b"\x76\x2f\x31\x01"),
    ("Radiance HDR", b"#?RADIANCE"),
    ("Radiance HDR", b"#?RGBE"),
    ("FITS", b"SIMPLE  ="),
    ("DDS", b"DDS "),
    ("QOI", b"qoif"),
    ("GIMP", b"gimp xcf"),
    ("DjVu", b"AT&TFORM"),
    ("icon", b"\0\0\1\0"),
    ("icon", b"icns"),
    ("SGI", b"\x01\xda"),
    ("camera raw", b"FUJIFILMCCD-RAW"),
    ("camera raw", b"IIRO"),
    ("camera raw", b"IIRS"),
    ("camera raw", b"IIU\0"),
    ("camera raw", b"FOVb"),
)
_SVG = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*|<!DOCTYPE[^>]*>\s*)*<svg[\s>]", re.DOTALL
)
_PCX = re.compile(rb"\x0a[\x00-\x05]\x01[\x01\x02\x04\x08]")
_FLOAT_MAP = re.compile(rb"P[fF7]\s+(?:\d|WIDTH|#)")


def kind_of(data: bytes) -> str | None:
    """The format of an image file by its first bytes, one of :data:`FORMATS`; ``None`` for anything else."""
    for kind, prefix in _PREFIXES:
        if data.startswith(prefix):
            return None if _disguised(data) else kind
    if data.startswith(b"RIFF") and len(data) > 8 and b"WEBP".startswith(data[8:12]):
        return "WEBP"
    if data.startswith(b"BM") and int.from_bytes(data[14:18], "little") in _BITMAP_HEADERS:
        return "BMP"
    if _NETPBM.match(data[:HEAD]):
        return "PPM"
    brands = _brands(data)
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIF" if brands & _HEIF_BRANDS else None


def _disguised(data: bytes) -> str | None:
    """The name of a format that begins as another one."""
    if data.startswith(b"\xff\xd8\xff\xf7"):
        return "JPEG-LS"
    return "camera raw" if data.startswith(b"II*\0") and data[8:10] == b"CR" else None


def _brands(data: bytes) -> set[bytes]:
    """The brands of an ISO base media file."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(data[:4], "big"), HEAD)
    return {data[8:12], *(data[at : at + 4] for at in range(16, end, 4))}


def other_image(data: bytes) -> str | None:
    """The name of an image format that is never decoded, of a file that :func:`kind_of` does not know."""
    for name, prefix in _OTHERS:
        if data.startswith(prefix):
            return name
    if _PCX.match(data):
        return "PCX"
    if data.endswith(b"TRUEVISION-XFILE.\0"):
        return "TGA"
    if data[128:132] == b"DICM":
        return "DICOM"
    if b"crx " in _brands(data):
        return "camera raw"
    if _SVG.match(data[:HEAD]):
        return "SVG"
    return "float or PAM" if _FLOAT_MAP.match(data[:HEAD]) else _disguised(data)


def advice_for(name: str) -> str:
    """What to do with an image of a format that is not decoded."""
    return f"{name} images are not supported; save it as {SAVE_AS}"


@cache
def missing_decoder(kind: str) -> str | None:
    """What to install to read a format; ``None`` if it can be read.

    HEIF needs pillow-heif, JPEG 2000 and AVIF a Pillow that was built with them, as its wheels are.
    """
    if kind == "HEIF" and not _register_heif():
        return f'HEIC images need the extra heif: pip install "aral[heif]"; or save it as {SAVE_AS}'
    feature = {"JPEG2000": "jpg_2000", "AVIF": "avif", "WEBP": "webp"}.get(kind)
    if feature is not None and not features.check(feature):
        return f"this Pillow was built without {kind}: pip install --upgrade pillow; or save it as {SAVE_AS}"
    return None


def _register_heif() -> bool:
    """Add the decoder of pillow-heif to Pillow; False if it is not installed."""
    if "HEIF" in Image.OPEN:
        return True
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener(thumbnails=False)
    return True
