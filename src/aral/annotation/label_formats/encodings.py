"""The encoding of a label file: UTF-8, UTF-16 with a byte order mark, or Windows-1252 where bytes are not UTF-8.

Bytes that are not UTF-8 stay in the text as surrogates, as in file names, until each cell is read. So an export,
whose paths have the bytes of the file names, is not changed, and a label in Windows-1252 is read as one.
"""

from __future__ import annotations

import codecs
import re

from aral.plural import counted

_FOREIGN = re.compile("[\udc80-\udcff]")
_UTF_32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)


def decoded(content: bytes) -> str:
    """The text of a file; bytes that are not UTF-8 become surrogates.

    Raises:
        ValueError: it holds zero bytes, as UTF-16 without a byte order mark does.
    """
    if content.startswith(_UTF_32):
        return content.decode("utf-32")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    if b"\0" in content:
        raise ValueError("it holds zero bytes, as UTF-16 does; save it as UTF-8")
    return content.decode("utf-8-sig", "surrogateescape")


def is_foreign(text: str) -> bool:
    """Whether a text has bytes that are not UTF-8."""
    return _FOREIGN.search(text) is not None


def from_windows(text: str) -> str | None:
    """A text with bytes that are not UTF-8, read as Windows-1252; None without any, or if one has no meaning there."""
    if not is_foreign(text):
        return None
    try:
        return text.encode("utf-8", "surrogateescape").decode("cp1252")
    except (UnicodeEncodeError, UnicodeDecodeError):
        return None


class WindowsTexts:
    """Reads the cells of one file, and counts the rows in which bytes are not UTF-8."""

    def __init__(self) -> None:
        self._rows: set[int] = set()
        self._utf8_rows: set[int] = set()
        self._example = ""

    def read(self, cell: str, row: int, *, is_path: bool = False) -> str:
        """A cell in which Windows-1252 is read; a path is left as it is, because it may be a name in these bytes."""
        if cell.isascii():
            return cell
        read = from_windows(cell)
        if not is_foreign(cell):
            self._utf8_rows.add(row)
            return cell
        self._rows.add(row)
        self._example = self._example or (read or "")
        return cell if read is None or is_path else read

    def notes(self, name: str) -> tuple[str, ...]:
        """Which encoding was assumed, and in how many rows that matters; empty for a file in UTF-8."""
        if not self._rows:
            return ()
        example = f", such as {self._example[:60]!r}" if self._example else ""
        mixed = counted(len(self._utf8_rows), "other row is", "other rows are")
        others = f" {mixed} UTF-8: the file mixes encodings." if self._utf8_rows - self._rows else ""
        return (
            f"{name} is not UTF-8: {counted(len(self._rows), 'row is', 'rows are')} read as Windows-1252"
            f"{example}.{others} If names look wrong, save it as UTF-8.",
        )
