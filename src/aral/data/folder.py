"""Read folders of image files as squares of one size, into memory or into a file that is mapped into memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Int64

from aral.data import decoded_files
from aral.data.dataset import check_memory
from aral.data.decode import MAX_PIXELS, Channels, Decoded, FileFacts, decode_all
from aral.data.decoded_files import Facts, chosen_rows, keep_decoded
from aral.data.file_kinds import SAVE_AS
from aral.data.pixel_values import Note
from aral.data.scan import scan
from aral.data.unreadable import Unreadable
from aral.errors import BadInput
from aral.types import ImageSet


@dataclass(frozen=True, eq=False)
class FolderImages:
    """The images of a folder, and what was left out of it.

    Attributes:
        images: N×C×side×side, or N×F×1×1 features, in the order of the paths.
        paths: N, relative to the folder with ``/``; names that are not UTF-8 carry surrogates, and
            ``os.fsencode`` gives their bytes back.
        formats: N, by content, not by name.
        first_frames: paths of the animations, of which the first frame was read.
        scaled: paths of images with more than eight bits a channel, which were scaled to eight.
        profiles_ignored: paths of images whose colour profile cannot be used.
        unreadable: all other files, with reasons, in the order of the paths.
        place: the folder with the file that the images are mapped from; None: they are in memory.
    """

    images: ImageSet
    paths: tuple[str, ...]
    formats: tuple[str, ...]
    first_frames: tuple[str, ...]
    scaled: tuple[str, ...]
    profiles_ignored: tuple[str, ...]
    unreadable: tuple[Unreadable, ...]
    place: Path | None = None

    def chosen(self, rows: Int64[np.ndarray, " n"]) -> ImageSet:
        """Some of the images, numbered anew, as :func:`aral.data.decoded_files.chosen_rows` copies them."""
        return ImageSet.of(chosen_rows([self.images.pixels], rows, self.place))

    def without(self, names: Set[str]) -> FolderImages:
        """The same without these files."""
        rows = [row for row, name in enumerate(self.paths) if name not in names]

        def kept(paths: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(name for name in paths if name not in names)

        return replace(
            self,
            images=self.chosen(np.array(rows, dtype=np.int64)),
            paths=kept(self.paths),
            formats=tuple(self.formats[row] for row in rows),
            first_frames=kept(self.first_frames),
            scaled=kept(self.scaled),
            profiles_ignored=kept(self.profiles_ignored),
        )


Reader: TypeAlias = Callable[[Path, Sequence[str]], FolderImages]
"""Reads the named files of a folder, in this order; all of them may be unreadable."""


def read_image_folder(
    path: Path,
    side: int,
    *,
    channels: Channels = 3,
    max_pixels: int = MAX_PIXELS,
    follow_links: bool = False,
) -> FolderImages:
    """Every readable image below a folder as a square; bad files are listed and never stop the import.

    Args:
        path: the folder; any depth and any file names, the content decides what is an image.
        side: height and width of the result; the shorter side is brought to it and the centre is cut out.
        channels: 3 for colour, 1 for grey.
        max_pixels: larger images are refused by their header, before they are decoded.
        follow_links: follow symbolic links that lead out of the folder.

    Raises:
        BadInput: the folder is missing, holds no readable image, or its images exceed the memory.
    """
    if side < 1:
        raise BadInput(f"Images cannot be {side} pixels wide.", "Give a side of 1 or more.")
    if not path.is_dir():
        raise BadInput(f"There is no folder {path}.", "Give the folder that holds the images.")
    found = scan(path, follow_links)
    read = read_files(path, found.files, side, channels, max_pixels)
    unreadable = tuple(sorted((*found.left_out, *read.unreadable), key=lambda item: item.path))
    if not read.paths:
        raise _no_images(path, unreadable)
    return replace(read, unreadable=unreadable)


def read_files(
    path: Path,
    names: Sequence[str],
    side: int,
    channels: Channels = 3,
    max_pixels: int = MAX_PIXELS,
    cache: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> FolderImages:
    """The named files of a folder, in this order; all of them may be unreadable.

    Args:
        path: the folder.
        names: the files, relative to it with ``/``.
        side: and the others as for :func:`read_image_folder`.
        channels: likewise.
        max_pixels: likewise.
        cache: where images that take :data:`aral.data.decoded_files.FROM_BYTES` and more are kept in a file, which is
            mapped into memory, and decoded once; None: in memory, whatever their size.
        progress: given the number of files that are done, and of all.

    Raises:
        BadInput: the images exceed the memory, or the cache cannot be made.
        RunFailed: the cache cannot be written.
    """
    needed = len(names) * channels * side * side
    place: Path | None = None
    facts: list[Facts]
    if cache is not None and needed >= decoded_files.FROM_BYTES:
        pixels, facts, place = keep_decoded(cache, path, names, side, channels, max_pixels, progress)
    else:
        check_memory(needed, path)
        pixels = torch.empty((len(names), channels, side, side), dtype=torch.uint8)
        facts, count = [], 0
        for _, result in decode_all(path, names, side, channels, max_pixels):
            if isinstance(result, Decoded):
                pixels.numpy()[count] = result.pixels
                count += 1
            facts.append(result.facts if isinstance(result, Decoded) else result)
            progress(len(facts), len(names))
        pixels = pixels[:count]
    read = [(name, each) for name, each in zip(names, facts, strict=True) if isinstance(each, FileFacts)]
    return FolderImages(
        ImageSet.of(pixels),
        tuple(name for name, _ in read),
        tuple(each.format for _, each in read),
        tuple(name for name, each in read if each.animated),
        tuple(name for name, each in read if Note.SCALED in each.notes),
        tuple(name for name, each in read if Note.PROFILE_IGNORED in each.notes),
        tuple(each for each in facts if isinstance(each, Unreadable)),
        place,
    )


def _no_images(path: Path, unreadable: Sequence[Unreadable]) -> BadInput:
    shown = "; ".join(f"{bad.path}: {bad.reason}" for bad in unreadable[:3])
    return BadInput(
        f"{path} holds no readable image{f'; left out: {shown}' if shown else ''}.",
        f"Give a folder with {SAVE_AS} files.",
    )
