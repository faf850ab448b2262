"""Where the picture inside a file ends, by the structure of its format; nothing is decoded.

Decoders accept files that were cut short, and phones append clips to their pictures. So the end is found from the
picture's own structure: what follows it does not matter, and a file that ends before it is truncated.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from aral.data.netpbm import NetpbmHeader

_VALUE_BYTES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
}


MOST_PARTS = 2**19
"""A file with more parts (chunks, blocks, markers) counts as cut: walking through them would take too long."""


def picture_end(kind: str, data: bytes) -> int | None:
    """The position after the last byte of the (first) picture.

    Args:
        kind: one of :data:`aral.data.file_kinds.FORMATS`.
        data: the whole file.

    Returns:
        ``None`` if the file ends before the picture does.
    """
    try:
        return _ENDS[kind](data)
    except (struct.error, IndexError):
        return None


# JPEG


@dataclass(frozen=True)
class JpegLayout:
    """The parts of a JPEG file.

    Attributes:
        frame: the second byte of the frame's marker, 0xC0 to 0xCF, which tells the process; 0 without a frame.
        precision: bits of a sample.
        scan_ends: where the compressed data of each scan ends.
        end: after the end marker; ``None`` if there is none.
    """

    frame: int
    precision: int
    scan_ends: tuple[int, ...]
    end: int | None

    @property
    def arithmetic(self) -> bool:
        """Arithmetic coding, where a complete scan may leave out its last bytes."""
        return self.frame in (0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)

    @property
    def sequential(self) -> bool:
        """One scan holds all of every block."""
        return self.frame in (0xC0, 0xC1) and len(self.scan_ends) == 1


_IN_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""The marker that ends the data of a scan: neither a stuffed 0xFF nor a restart."""

_MARKER = re.compile(rb"\xff[^\x00\xff]")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_END_OF_IMAGE, _START_OF_SCAN = 0xD9, 0xDA


def jpeg_layout(data: bytes) -> JpegLayout:
    """Walk the markers of a JPEG file, through the data of its scans, to the end marker."""
    frame, precision, scans = 0, 8, list[int]()
    position = 2
    for _ in range(MOST_PARTS):
        found = _MARKER.search(data, position)
        if found is None:
            break
        marker, position = data[found.start() + 1], found.end()
        if marker == _END_OF_IMAGE:
            return JpegLayout(frame, precision, tuple(scans), position if scans else None)
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:
            continue
        if position + 2 >= len(data):
            break
        if marker in _FRAMES:
            frame, precision = marker, data[position + 2]
        position += int.from_bytes(data[position : position + 2], "big")
        if marker == _START_OF_SCAN:
            end = _IN_SCAN.search(data, position)
            if end is None:
                break
            position = end.start()
            scans.append(position)
    return JpegLayout(frame, precision, tuple(scans), None)


def with_filled_scans(data: bytes, layout: JpegLayout) -> bytes:
    """The file with further bytes after the data of each scan.

    A decoder that has all pixels ignores them; one that ran out of data, and filled the rest of the picture with
    grey, makes pixels of them. So a picture whose pixels change lacks data.
    """
    ends = (0, *layout.scan_ends, layout.end or len(data))
    return _FILLER.join(data[start:end] for start, end in pairwise(ends))


_FILLER = bytes(range(17, 251, 13)) * 8


def _jpeg_end(data: bytes) -> int | None:
    return jpeg_layout(data).end


# PNG


def png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of the contents of each complete chunk, up to the end of the picture."""
    position = 8
    for _ in range(MOST_PARTS):
        if position + 12 > len(data):
            return
        start = position + 8
        end = start + int.from_bytes(data[position : position + 4], "big")
        if end + 4 > len(data):
            return
        name = data[position + 4 : start]
        yield name, start, end
        if name == b"IEND":
            return
        position = end + 4


def _png_end(data: bytes) -> int | None:
    return next((end + 4 for name, _, end in png_chunks(data) if name == b"IEND"), None)


def png_is_intact(data: bytes) -> bool:
    """Whether the checksums of a PNG match."""
    view = memoryview(data)
    return all(
        zlib.crc32(view[start - 4 : end]) == int.from_bytes(view[end : end + 4], "big")
        for _, start, end in png_chunks(data)
    )


def png_text_bytes(data: bytes) -> int:
    """Size of the comments of a PNG."""
    return sum(end - start for name, start, end in png_chunks(data) if name in (b"tEXt", b"zTXt", b"iTXt"))


def png_significant_bits(data: bytes) -> int | None:
    """The bits of a sample that hold information, by the chunk sBIT; ``None`` without one."""
    for name, start, end in png_chunks(data):
        if name == b"sBIT" and end > start:
            return max(data[start:end])
    return None


def png_has_all_rows(data: bytes) -> bool:
    """Whether the compressed pixels of a PNG make as many bytes as its header promises."""
    width, height, bits, colour, _, _, interlace = struct.unpack_from(">IIBBBBB", data, 16)
    pixel = bits * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 1)
    wanted = sum(
        rows * (1 + (columns * pixel + 7) // 8)
        for columns, rows in (_adam7(width, height) if interlace else [(width, height)])
        if columns
    )
    stream, found = zlib.decompressobj(), 0
    view = memoryview(data)
    for name, start, end in png_chunks(data):
        rest = bytes(view[start:end]) if name == b"IDAT" else b""
        while rest and not stream.eof and found < wanted:
            found += len(stream.decompress(rest, 2**20))
            rest = stream.unconsumed_tail
    return found >= wanted


def _adam7(width: int, height: int) -> list[tuple[int, int]]:
    """Columns and rows of the seven passes of an interlaced PNG."""
    passes = (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    )
    return [(-((x - width) // dx), -((y - height) // dy)) for x, y, dx, dy in passes]


# WebP, GIF, BMP, PPM


def _webp_end(data: bytes) -> int | None:
    (size,) = struct.unpack_from("<I", data, 4)
    end, position = 8 + size, 12
    if end > len(data):
        return None
    for _ in range(MOST_PARTS):
        if position + 8 > end:
            return end
        (chunk,) = struct.unpack_from("<I", data, position + 4)
        position += 8 + chunk
        if position > end:
            return None
        position += chunk % 2
    return None


_GIF_BLOCK = re.compile(rb"[\x21\x2c\x3b]")


def _gif_end(data: bytes) -> int | None:
    position, parts = 13 + _colours(data[10]), 0
    while (block := _GIF_BLOCK.search(data, position)) is not None:
        position = block.end()
        if block.group() == b";":
            return position
        position += 10 + _colours(data[position + 8]) if block.group() == b"," else 1
        while size := data[position]:
            position += 1 + size
            parts += 1
            if parts > MOST_PARTS:
                return None
        position += 1
        parts += 1
    return None


def _colours(flags: int) -> int:
    """Bytes of a colour table."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _bmp_end(data: bytes) -> int | None:
    """By the size of the pixels; the size in the header of the file is often wrong."""
    offset, header = struct.unpack_from("<II", data, 10)
    if header == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = size = 0
    else:
        width, height, _, bits, compression, size = struct.unpack_from("<iiHHII", data, 18)
    if compression in (0, 3, 6):
        size = (abs(width) * bits + 31) // 32 * 4 * abs(height)
    end = offset + size
    return end if end <= len(data) else None


def _ppm_end(data: bytes) -> int | None:
    header = NetpbmHeader.of(data)
    if header is None:
        return None
    return header.end if header.end <= len(data) else None


# TIFF


@dataclass(frozen=True)
class _Directory:
    """The first image file directory of a TIFF."""

    data: bytes
    order: Literal["<", ">"]
    big: bool

    def entries(self) -> tuple[dict[int, tuple[int, int, int]], int]:
        """Type, count and position of the values by tag, and where the directory and its values end.

        Values of private tags may lie anywhere.

        Raises:
            struct.error: the file ends before it.
        """
        first, offset, step = (8, "Q", 20) if self.big else (4, "I", 12)
        (position,) = struct.unpack_from(self.order + offset, self.data, first)
        (count,) = struct.unpack_from(self.order + ("Q" if self.big else "H"), self.data, position)
        if count > 2**16:
            raise struct.error("too many entries")
        position += 8 if self.big else 2
        found: dict[int, tuple[int, int, int]] = {}
        end = position + count * step + (8 if self.big else 4)
        if end > len(self.data):
            raise struct.error("the directory is cut")
        for at in range(position, position + count * step, step):
            tag, kind, number = struct.unpack_from(self.order + "HH" + offset, self.data, at)
            size = number * _VALUE_BYTES.get(kind, 1)
            start = at + step - (8 if self.big else 4)
            if size > (8 if self.big else 4):
                (start,) = struct.unpack_from(self.order + offset, self.data, start)
            found[tag] = kind, number, start
            if tag < _FIRST_PRIVATE_TAG or tag == _ICC_TAG:
                end = max(end, start + size)
        return found, end

    def values(self, entry: tuple[int, int, int] | None, default: int) -> tuple[int, ...]:
        """The whole numbers of an entry."""
        if entry is None or entry[0] not in _WHOLE:
            return (default,)
        kind, count, start = entry
        if not 0 < count <= MOST_PARTS:
            raise struct.error("too many values")
        return struct.unpack_from(f"{self.order}{count}{_WHOLE[kind]}", self.data, start)


_WHOLE = {1: "B", 3: "H", 4: "I", 16: "Q"}
_FIRST_PRIVATE_TAG, _ICC_TAG = 32768, 34675


def _tiff_end(data: bytes) -> int | None:
    """The end of the first directory, its values and its strips or tiles.

    A file with fewer strips than the height needs, or shorter ones without compression, counts as cut.
    """
    order: Literal["<", ">"] = "<" if data[:2] == b"II" else ">"
    directory = _Directory(data, order, data[2:4] in (b"+\0", b"\0+"))
    entries, end = directory.entries()

    def one(tag: int, default: int) -> int:
        return directory.values(entries.get(tag), default)[0]

    width, height, samples = one(256, 0), one(257, 0), one(277, 1)
    bits, planes = one(258, 1), samples if one(284, 1) == 2 else 1
    tiled = 324 in entries
    if tiled:
        across, down = one(322, 1) or 1, one(323, 1) or 1
        pieces = -(-width // across) * -(-height // down) * planes
    else:
        across, down = width, min(one(278, height) or height, height) or 1
        pieces = -(-height // down) * planes
    offsets = directory.values(entries.get(324 if tiled else 273), 0)
    sizes = directory.values(entries.get(325 if tiled else 279), 0)
    if len(offsets) < pieces:
        return None
    if one(259, 1) == 1 and one(262, 0) != 6:
        per_plane = pieces // planes
        row = (across * bits * (samples // planes) + 7) // 8
        last = down if tiled else height - (per_plane - 1) * down
        sizes = tuple(row * (last if (n + 1) % per_plane == 0 else down) for n in range(pieces))
    end = max(end, *(offset + size for offset, size in zip(offsets[:pieces], sizes, strict=False)), 0)
    return end if end <= len(data) else None


# JPEG 2000


def _jpeg2000_end(data: bytes) -> int | None:
    if data.startswith(b"\xff\x4f"):
        return _codestream_end(data, 0)
    for name, start, _ in _boxes(data, 0, len(data)):
        if name == b"jp2c":
            return _codestream_end(data, start)
    return None


def _codestream_end(data: bytes, position: int) -> int | None:
    """After the end marker of a codestream: the main header's markers, then tile-parts with their lengths."""
    position += 2
    for _ in range(MOST_PARTS):
        (marker,) = struct.unpack_from(">H", data, position)
        if marker == 0xFFD9:
            return position + 2
        (length,) = struct.unpack_from(">H", data, position + 2)
        if marker == 0xFF90:
            (part,) = struct.unpack_from(">I", data, position + 6)
            if part == 0:  # the last tile-part reaches to the end of the codestream
                end = data.find(b"\xff\xd9", position)
                return None if end < 0 else end + 2
            position += max(part, 14)
        elif marker < 0xFF00:
            return None
        else:
            position += 2 + length
    return None


def jpeg2000_size(data: bytes) -> tuple[int, int, int]:
    """Width, height and bits of a sample in the codestream, which its box may contradict.

    Raises:
        struct.error: there is none.
    """
    start = data.find(b"\xff\x4f\xff\x51")
    right, bottom, left, top = struct.unpack_from(">IIII", data, start + 8 if start >= 0 else len(data))
    return right - left, bottom - top, (data[start + 42] & 0x7F) + 1


# AVIF and HEIF


def _boxes(data: bytes, position: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of the contents of each box; the last one may end after ``stop``."""
    for _ in range(MOST_PARTS):
        if position + 8 > stop:
            return
        size, name = struct.unpack_from(">I4s", data, position)
        start = position + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start)
            start += 8
        end = stop if size == 0 else position + size
        if end < start:
            return
        yield name, start, end
        position = end


_KNOWN_BOXES = frozenset(
    {b"ftyp", b"meta", b"mdat", b"moov", b"free", b"skip", b"wide", b"uuid", b"styp", b"sidx"}
)


def _iso_end(data: bytes) -> int | None:
    """After the last complete box that a picture may have; the data of all its items must lie before."""
    end, found, needed = 0, set[bytes](), 0
    for name, start, stop in _boxes(data, 0, len(data)):
        if name not in _KNOWN_BOXES or stop > len(data):
            break
        end = stop
        found.add(name)
        if name == b"meta":
            needed = max(needed, _items_end(data, start + 4, stop))
    # The places of the frames of a sequence are not looked up: all of its data must be there.
    whole = {b"moov", b"mdat"} <= found if b"moov" in found else b"meta" in found
    return max(end, needed) if whole and needed <= len(data) else None


def _items_end(data: bytes, start: int, stop: int) -> int:
    """The end of the last item of a picture that lies in the file, by its box of locations."""
    last = 0
    for name, position, _ in _boxes(data, start, stop):
        if name == b"iloc":
            last = max(last, *(end for end in _extent_ends(data, position)), 0)
    return last


def _extent_ends(data: bytes, position: int) -> Iterator[int]:
    version = data[position]
    sizes = data[position + 4 : position + 6]
    offset_size, length_size, base_size = sizes[0] >> 4, sizes[0] & 15, sizes[1] >> 4
    index_size = sizes[1] & 15 if version in (1, 2) else 0
    position += 6

    def number(size: int) -> int:
        nonlocal position
        if position + size > len(data):
            raise struct.error("a box is cut")
        position += size
        return int.from_bytes(data[position - size : position], "big")

    parts = 0
    for _ in range(number(4 if version == 2 else 2)):
        number(4 if version == 2 else 2)
        method = number(2) & 15 if version in (1, 2) else 0
        number(2)
        base = number(base_size)
        for _ in range(number(2)):
            number(index_size)
            offset, length = number(offset_size), number(length_size)
            parts += 1
            if parts > MOST_PARTS:
                raise struct.error("too many parts")
            if method == 0:
                yield base + offset + length


_ENDS: dict[str, Callable[[bytes], int | None]] = {
    "JPEG": _jpeg_end,
    "PNG": _png_end,
    "WEBP": _webp_end,
    "GIF": _gif_end,
    "BMP": _bmp_end,
    "PPM": _ppm_end,
    "TIFF": _tiff_end,
    "JPEG2000": _jpeg2000_end,
    "AVIF": _iso_end,
    "HEIF": _iso_end,
}
