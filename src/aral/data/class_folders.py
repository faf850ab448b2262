"""Data sets from folders whose sub-folders are the classes, with or without splits such as ``train/``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from aral.data.class_names import class_names_of_folders
from aral.data.contradictions import contradicting_files
from aral.data.dataset import DataSet, Limits, files_at, kept_of
from aral.data.decode import Channels, decode_image
from aral.data.decoded_files import all_same, chosen_rows
from aral.data.folder import FolderImages, Reader, read_files, read_image_folder
from aral.data.folder_layout import FolderLayout, Split, image_files, read_layout, split_of
from aral.data.image_arrays import TEST_SHARE
from aral.data.scan import Found, scan
from aral.data.unreadable import Refused, Unreadable
from aral.errors import BadInput
from aral.plural import counted
from aral.randomness import Stream
from aral.types import ImageSet, LabelledSet

_LOG = logging.getLogger(__name__)


def folder_dataset(
    path: Path,
    side: int,
    test_share: float | None,
    stream: Stream,
    *,
    channels: Channels = 3,
    limits: Limits | None = None,
    classes: Collection[str] = (),
    reader: Reader | None = None,
) -> DataSet:
    """A data set from a folder of class folders, named after the folder.

    :func:`aral.data.folder_layout.read_layout` finds classes and splits. With a split for training and one for
    testing (or else for validation) these are pool and test set; otherwise a share of the images, drawn by a random
    number of their position, becomes the test set. Files outside class folders, in a split that is not used, and
    unreadable files are left out; the note counts them and the log names the first. The log lists the folders that
    were read as splits, as classes, and those that were ignored. A picture that lies, byte for byte, in the folders of
    two classes is left out as well: the log names the first. ``classes.json`` beside the folders gives the classes
    their names.

    Of given splits, only as many files are decoded as ``limits`` allow: those that :meth:`DataSet.limited` would
    keep, and one of each class that is not among them, to find out whether the class has a readable image.

    Args:
        path: the folder.
        side: height and width of the images.
        test_share: the part of the images, between 0 and 1, for the test set when there are no splits; ``None``: 0.2.
        stream: draws which ones.
        channels: 3 for colour, 1 for grey.
        limits: how many images are kept; ``None`` for all.
        classes: names of the class folders; by default all that are named neither like a split nor like a date.
        reader: reads the files, for instance as features instead of squares of ``side`` pixels.

    Raises:
        BadInput: a limit exceeds what there is, the folder is missing, has no images or fewer than two
            classes, or a class of the test split is unknown to the training split.
    """
    if test_share is not None and not 0 < test_share < 1:
        raise BadInput(f"The test share must lie between 0 and 1, not {test_share}.", "Try 0.2.")
    if not path.is_dir():
        raise BadInput(f"There is no folder {path}.", "Give the folder that holds the class folders.")
    limits = limits or Limits(None, None, stream)
    read = reader or partial(read_files, side=side, channels=channels)
    listed = _Listed.of(path, classes)
    splits = {listed.layout.split_of(name) for name in listed.in_classes}
    test_split = next((split for split in _TEST_SPLITS if split in splits), None)
    if listed.layout.splits or listed.layout.ignored:
        _LOG.warning("%s: %s", path, " ".join(listed.layout.sentences()))
    if test_split is not None and "train" in splits:
        if test_share is not None:
            _LOG.warning("%s: the test share is not used: the test set is the split %s", path, test_split)
        data, contradicting = _given_split(listed, test_split, read, limits)
    else:
        data, contradicting = _own_split(
            listed, read, TEST_SHARE if test_share is None else test_share, stream
        )
    original = class_names_of_folders(path)
    data = replace(data, class_names=tuple(original.get(name, name) for name in data.class_names))
    pool_size, test_size = limits.pool_size, limits.test_size
    if contradicting:  # of a given split only so many files were read as were wanted
        pool_size, test_size = (
            None if size is None else min(size, count)
            for size, count in ((pool_size, len(data.pool)), (test_size, len(data.test.images)))
        )
    return data.limited(pool_size, test_size, limits.stream)


_TEST_SPLITS: tuple[Split, ...] = ("test", "validation")


@dataclass(frozen=True, eq=False)
class _Listed:
    """The files of a folder, of which only a few headers have been read."""

    path: Path
    found: Found
    layout: FolderLayout
    in_classes: tuple[str, ...]

    @staticmethod
    def of(path: Path, classes: Collection[str]) -> _Listed:
        found = _files(path)
        layout = read_layout(image_files(path, found.files), within=path.resolve().name, classes=classes)
        inside = tuple(name for name in found.files if layout.in_class_folder(name))
        return _Listed(path, found, layout, inside)

    def of_split(self, split: Split) -> list[str]:
        """The files of the class folders of a split."""
        return [name for name in self.in_classes if self.layout.split_of(name) == split]


def _files(path: Path) -> Found:
    """As :func:`aral.data.scan.scan`, and a split that is a symbolic link out of the folder is followed."""
    found = scan(path)
    linked = [
        each.name
        for each in sorted(path.iterdir())
        if each.is_symlink() and each.is_dir() and split_of(each.name)
    ]
    files, left_out = list(found.files), list(found.left_out)
    for split in linked:
        if any(name.startswith(f"{split}/") for name in files):
            continue
        inside = scan(path / split)
        left_out = [bad for bad in left_out if bad.path != split]
        left_out += [Unreadable(f"{split}/{bad.path}", bad.reason, bad.detail) for bad in inside.left_out]
        files += [f"{split}/{name}" for name in inside.files]
    return Found(tuple(sorted(files)), tuple(sorted(left_out, key=lambda bad: bad.path)))


def _own_split(listed: _Listed, reader: Reader, test_share: float, stream: Stream) -> tuple[DataSet, int]:
    """Pool and test set drawn at random; and how many contradicting files were left out."""
    path = listed.path
    if not listed.in_classes:
        read_image_folder(path, 1)  # raises, naming the files, if none can be read
    (folder,), contradicting = _consistent(listed, [reader(path, listed.in_classes)])
    names = _class_names(listed, folder.paths)
    read = _checked(_InClasses(listed, folder, names, _left_out(listed), contradicting))
    count = len(folder.paths)
    test_size = round(test_share * count)
    if not 0 < test_size < count:
        raise BadInput(
            f"A test share of {test_share} of {counted(count, 'image')} leaves pool or test set empty.",
            "Add images, or make a train and a test folder.",
        )
    order = np.argsort(stream.uniform(np.arange(count, dtype=np.int64)), kind="stable").astype(np.int64)
    pool, test = np.sort(order[test_size:]), np.sort(order[:test_size])
    classes = read.classes(read.class_names)
    if all_same(folder.images.pixels):
        raise BadInput(
            f"The {count} images of {path} are all the same.",
            "Give images that differ: nothing can be learned.",
        )
    data = DataSet(
        path.resolve().name,
        folder.chosen(pool),
        classes[pool],
        LabelledSet(folder.chosen(test), classes[test], len(read.class_names)),
        read.class_names,
        _note(read.left_out),
        pool_files=files_at(folder.paths, pool),
    )
    return data, contradicting


def _consistent(listed: _Listed, reads: Sequence[FolderImages]) -> tuple[list[FolderImages], int]:
    """The images without pictures that lie in the folders of two classes; and how many those are."""
    names = contradicting_files(listed.path, reads, listed.layout.class_of)
    if not names:
        return list(reads), 0
    first = min(names)
    _LOG.warning(
        "%s: %s left out that are in the folders of two classes, such as %s (%s)",
        listed.path,
        counted(len(names), "file"),
        first,
        listed.layout.class_of(first),
    )
    return [read.without(names) for read in reads], len(names)


def _class_names(listed: _Listed, paths: Sequence[str]) -> tuple[str, ...]:
    """The classes of these files, sorted."""
    return tuple(sorted({name for name in map(listed.layout.class_of, paths) if name is not None}))


def _left_out(listed: _Listed, *splits: Split) -> int:
    """How many files are not read: those outside class folders, and those of other splits than these."""
    read = len(listed.in_classes) if not splits else sum(len(listed.of_split(split)) for split in splits)
    return len(listed.found.left_out) + len(listed.found.files) - read


@dataclass(frozen=True, eq=False)
class _InClasses:
    """The images in class folders, all classes, and how many other files there are: outside of the class folders, and
    in the folders of two classes."""

    listed: _Listed
    folder: FolderImages
    class_names: tuple[str, ...]
    outside: int
    contradicting: int

    @property
    def left_out(self) -> int:
        return len(self.folder.unreadable) + self.outside + self.contradicting

    def classes(self, names: tuple[str, ...]) -> Int64[np.ndarray, " n"]:
        """The class of each image, an index into ``names``."""
        index = {name: number for number, name in enumerate(names)}
        unknown = sorted(set(self.class_names) - set(index))
        if unknown:
            raise BadInput(
                f"{self.listed.path} has class folders for testing that the training folder lacks: "
                f"{', '.join(unknown)}.",
                "Use the same class folders in both.",
            )
        found = map(self.listed.layout.class_of, self.folder.paths)
        return np.array([index[name] for name in found if name is not None], dtype=np.int64)


def _checked(read: _InClasses, least: int = 2) -> _InClasses:
    """Refuse fewer than ``least`` classes; log what was left out."""
    path, found, ignored = read.listed.path, read.listed.found, read.listed.layout.ignored
    if len(read.class_names) < least:
        ignored_folders = "".join(
            f" {counted(each.files, 'file')} in {each.folder or '.'}, {each.reason}." for each in ignored
        )
        both = f" {counted(read.contradicting, 'picture is', 'pictures are')} in the folders of two classes."
        both = both if read.contradicting else ""
        raise BadInput(
            f"{path} has images in {counted(len(read.class_names), 'class folder')} "
            f"({', '.join(read.class_names) or 'none'}) and {read.outside} outside any; "
            f"two classes are needed.{both}{ignored_folders}",
            "Make one folder a class, such as cats/ and dogs/, and put the images into them. "
            "A folder that is named like a date or a split must be renamed.",
        )
    if (
        others := read.left_out - read.contradicting
    ):  # pictures in two classes are named where they were found
        bad = (*found.left_out, *read.folder.unreadable)
        first = f"{bad[0].path}: {bad[0].reason}" if bad else "a file outside any class"
        _LOG.warning("%s: %s left out, the first: %s", path, counted(others, "file"), first)
    if read.folder.scaled:
        _LOG.warning(
            "%s: %s with more than 8 bits per channel scaled to 8 by the range of the values",
            path,
            counted(len(read.folder.scaled), "image"),
        )
    if read.folder.profiles_ignored:
        _LOG.warning(
            "%s: unusable colour profile of %s ignored, the first: %s",
            path,
            counted(len(read.folder.profiles_ignored), "image"),
            read.folder.profiles_ignored[0],
        )
    return read


def _given_split(listed: _Listed, test_split: Split, reader: Reader, limits: Limits) -> tuple[DataSet, int]:
    """Pool and test set from the splits, of which no more is decoded than is kept; and how many contradicting files
    were left out."""
    path, stream, class_of = listed.path, limits.stream, listed.layout.class_of
    parts = [
        _read_split(path, files, class_of, reader, size, stream.child(name))
        for files, name, size in (
            (listed.of_split("train"), "pool", limits.pool_size),
            (listed.of_split(test_split), "test", limits.test_size),
        )
    ]
    images, contradicting = _consistent(listed, [part.images for part in parts])
    outside = ((_left_out(listed, "train", test_split), contradicting), (0, 0))
    pool, test = (
        _InClasses(listed, kept, part.class_names, *others)
        for kept, part, others in zip(images, parts, outside, strict=True)
    )
    names = _checked(pool).class_names
    _checked(test, least=1)
    kept = (kept_of(part.kept, part.files, name) for part, name in zip(parts, ("pool", "test"), strict=True))
    data = DataSet(
        path.resolve().name,
        pool.folder.images,
        pool.classes(names),
        LabelledSet(test.folder.images, test.classes(names), len(names)),
        names,
        "; ".join(words for words in (_note(pool.left_out + test.left_out), *kept) if words),
        pool_files=pool.folder.paths,
    )
    return data, contradicting


def _note(left_out: int) -> str:
    return f"{counted(left_out, 'file')} left out" if left_out else ""


@dataclass(frozen=True, eq=False)
class _SplitImages:
    """The images of a split that were kept.

    Attributes:
        images: those that were kept, in the order of their paths.
        class_names: every class folder with a readable image, whether one of its images was kept or not, sorted.
        files: how many files lie in class folders, kept or not.
    """

    images: FolderImages
    class_names: tuple[str, ...]
    files: int

    @property
    def kept(self) -> int:
        """How many images were kept."""
        return len(self.images.paths)


def _read_split(
    path: Path,
    files: Sequence[str],
    class_of: Callable[[str], str | None],
    reader: Reader,
    size: int | None,
    stream: Stream,
) -> _SplitImages:
    """Read ``size`` of the named files, or all readable ones if there are fewer.

    Files are chosen by a random number of their position before anything is decoded; the next one replaces an
    unreadable one.

    Args:
        path: the folder that the files are relative to.
        files: files in class folders, sorted.
        class_of: the class folder of a file.
        reader: reads them.
        size: how many; ``None`` reads all.
        stream: draws the random numbers.

    Raises:
        BadInput: the images exceed the memory.
    """
    order = np.arange(len(files), dtype=np.int64)
    if size is not None:
        order = np.argsort(stream.uniform(order), kind="stable")
    wanted = len(files) if size is None else min(max(size, 0), len(files))
    reads: list[FolderImages] = []
    start, kept = 0, 0
    while kept < wanted and start < len(files):
        end = min(start + wanted - kept, len(files))
        reads.append(reader(path, [files[index] for index in np.sort(order[start:end])]))
        start, kept = end, kept + len(reads[-1].paths)
    images = _in_order(reads or [reader(path, [])])
    known = {name for name in map(class_of, images.paths) if name is not None}
    names = {*known, *_other_classes(path, files, class_of, known)}
    return _SplitImages(images, tuple(sorted(names)), len(files))


def _in_order(reads: Sequence[FolderImages]) -> FolderImages:
    """The images of several reads in the order of their paths."""
    paths = [name for read in reads for name in read.paths]
    formats = [name for read in reads for name in read.formats]
    order = sorted(range(len(paths)), key=paths.__getitem__)
    places = [read.place for read in reads if read.place is not None]
    place = places[0] if places else None
    pixels = chosen_rows([read.images.pixels for read in reads], np.array(order, dtype=np.int64), place)
    unreadable = tuple(bad for read in reads for bad in read.unreadable)
    return FolderImages(
        ImageSet.of(pixels),
        tuple(paths[row] for row in order),
        tuple(formats[row] for row in order),
        tuple(sorted(name for read in reads for name in read.first_frames)),
        tuple(sorted(name for read in reads for name in read.scaled)),
        tuple(sorted(name for read in reads for name in read.profiles_ignored)),
        tuple(sorted(unreadable, key=lambda item: item.path)),
        place,
    )


def _other_classes(
    path: Path, files: Sequence[str], class_of: Callable[[str], str | None], known: set[str]
) -> Iterator[str]:
    """The class folders with a readable image that are not known yet; one image of each is decoded."""
    found = set(known)
    for name in files:
        folder = class_of(name)
        if folder is not None and folder not in found and _readable(path / name):
            found.add(folder)
            yield folder


def _readable(file: Path) -> bool:
    try:
        decode_image(file, 1)
    except Refused:
        return False
    return True
