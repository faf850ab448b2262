"""Folders of class folders as data sets."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from aral.data.dataset import DataSet, Limits, kept_of
from aral.data.decode import Channels
from aral.data.folder import FolderImages, read_image_folder
from aral.data.part_folder import read_part
from aral.errors import BadInput
from aral.randomness import Stream
from aral.types import ImageSet, LabelledSet
from aral.words import counted

_LOG = logging.getLogger(__name__)
_TEST_FOLDERS = ("test", "val")


def folder_dataset(
    path: Path,
    side: int,
    test_share: float,
    stream: Stream,
    *,
    channels: Channels = 3,
    limits: Limits | None = None,
) -> DataSet:
    """A data set from a folder of class folders, named after the folder.

    With ``train/`` and ``test/`` (or ``val/``) inside, these are the two parts; otherwise a share of the
    images, chosen by a random number of their position, becomes the test set. Files outside class folders
    and unreadable files are left out; the note counts them and the log names the first.

    Of given parts, only as many files are decoded as ``limits`` ask for: those that
    :meth:`DataSet.limited` would keep, but for one more of each class that is not among them, which tells that
    the class exists.

    Args:
        path: the folder.
        side: height and width of the images.
        test_share: the part of the images, between 0 and 1, kept for testing when no folder says so.
        stream: decides which ones.
        channels: 3 for colour, 1 for grey.
        limits: how many images are kept; ``None`` keeps all.

    Raises:
        BadInput: a limit exceeds what there is, the folder is missing, has no images or fewer than two
            classes, or a class in the test folder is unknown to the training folder.
    """
    if not 0 < test_share < 1:
        raise BadInput(f"The test share must lie between 0 and 1, not {test_share}.", "Try 0.2.")
    if not path.is_dir():
        raise BadInput(f"There is no folder {path}.", "Give the folder that holds the class folders.")
    limits = limits or Limits(None, None, stream)
    test_folder = next((path / part for part in _TEST_FOLDERS if (path / part).is_dir()), None)
    if test_folder is not None and (path / "train").is_dir():
        data = _given_split(path, test_folder, side, channels, limits)
    else:
        data = _own_split(path, side, test_share, stream, channels)
    return data.limited(limits.pool_size, limits.test_size, limits.stream)


def _own_split(path: Path, side: int, test_share: float, stream: Stream, channels: Channels) -> DataSet:
    """The two parts by chance."""
    folder = read_image_folder(path, side, channels=channels)
    rows = np.flatnonzero(np.array(folder.class_folders) != "").astype(np.int64)
    names = tuple(sorted({folder.class_folders[row] for row in rows}))
    read = _checked(_InClasses(path, folder, rows, names, len(folder.paths) - rows.size))
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
    """The images that lie in class folders: their rows, all classes, and how many files lie outside."""

    path: Path
    folder: FolderImages
    positions: Int64[np.ndarray, " n"]
    class_names: tuple[str, ...]
    stray: int

    @property
    def left_out(self) -> int:
        return len(self.folder.unreadable) + self.stray

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


def _checked(read: _InClasses, least: int = 2) -> _InClasses:
    """Refuse fewer than ``least`` classes; log what was left out."""
    if len(read.class_names) < least:
        raise BadInput(
            f"{read.path} has images in {counted(len(read.class_names), 'class folder')} "
            f"({', '.join(read.class_names) or 'none'}) and {read.stray} outside any; two classes are needed.",
            "Make one folder a class, such as cats/ and dogs/, and put the images into them.",
        )
    if read.left_out:
        bad = read.folder.unreadable
        first = f"{bad[0].path}: {bad[0].reason}" if bad else "a file outside any class"
        _LOG.warning("%s: %d files left out, the first: %s", read.path, read.left_out, first)
    return read


def _given_split(path: Path, test_folder: Path, side: int, channels: Channels, limits: Limits) -> DataSet:
    """The two parts as the folders give them, no more decoded than is kept."""
    stream = limits.stream
    parts = (
        read_part(path / "train", side, channels, limits.pool_size, stream.child("pool")),
        read_part(test_folder, side, channels, limits.test_size, stream.child("test")),
    )
    pool, test = (
        _InClasses(part.path, part.images, np.arange(len(part.images.paths)), part.class_names, part.stray)
        for part in parts
    )
    names = _checked(pool).class_names
    _checked(test, least=1)
    kept = (kept_of(part.kept, part.files, name) for part, name in zip(parts, ("pool", "test"), strict=True))
    return DataSet(
        path.resolve().name,
        pool.folder.images,
        pool.classes(names),
        LabelledSet(test.folder.images, test.classes(names), len(names)),
        names,
        "; ".join(words for words in (_note(pool.left_out + test.left_out), *kept) if words),
    )


def _note(left_out: int) -> str:
    return f"{counted(left_out, 'file')} left out" if left_out else ""
