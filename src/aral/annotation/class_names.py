"""Names of classes from where people have written them already: folders, or a column of a CSV file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aral.annotation.label_files import is_export, read_labels
from aral.data.folder_layout import image_files, is_image, read_layout
from aral.data.scan import scan
from aral.words import counted

MOST_FOLDERS = 100


@dataclass(frozen=True)
class ClassNames:
    """Classes that were found.

    Attributes:
        names: in order; empty without any.
        reason: why there are none; empty with some.
        notes: what was taken as split, as class, and what was ignored; empty if all folders are classes.
    """

    names: tuple[str, ...]
    reason: str = ""
    notes: tuple[str, ...] = ()


def class_names_of(source: Path) -> ClassNames:
    """The classes that a file of labels, or a folder of class folders, names.

    A folder names classes when its images lie in two to a hundred class folders, below splits such as ``train/`` if
    there are any. Folders that are named like splits or dates are no classes. Other files count for nothing.

    Raises:
        BadInput: the file cannot be read.
    """
    if source.is_dir() and not is_export(source):
        return _of_folders(source)
    named = dict.fromkeys(found.label for found in read_labels(source).found if found.action == "class")
    return ClassNames(tuple(named), "" if named else f"{source} names none")


def _of_folders(source: Path) -> ClassNames:
    files = scan(source).files
    loose = next((name for name in files if "/" not in name and is_image(source / name)), None)
    if loose is not None:
        return ClassNames((), f"the image {loose!r} lies beside the folders")
    inside = (name for name in files if "/" in name)
    layout = read_layout(image_files(source, inside), within=source.resolve().name)
    plain = not layout.splits and not layout.ignored
    notes = () if plain else layout.sentences()
    if not 2 <= len(layout.classes) <= MOST_FOLDERS:
        found = counted(len(layout.classes), "class folder has images", "class folders have images")
        return ClassNames((), f"{found}, and it takes 2 to {MOST_FOLDERS}", notes)
    unreadable = next((name for name in layout.classes if not _is_text(name)), None)
    if unreadable is not None:
        return ClassNames((), f"the name of the folder {unreadable!r} is no text", notes)
    return ClassNames(layout.classes, "", notes)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
