"""Folders of image files: one folder a class, or no classes at all."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64

from aral.data.dataset import DataSet
from aral.data.decode import MAX_PIXELS, Channels, Fit, decode_all
from aral.data.memory import check_memory
from aral.data.scan import scan
from aral.data.unreadable import Unreadable
from aral.errors import BadInput
from aral.randomness import Stream
from aral.types import ImageSet, LabelledSet
from aral.words import counted

_LOG = logging.getLogger(__name__)
_TEST_FOLDERS = ("test", "val")


@dataclass(frozen=True, eq=False)
class FolderImages:
    """The images of a folder, and what was left out of it.

    Attributes:
        images: N×C×side×side, in the order of the paths.
        paths: N, relative to the folder with ``/``; names that are not UTF-8 carry surrogates, and
            ``os.fsencode`` gives their bytes back.
        class_folders: N, the first folder of each path, empty for a file that lies directly in the folder.
        formats: N, what each file really is, whatever its name says.
        first_frames: paths of the animations, of which the first frame was taken.
        unreadable: everything else that was found, with reasons, in the order of the paths.
    """

    images: ImageSet
    paths: tuple[str, ...]
    class_folders: tuple[str, ...]
    formats: tuple[str, ...]
    first_frames: tuple[str, ...]
    unreadable: tuple[Unreadable, ...]


def read_image_folder(
    path: Path,
    side: int,
    *,
    channels: Channels = 3,
    fit: Fit = Fit.CROP,
    max_pixels: int = MAX_PIXELS,
    follow_links: bool = False,
) -> FolderImages:
    """Every readable image below a folder as a square; bad files are listed and never stop the import.

    Args:
        path: the folder; any depth and any file names, the content decides what is an image.
        side: height and width of the result.
        channels: 3 for colour, 1 for grey.
        fit: cut the middle out (the shorter side becomes ``side``), or stretch.
        max_pixels: larger images are refused by their header, before they are decoded.
        follow_links: take symbolic links that lead out of the folder.

    Raises:
        BadInput: the folder is missing, holds no readable image, or its images exceed the memory.
    """
    if side < 1:
        raise BadInput(f"Images cannot be {side} pixels wide.", "Give a side of 1 or more.")
    if not path.is_dir():
        raise BadInput(f"There is no folder {path}.", "Give the folder that holds the images.")
    found = scan(path, follow_links)
    unreadable = list(found.left_out)
    check_memory(len(found.files) * channels * side * side, path)
    pixels = torch.empty((len(found.files), channels, side, side), dtype=torch.uint8)
    rows = pixels.numpy()
    paths: list[str] = []
    formats: list[str] = []
    first_frames: list[str] = []
    for name, result in decode_all(path, found.files, side, channels, fit, max_pixels):
        if isinstance(result, Unreadable):
            unreadable.append(result)
            continue
        rows[len(paths)] = result.pixels
        paths.append(name)
        formats.append(result.format)
        if result.animated:
            first_frames.append(name)
    if not paths:
        raise _no_images(path, unreadable)
    return FolderImages(
        ImageSet.of(pixels[: len(paths)]),
        tuple(paths),
        tuple(name.split("/")[0] if "/" in name else "" for name in paths),
        tuple(formats),
        tuple(first_frames),
        tuple(sorted(unreadable, key=lambda item: item.path)),
    )


def folder_dataset(
    path: Path, side: int, test_share: float, stream: Stream, *, channels: Channels = 3
) -> DataSet:
    """A data set from a folder of class folders, named after the folder.

    With ``train/`` and ``test/`` (or ``val/``) inside, these are the two parts; otherwise a share of the
    images, chosen by a random number of their position, becomes the test set. Files outside class folders
    and unreadable files are left out; the note counts them and the log names the first.

    Args:
        path: the folder.
        side: height and width of the images.
        test_share: the part of the images, between 0 and 1, kept for testing when no folder says so.
        stream: decides which ones.
        channels: 3 for colour, 1 for grey.

    Raises:
        BadInput: the folder is missing, has no images or fewer than two classes, or a class in the test
            folder is unknown to the training folder.
    """
    if not 0 < test_share < 1:
        raise BadInput(f"The test share must lie between 0 and 1, not {test_share}.", "Try 0.2.")
    if not path.is_dir():
        raise BadInput(f"There is no folder {path}.", "Give the folder that holds the class folders.")
    test_folder = next((path / part for part in _TEST_FOLDERS if (path / part).is_dir()), None)
    if test_folder is not None and (path / "train").is_dir():
        return _given_split(path, test_folder, side, channels)
    read = _in_classes(path, read_image_folder(path, side, channels=channels))
    count = len(read.positions)
    test_size = round(test_share * count)
    if not 0 < test_size < count:
        raise BadInput(
            f"A test share of {test_share} of {counted(count, 'image')} leaves a part empty.",
            "Add images, or make a train and a test folder.",
        )
    order = np.argsort(stream.uniform(np.arange(count, dtype=np.int64)), kind="stable").astype(np.int64)
    pool, test = np.sort(order[test_size:]), np.sort(order[:test_size])
    classes = read.classes(read.class_names)
    pixels = read.folder.images.pixels
    if (pixels[read.positions] == pixels[read.positions[0]]).all():
        raise BadInput(
            f"The {count} images of {path} are all the same.",
            "Give images that differ: nothing can be learned.",
        )
    return DataSet(
        path.resolve().name,
        ImageSet.of(pixels[read.positions[pool]]),
        classes[pool],
        LabelledSet(ImageSet.of(pixels[read.positions[test]]), classes[test], len(read.class_names)),
        read.class_names,
        _note(read.left_out),
    )


@dataclass(frozen=True, eq=False)
class _InClasses:
    """The images that lie in class folders: their rows, and how many files were left out."""

    path: Path
    folder: FolderImages
    positions: Int64[np.ndarray, " n"]
    left_out: int

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(sorted({self.folder.class_folders[row] for row in self.positions}))

    def classes(self, names: tuple[str, ...]) -> Int64[np.ndarray, " n"]:
        """The class of each image, an index into ``names``."""
        index = {name: number for number, name in enumerate(names)}
        unknown = sorted(set(self.class_names) - set(index))
        if unknown:
            raise BadInput(
                f"{self.path} has class folders that the training folder lacks: {', '.join(unknown)}.",
                "Use the same class folders in both.",
            )
        return np.array([index[self.folder.class_folders[row]] for row in self.positions], dtype=np.int64)


def _in_classes(path: Path, folder: FolderImages, least: int = 2) -> _InClasses:
    """Drop the images outside class folders; refuse fewer than ``least`` classes."""
    positions = np.flatnonzero(np.array(folder.class_folders) != "").astype(np.int64)
    stray = len(folder.paths) - positions.size
    read = _InClasses(path, folder, positions, len(folder.unreadable) + stray)
    if len(read.class_names) < least:
        raise BadInput(
            f"{path} has images in {counted(len(read.class_names), 'class folder')} "
            f"({', '.join(read.class_names) or 'none'}) and {stray} outside any; two classes are needed.",
            "Make one folder a class, such as cats/ and dogs/, and put the images into them.",
        )
    if read.left_out:
        first = next((f"{bad.path}: {bad.reason}" for bad in folder.unreadable), "a file outside any class")
        _LOG.warning("%s: %d files left out, the first: %s", path, read.left_out, first)
    return read


def _given_split(path: Path, test_folder: Path, side: int, channels: Channels) -> DataSet:
    """The two parts as the folders give them."""
    pool_folder = path / "train"
    pool = _in_classes(pool_folder, read_image_folder(pool_folder, side, channels=channels))
    test = _in_classes(test_folder, read_image_folder(test_folder, side, channels=channels), least=1)
    names = pool.class_names
    return DataSet(
        path.resolve().name,
        ImageSet.of(pool.folder.images.pixels[pool.positions]),
        pool.classes(names),
        LabelledSet(ImageSet.of(test.folder.images.pixels[test.positions]), test.classes(names), len(names)),
        names,
        _note(pool.left_out + test.left_out),
    )


def _note(left_out: int) -> str:
    return f"{counted(left_out, 'file')} left out" if left_out else ""


def _no_images(path: Path, unreadable: list[Unreadable]) -> BadInput:
    shown = "; ".join(f"{bad.path}: {bad.reason}" for bad in unreadable[:3])
    return BadInput(
        f"{path} holds no readable image{f'; left out: {shown}' if shown else ''}.",
        "Give a folder with JPEG, PNG, WebP, BMP, GIF or TIFF files.",
    )
