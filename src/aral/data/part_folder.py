"""One split of a data set, such as ``train/``: files are chosen by name before anything is decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from aral.data.decode import Channels, decode_image
from aral.data.folder import FolderImages, class_folder, read_files
from aral.data.unreadable import Refused
from aral.randomness import Stream
from aral.types import ImageSet


@dataclass(frozen=True, eq=False)
class PartFolder:
    """The images of a part that were kept.

    Attributes:
        path: the folder that the paths of the images are relative to.
        images: those that were kept, in the order of their paths.
        class_names: every class folder with a readable image, whether one of its images was kept or not, sorted.
        files: how many files lie in class folders, kept or not.
    """

    path: Path
    images: FolderImages
    class_names: tuple[str, ...]
    files: int

    @property
    def kept(self) -> int:
        """How many images were kept."""
        return len(self.images.paths)


def read_part(
    path: Path,
    files: Sequence[str],
    class_of: Callable[[str], str | None],
    side: int,
    channels: Channels,
    size: int | None,
    stream: Stream,
) -> PartFolder:
    """Read ``size`` of the named files, or all readable ones if there are fewer.

    A file is chosen by a random number of its position; one that proves unreadable gives its place to the next.

    Args:
        path: the folder that the files are relative to.
        files: files in class folders, sorted.
        class_of: the class folder of a file.
        side: height and width of the images.
        channels: 3 for colour, 1 for grey.
        size: how many; ``None`` reads all.
        stream: decides which ones.

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
        reads.append(read_files(path, [files[index] for index in np.sort(order[start:end])], side, channels))
        start, kept = end, kept + len(reads[-1].paths)
    images = _joined(path, reads, side, channels)
    known = {name for name in map(class_of, images.paths) if name is not None}
    names = {*known, *_other_classes(path, files, class_of, known)}
    return PartFolder(path, images, tuple(sorted(names)), len(files))


def _joined(path: Path, reads: Sequence[FolderImages], side: int, channels: Channels) -> FolderImages:
    """Several readings as one, in the order of the paths."""
    reads = reads or [read_files(path, [], side, channels)]
    paths = [name for read in reads for name in read.paths]
    formats = [name for read in reads for name in read.formats]
    order = sorted(range(len(paths)), key=paths.__getitem__)
    pixels = reads[0].images.pixels if len(reads) == 1 else torch.cat([read.images.pixels for read in reads])
    unreadable = tuple(bad for read in reads for bad in read.unreadable)
    return FolderImages(
        ImageSet.of(pixels if order == list(range(len(order))) else pixels[order]),
        tuple(paths[row] for row in order),
        tuple(class_folder(paths[row]) for row in order),
        tuple(formats[row] for row in order),
        tuple(sorted(name for read in reads for name in read.first_frames)),
        tuple(sorted(unreadable, key=lambda item: item.path)),
    )


def _other_classes(
    path: Path, files: Sequence[str], class_of: Callable[[str], str | None], known: set[str]
) -> Iterator[str]:
    """The class folders with a readable image that are not known yet; one image of each is decoded to tell."""
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
