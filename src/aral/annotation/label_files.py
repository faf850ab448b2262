"""Read labels from any known file or folder; and the classes named in it.

:data:`FILE_FORMATS` and :data:`FOLDER_FORMATS` list every form. The first that recognises a source reads it. A row
that cannot be read is rejected with its reason, and what is ignored is counted in a note.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from aral.annotation.label_formats.class_folders import CLASS_FOLDERS, EXPORTED_FOLDERS, is_export
from aral.annotation.label_formats.coco import COCO
from aral.annotation.label_formats.cvat import CVAT
from aral.annotation.label_formats.exports import EXPORT
from aral.annotation.label_formats.fiftyone import FIFTYONE_LABELS, FIFTYONE_SAMPLES
from aral.annotation.label_formats.json_rows import JSON_ROWS
from aral.annotation.label_formats.label_studio_tasks import LABEL_STUDIO_TASKS
from aral.annotation.label_formats.labelme import LABELME_FILE, LABELME_FOLDER
from aral.annotation.label_formats.metadata import METADATA
from aral.annotation.label_formats.prodigy import PRODIGY
from aral.annotation.label_formats.rows import (
    FileLabel,
    LabelFile,
    LabelFolder,
    LabelFormat,
    ReadLabels,
    ReadOptions,
)
from aral.annotation.label_formats.tables import TABLE
from aral.data.class_names import class_names_of_folders
from aral.data.folder_layout import image_files, is_image, read_layout
from aral.errors import BadInput
from aral.plural import counted

__all__ = [
    "ClassNames",
    "FileLabel",
    "ReadLabels",
    "ReadOptions",
    "class_names_of",
    "is_export",
    "read_labels",
]

FILE_FORMATS: tuple[LabelFormat[LabelFile], ...] = (
    TABLE,
    CVAT,
    LABEL_STUDIO_TASKS,
    PRODIGY,
    JSON_ROWS,
    COCO,
    FIFTYONE_SAMPLES,
    FIFTYONE_LABELS,
    LABELME_FILE,
)
FOLDER_FORMATS: tuple[LabelFormat[LabelFolder], ...] = (
    EXPORT,
    EXPORTED_FOLDERS,
    METADATA,
    LABELME_FOLDER,
    CLASS_FOLDERS,
)
MOST_CLASS_FOLDERS = 100

_Source = TypeVar("_Source", LabelFile, LabelFolder)


def read_labels(source: Path, options: ReadOptions | None = None) -> ReadLabels:
    """Read the labels of a file or folder.

    An export folder of aral is read as a whole: the first of its label files, which all hold the same labels.

    Args:
        source: the file or folder.
        options: what the user says about it; by default nothing.

    Raises:
        BadInput: it is missing or of another format, its columns are not known, or classes are given for a file.
    """
    options = options or ReadOptions()
    if source.is_dir():
        folder = LabelFolder(source)
        form = CLASS_FOLDERS if options.classes else _first(FOLDER_FORMATS, folder)
        return (form or CLASS_FOLDERS).read(folder, options)
    if options.classes:
        raise BadInput(f"{source} is a file, which names its classes itself.", "--classes is for folders.")
    file = LabelFile.open(source)
    if file.rows == []:
        return ReadLabels((), notes=(f"{source} holds no rows.",))
    known = _first(FILE_FORMATS, file)
    if known is None:
        raise BadInput(
            f"{source} is {file.kind}, but of no form that is known.",
            f"Known: {', '.join(form.name for form in FILE_FORMATS if form is not TABLE)}, and tables (CSV). "
            "docs/formats.md has an example of each.",
        )
    return known.read(file, options)


def _first(formats: Collection[LabelFormat[_Source]], source: _Source) -> LabelFormat[_Source] | None:
    return next((form for form in formats if form.recognise(source)), None)


@dataclass(frozen=True)
class ClassNames:
    """The classes that a source names.

    Attributes:
        names: in order; empty without any.
        reason: why there are none; empty with some.
        notes: which folders were read as splits, which as classes, and what was ignored; empty if all are classes.
    """

    names: tuple[str, ...]
    reason: str = ""
    notes: tuple[str, ...] = ()


def class_names_of(source: Path) -> ClassNames:
    """The classes that a label file, or a folder of class folders, names.

    A folder names classes when its images lie in two to a hundred class folders, below splits such as ``train/`` if
    there are any, and none lies beside them. Folders named like splits or dates are no classes. Files that are no
    images are ignored. Classes have the names that ``classes.json`` gives them, if it is there.

    Raises:
        BadInput: the file cannot be read.
    """
    if source.is_dir() and not is_export(source):
        return _class_names_of_folders(LabelFolder(source))
    named = dict.fromkeys(label.label for label in read_labels(source).labels if label.action == "class")
    return ClassNames(tuple(named), "" if named else f"{source} names none")


def _class_names_of_folders(folder: LabelFolder) -> ClassNames:
    source, files = folder.path, folder.found.files
    beside = next((name for name in files if "/" not in name and is_image(source / name)), None)
    if beside is not None:
        return ClassNames((), f"the image {beside!r} lies beside the folders")
    inside = (name for name in files if "/" in name)
    layout = read_layout(image_files(source, inside), within=source.resolve().name)
    notes = layout.sentences() if layout.splits or layout.ignored else ()
    if not 2 <= len(layout.classes) <= MOST_CLASS_FOLDERS:
        found = counted(len(layout.classes), "class folder has images", "class folders have images")
        return ClassNames((), f"{found}, and 2 to {MOST_CLASS_FOLDERS} are needed", notes)
    original = class_names_of_folders(source)
    names = tuple(original.get(name, name) for name in layout.classes)
    invalid = next((name for name in names if not _is_unicode(name)), None)
    if invalid is not None:
        return ClassNames((), f"the name of the folder {invalid!r} is not valid Unicode", notes)
    return ClassNames(names, "", notes)


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
