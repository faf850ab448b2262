"""Names of classes from where people have written them already: folders, or a column of a CSV file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aral.annotation.label_files import read_labels
from aral.data.image_file import peek
from aral.data.scan import scan
from aral.data.unreadable import Refused
from aral.words import counted

MOST_FOLDERS = 100


@dataclass(frozen=True)
class ClassNames:
    """Classes that were found.

    Attributes:
        names: in order; empty without any.
        reason: why there are none; empty with some.
    """

    names: tuple[str, ...]
    reason: str = ""


def class_names_of(source: Path) -> ClassNames:
    """The classes that a file of labels, or a folder of class folders, names.

    A folder names classes when all its images lie in two to a hundred folders. Other files count for nothing.

    Raises:
        BadInput: the file cannot be read.
    """
    if source.is_dir():
        return _of_folders(source, scan(source).files)
    named = dict.fromkeys(found.label for found in read_labels(source) if found.action == "class")
    return ClassNames(tuple(named), "" if named else f"{source} names none")


def _of_folders(source: Path, files: Sequence[str]) -> ClassNames:
    below: dict[str, list[str]] = {}
    for name in files:
        folder, slash, _ = name.partition("/")
        below.setdefault(folder if slash else "", []).append(name)
    loose = next((name for name in below.pop("", []) if _is_image(source / name)), None)
    if loose is not None:
        return ClassNames((), f"the image {loose!r} lies beside the folders")
    names = sorted(
        folder for folder, inside in below.items() if any(_is_image(source / name) for name in inside)
    )
    if not 2 <= len(names) <= MOST_FOLDERS:
        found = counted(len(names), "folder has images", "folders have images")
        return ClassNames((), f"{found}, and it takes 2 to {MOST_FOLDERS}")
    unreadable = next((name for name in names if not _is_text(name)), None)
    if unreadable is not None:
        return ClassNames((), f"the name of the folder {unreadable!r} is no text")
    return ClassNames(tuple(names))


def _is_image(path: Path) -> bool:
    try:
        peek(path)
    except Refused:
        return False
    return True


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
