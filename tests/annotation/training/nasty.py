"""A folder as people have them: names of all kinds on good images, and files that are none."""

from __future__ import annotations

import csv
import io
import os
import struct
import zlib
from contextlib import suppress
from pathlib import Path

from PIL import Image

from aral.annotation.formats import unescape_cell
from tests.annotation.training.conftest import class_of, save_digits

NAMES = (
    "-rf first.png",
    ' it\'s "quoted", and more .png',
    "çà é 猫 🐈 مرحبا.png",
    "two\nlines\tand a tab.png",
    "x" * 251 + ".png",
    "=1+1.png",
    os.fsdecode(b"caf\xe9\xff.png"),
    "deep er/-sub/a b.png",
    "no ending",
)

BROKEN = {
    "-empty.jpg": "not_an_image",
    "cut 'short' é.jpg": "truncated",
    'text "called" image.png': "not_an_image",
    "huge header.png": "too_large",
}
"""Files that cannot be read, with their reasons."""


def fill(folder: Path, count: int, first: int = 0) -> dict[str, int]:
    """Save digits, the first of them under the names above, and the broken files; gives class by name.

    A name that the file system does not allow is left out.
    """
    save_digits(folder, count, first)
    truth = {}
    odd = list(NAMES)
    for path in sorted(folder.iterdir()):
        name, number = path.name, class_of(path.name)
        if odd:
            with suppress(OSError):
                target = folder / odd.pop()
                target.parent.mkdir(parents=True, exist_ok=True)
                name = str(path.rename(target).relative_to(folder))
        truth[name] = number
    _break(folder)
    return truth


def _break(folder: Path) -> None:
    whole = io.BytesIO()
    Image.effect_noise((64, 64), 80).save(whole, "JPEG")
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    contents = (
        b"",
        whole.getvalue()[:900],
        b"this is text",
        b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(b"")),
    )
    for name, content in zip(BROKEN, contents, strict=True):
        (folder / name).write_bytes(content)


def _chunk(kind: bytes, body: bytes) -> bytes:
    """A part of a PNG file."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of every file outside the project."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in files
        if path.relative_to(folder).parts[0] != ".aral"
    }


def table(file: Path) -> list[dict[str, str]]:
    """A CSV file of ours as it was meant, whatever its cells hold."""
    text = file.read_bytes().decode("utf-8", "surrogateescape")
    rows = csv.DictReader(io.StringIO(text, newline=""))
    return [{column: unescape_cell(cell) for column, cell in row.items()} for row in rows]
