"""Pictures that lie in the folders of two classes: nothing says which one is meant."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from aral.data.folder import FolderImages
from aral.data.image_file import read_image_bytes
from aral.data.unreadable import Refused


def contradicting_files(
    path: Path, reads: Sequence[FolderImages], class_of: Callable[[str], str | None]
) -> frozenset[str]:
    """Files with equal bytes in the folders of different classes.

    Only files whose decoded pixels are equal are read again.

    Args:
        path: the folder that the files are relative to.
        reads: images of it, all of one size.
        class_of: the class folder of a file.
    """
    by_pixels: defaultdict[bytes, list[str]] = defaultdict(list)
    for read in reads:
        for name, row in zip(read.paths, read.images.pixels.numpy(), strict=True):
            by_pixels[hashlib.sha256(row.tobytes()).digest()].append(name)
    candidates = [name for names in _of_several_classes(by_pixels.values(), class_of) for name in names]
    by_content: defaultdict[str, list[str]] = defaultdict(list)
    for name in candidates:
        try:
            by_content[hashlib.sha256(read_image_bytes(path / name)).hexdigest()].append(name)
        except Refused:  # it has gone since it was decoded
            continue
    return frozenset(name for names in _of_several_classes(by_content.values(), class_of) for name in names)


def _of_several_classes(
    groups: Iterable[list[str]], class_of: Callable[[str], str | None]
) -> list[list[str]]:
    return [names for names in groups if len({class_of(name) for name in names}) > 1]
