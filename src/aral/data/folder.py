"""Read folders of image files as squares of one size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import torch

from aral.data.dataset import check_memory
from aral.data.decode import MAX_PIXELS, Channels, decode_all
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
    """

    images: ImageSet
    paths: tuple[str, ...]
    formats: tuple[str, ...]
    first_frames: tuple[str, ...]
    scaled: tuple[str, ...]
    profiles_ignored: tuple[str, ...]
    unreadable: tuple[Unreadable, ...]


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
) -> FolderImages:
    """The named files of a folder, in this order; all of them may be unreadable.

    Args:
        path: the folder.
        names: the files, relative to it with ``/``.
        side: and the others as for :func:`read_image_folder`.

    Raises:
        BadInput: the images exceed the memory.
    """
    check_memory(len(names) * channels * side * side, path)
    pixels = torch.empty((len(names), channels, side, side), dtype=torch.uint8)
    rows = pixels.numpy()
    paths: list[str] = []
    formats: list[str] = []
    first_frames: list[str] = []
    noted: dict[Note, list[str]] = {note: [] for note in Note}
    unreadable: list[Unreadable] = []
    for name, result in decode_all(path, names, side, channels, max_pixels):
        if isinstance(result, Unreadable):
            unreadable.append(result)
            continue
        rows[len(paths)] = result.pixels
        paths.append(name)
        formats.append(result.format)
        if result.animated:
            first_frames.append(name)
        for note in result.notes:
            noted[note].append(name)
    return FolderImages(
        ImageSet.of(pixels[: len(paths)]),
        tuple(paths),
        tuple(formats),
        tuple(first_frames),
        tuple(noted[Note.SCALED]),
        tuple(noted[Note.PROFILE_IGNORED]),
        tuple(unreadable),
    )


def _no_images(path: Path, unreadable: Sequence[Unreadable]) -> BadInput:
    shown = "; ".join(f"{bad.path}: {bad.reason}" for bad in unreadable[:3])
    return BadInput(
        f"{path} holds no readable image{f'; left out: {shown}' if shown else ''}.",
        f"Give a folder with {SAVE_AS} files.",
    )
