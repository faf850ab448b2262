"""Is an image file all there? Decoders forgive a missing end; an import must not.

Pillow accepts a JPEG without its end marker, and reads PNG pixels without their checksums.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator


def kind_of(data: bytes) -> str | None:
    """The format by the first bytes, as far as they are there; BMP's two letters prove too little."""
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
