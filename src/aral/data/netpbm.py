"""Netpbm files (PBM, PGM, PPM), plain and binary: header and samples.

Pillow decodes plain files, and those whose largest sample is not 255, value by value in Python: a minute for a large
photo. Format: https://netpbm.sourceforge.net/doc/.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt16

_SPACE = rb"(?:[ \t\r\n\v\f]|#[^\r\n]*[\r\n])+"
_NUMBER = rb"(\d{1,9})"
_SIZE = re.compile(rb"P([1-6])" + _SPACE + _NUMBER + _SPACE + _NUMBER)
_MAXVAL = re.compile(_SPACE + _NUMBER)
_PLAIN_SAMPLES = re.compile(rb"[\d \t\r\n\v\f]*")
_COMMENT = re.compile(rb"#[^\r\n]*")

MOST_PLAIN_BYTES = 2**26
"""A plain file that is larger is refused: its numbers take several times its size."""


@dataclass(frozen=True)
class NetpbmHeader:
    """The header of a Netpbm file.

    Attributes:
        variant: the digit of its first two bytes, 1 to 6.
        width: in pixels.
        height: likewise.
        maxval: the sample that is white, 1 to 65535; 1 for PBM.
        start: where the samples begin.
    """

    variant: int
    width: int
    height: int
    maxval: int
    start: int

    @staticmethod
    def of(data: bytes) -> NetpbmHeader | None:
        """Read the header; ``None`` if the file has none, or ends inside it.

        A comment of more than 64 KiB is too long.
        """
        head = data[: 2**16]
        size = _SIZE.match(head)
        if size is None:
            return None
        variant, width, height = (int(number) for number in size.groups())
        position, maxval = size.end(), 1
        if variant not in (1, 4):
            found = _MAXVAL.match(head, position)
            if found is None:
                return None
            position, maxval = found.end(), int(found.group(1))
        return NetpbmHeader(variant, width, height, maxval, position + 1)

    @property
    def plain(self) -> bool:
        """The samples are written as decimal numbers."""
        return self.variant <= 3

    @property
    def channels(self) -> int:
        """1 for grey and black-and-white, 3 for colour."""
        return 3 if self.variant in (3, 6) else 1

    @property
    def end(self) -> int:
        """The position after the last sample; in a plain file at least as many bytes are needed."""
        samples = self.width * self.height * self.channels
        if self.variant == 4:
            return self.start + (self.width + 7) // 8 * self.height
        if self.plain:
            return self.start + max(0, samples if self.variant == 1 else 2 * samples - 1)
        return self.start + samples * (1 if self.maxval < 256 else 2)


def netpbm_samples(data: bytes, header: NetpbmHeader) -> UInt16[np.ndarray, "H W C"] | None:
    """The samples of a Netpbm file, 0..maxval; larger ones are cut to maxval. ``None`` if some are missing.

    In a PBM 1 is black, so its samples are turned round.
    """
    shape = header.height, header.width, header.channels
    count = header.height * header.width * header.channels
    if header.variant == 4:
        packed = np.frombuffer(data, np.uint8, header.end - header.start, header.start)
        bits = np.unpackbits(packed.reshape(header.height, -1), axis=1, count=header.width)
        return (1 - bits).astype(np.uint16).reshape(shape)
    if not header.plain:
        kind = np.dtype(np.uint8 if header.maxval < 256 else ">u2")
        samples = np.frombuffer(data, kind, count, header.start).astype(np.uint16)
    else:
        samples = _plain_samples(data[header.start - 1 :], header.variant == 1)[:count].astype(np.uint16)
        if samples.size < count:
            return None
        samples = 1 - samples if header.variant == 1 else samples
    return np.minimum(samples, np.uint16(header.maxval)).reshape(shape)


def _plain_samples(text: bytes, digits: bool) -> np.ndarray:
    """The numbers, or the single digits, up to the first character that is neither number, blank nor comment."""
    found = _PLAIN_SAMPLES.match(_COMMENT.sub(b"", text))
    numbers = b"" if found is None else found.group()
    if digits:
        return np.frombuffer(b"".join(numbers.split()), np.uint8) & 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return np.clip(np.fromstring(numbers.decode("ascii"), np.int64, sep=" "), 0, 65535)
