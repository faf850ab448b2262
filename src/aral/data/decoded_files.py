"""Decoded image files, kept in a file that is mapped into memory: for folders that are larger than memory.

A folder for each list of image files holds ``pixels.bin``, one row of bytes for each file that could be decoded, and
``decoded.jsonl``, what is known of each file, some hundred files a line. A line is written after the rows of its
files are on the disk, so a process that is killed leaves at most rows without a line, which are written again. The next
process decodes what is missing. All processes that map the file share its pages, which the system may drop.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
import torch
from jaxtyping import Int64, Shaped, UInt8
from torch import Tensor

from aral.data.decode import Channels, Decoded, FileFacts, decode_all
from aral.data.pixel_values import Note
from aral.data.unreadable import Reason, Unreadable
from aral.errors import BadInput, RunFailed
from aral.lock import FolderLock
from aral.plural import counted
from aral.types import Pixels

PIXELS, DECODED = "pixels.bin", "decoded.jsonl"
FORMAT = 1
"""Of the files, and of how images are decoded; another one gets a folder of its own."""

FROM_BYTES = 1 << 30
"""Fewer bytes of pixels are decoded into memory, and not kept."""

_FILES_AT_ONCE, _BYTES_AT_ONCE = 1024, 64 << 20
_LOG = logging.getLogger(__name__)

Facts: TypeAlias = FileFacts | Unreadable


def keep_decoded(
    cache: Path,
    path: Path,
    names: Sequence[str],
    side: int,
    channels: Channels,
    max_pixels: int,
    progress: Callable[[int, int], None],
) -> tuple[UInt8[Tensor, "N C side side"], list[Facts], Path]:
    """The squares of image files, mapped from a file; only files that were not decoded before are decoded.

    The files are recognised by folder, name, size and time of change. A second process waits for the first.

    Args:
        cache: the folder that holds such folders.
        path: the folder of the images.
        names: of the files, relative to it.
        side: and the others as for :func:`aral.data.decode.decode_all`.
        channels: likewise.
        max_pixels: likewise.
        progress: given the number of files that are done, and of all.

    Returns:
        the pixels of the files that could be decoded, in their order; what is known of each file; the folder.

    Raises:
        BadInput: the folder cannot be made.
        RunFailed: the disk is full or refuses; what was decoded is kept.
    """
    about = [
        FORMAT,
        str(path.resolve()),
        side,
        channels,
        max_pixels,
        [_version(path, name) for name in names],
    ]
    digest = hashlib.sha256(json.dumps(about).encode()).hexdigest()
    shown = "".join(letter for letter in path.resolve().name if letter.isalnum() or letter in "-_")[:40]
    place = cache / f"{shown or 'images'}-{side}-{digest[:16]}"
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(
            f"The folder {place} for decoded images cannot be made: {error.strerror}.",
            "Set XDG_CACHE_HOME to a folder that can be written.",
        ) from error
    shape = (channels, side, side)
    lock = FolderLock(place, noun="Folder of decoded images", seconds=float("inf"))
    try:
        facts, recorded = _recorded(place, names, int(np.prod(shape)))
        if len(facts) < len(names):
            if not facts:
                _LOG.warning("%s: the decoded images are kept in %s", path, place)
            todo = decode_all(path, names[len(facts) :], side, channels, max_pixels)
            with _Writer(place, facts, recorded, len(names), shape) as writer:
                for _, result in todo:
                    writer.add(result)
                    progress(len(facts), len(names))
    except OSError as error:
        raise RunFailed(
            f"Decoded images cannot be written to {place}: {error.strerror}.",
            "Free some space, then run the same command again; what was decoded is kept.",
        ) from error
    finally:
        lock.release()
    return mapped(place / PIXELS, (_rows(facts), *shape)), facts, place


def mapped(file: Path | BinaryIO, shape: tuple[int, ...]) -> UInt8[Tensor, "N C H W"]:
    """A file of bytes as a tensor that must not be written to; its pages are read when they are used."""
    if 0 in shape:
        return torch.empty(shape, dtype=torch.uint8)
    # A mapping that could be written to would count as memory of the process, and be refused where it is larger.
    rows = np.memmap(file, np.uint8, "r", shape=shape)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(rows)


def chosen_rows(
    parts: Sequence[Shaped[Tensor, "_ C H W"]], rows: Int64[np.ndarray, " n"], place: Path | None
) -> Pixels:
    """Some images of several tensors as one.

    Args:
        parts: the images, numbered through.
        rows: the numbers of those that are wanted, in this order. Successive ones of a single part are not copied.
        place: the folder of decoded files that the images come from: what would take :data:`FROM_BYTES` of memory is
            copied to a file without a name on this disk, which lasts as long as the tensor. None: into memory.

    Raises:
        RunFailed: the disk is full or refuses.
    """
    first, *others = parts
    if not others and rows.size and (np.diff(rows) == 1).all():
        return first[int(rows[0]) : int(rows[-1]) + 1]
    row_shape = tuple(first.shape[1:])
    row_bytes = int(np.prod(row_shape))
    if place is None or rows.size * row_bytes < FROM_BYTES:
        return (torch.cat(list(parts)) if others else first)[torch.from_numpy(rows)]
    starts = np.cumsum([0, *(len(part) for part in parts)])
    step = max(1, _BYTES_AT_ONCE // row_bytes)
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            for begin in range(0, rows.size, step):
                wanted = rows[begin : begin + step]
                copied = torch.empty((wanted.size, *row_shape), dtype=torch.uint8)
                for part, start, end in zip(parts, starts, starts[1:], strict=False):
                    inside = (wanted >= start) & (wanted < end)
                    copied[torch.from_numpy(inside)] = part[torch.from_numpy(wanted[inside] - start)]
                file.write(copied.numpy().tobytes())
            file.flush()
            return mapped(file, (rows.size, *row_shape))
    except OSError as error:
        raise RunFailed(
            f"{counted(rows.size, 'image')} cannot be copied to {place}: {error.strerror}.",
            "Free some space, then run the same command again.",
        ) from error


def all_same(pixels: Tensor) -> bool:
    """Whether all images are the same; compared by blocks, and no further than the first that differs."""
    step = max(1, _BYTES_AT_ONCE // max(1, pixels[0].numel()))
    blocks = (pixels[start : start + step] for start in range(0, len(pixels), step))
    return all(bool((block == pixels[0]).all()) for block in blocks)


def _version(path: Path, name: str) -> tuple[str, int, int]:
    """What tells a file from another: name, size, time of change."""
    try:
        status = (path / name).stat()
    except OSError:
        return os.fsencode(name).hex(), -1, -1
    return os.fsencode(name).hex(), status.st_size, status.st_mtime_ns


def _rows(facts: Sequence[Facts]) -> int:
    return sum(isinstance(each, FileFacts) for each in facts)


def _recorded(place: Path, names: Sequence[str], row_bytes: int) -> tuple[list[Facts], int]:
    """What is known of the files that were decoded before, and how many bytes say it; a last line that was not written
    whole is left out."""
    try:
        *lines, last = (content := (place / DECODED).read_bytes()).split(b"\n")
        size = (place / PIXELS).stat().st_size
    except FileNotFoundError:
        return [], 0
    facts: list[Facts] = []
    try:
        for line in lines:
            for each in json.loads(line):
                facts.append(_facts(names[len(facts)], each))
    except (ValueError, IndexError, KeyError, TypeError):
        _LOG.warning("%s is damaged: the images are decoded anew", place / DECODED)
        return [], 0
    if size < _rows(facts) * row_bytes:
        _LOG.warning("%s is cut short: the images are decoded anew", place / PIXELS)
        return [], 0
    return facts, len(content) - len(last)


def _facts(name: str, entry: list[str]) -> Facts:
    kind, *others = entry
    if kind == "unreadable":
        reason, detail = others
        return Unreadable(name, Reason(reason), detail)
    return FileFacts(kind, others[:1] == ["animated"], frozenset(map(Note, others[1:])))


def _entry(result: Facts) -> list[str]:
    if isinstance(result, Unreadable):
        return ["unreadable", result.reason, result.detail]
    frames = "animated" if result.animated else "still"
    return [result.format, frames, *sorted(result.notes)]


class _Writer:
    """Appends rows and what is known of the files, some hundred files at a time.

    Args:
        place: the folder.
        facts: of the files that are done; grows.
        recorded: the bytes of the file that says so.
        files: how many there are in all.
        shape: of a row.
    """

    def __init__(
        self, place: Path, facts: list[Facts], recorded: int, files: int, shape: tuple[int, int, int]
    ) -> None:
        self._facts = facts
        row_bytes = int(np.prod(shape))
        self._files_at_once = max(1, min(_FILES_AT_ONCE, _BYTES_AT_ONCE // row_bytes))
        self._waiting: list[Decoded | Unreadable] = []
        rows = _rows(facts)
        needed, free = (files - len(facts)) * row_bytes, shutil.disk_usage(place).free
        if needed > free:
            raise RunFailed(
                f"The decoded images take {needed / 2**30:.1f} GiB more of {place}; {free / 2**30:.1f} GiB are free.",
                "Free some space, choose a smaller side, or set XDG_CACHE_HOME to a folder on a larger disk.",
            )
        self._pixels = _opened(place / PIXELS, rows * row_bytes)
        self._decoded = _opened(place / DECODED, recorded)

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        try:
            if kind is None or issubclass(kind, KeyboardInterrupt):
                self._flush()
        finally:
            self._pixels.close()
            self._decoded.close()

    def add(self, result: Decoded | Unreadable) -> None:
        """The next file."""
        self._waiting.append(result)
        self._facts.append(result.facts if isinstance(result, Decoded) else result)
        if len(self._waiting) >= self._files_at_once:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        rows = [each.pixels for each in self._waiting if isinstance(each, Decoded)]
        if rows:
            self._pixels.write(np.stack(rows).tobytes())
        _sync(self._pixels)
        entries = [_entry(each) for each in self._facts[-len(self._waiting) :]]
        self._decoded.write(json.dumps(entries).encode() + b"\n")
        _sync(self._decoded)
        self._waiting = []


def _opened(path: Path, size: int) -> BinaryIO:
    """A file to append to, cut to a size."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.ftruncate(descriptor, size)
    os.lseek(descriptor, size, os.SEEK_SET)
    return os.fdopen(descriptor, "wb")


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fdatasync(file.fileno())
