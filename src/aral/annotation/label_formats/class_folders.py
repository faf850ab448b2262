"""Class folders: any folder whose sub-folders are classes, and the images of an export, whose events are known."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from aral.annotation.formats import (
    EXPORTED_IMAGES,
    EXPORTED_LABELS,
    LABEL_FILES,
    UNREADABLE,
    class_folder_names,
)
from aral.annotation.label_formats.json_rows import JSON_ROWS
from aral.annotation.label_formats.rows import (
    FileLabel,
    LabelFile,
    LabelFolder,
    LabelFormat,
    ReadLabels,
    ReadOptions,
)
from aral.annotation.label_formats.tables import TABLE
from aral.annotation.rejected import Rejected
from aral.data.class_names import CLASS_NAMES, class_names_of_folders
from aral.data.folder_layout import image_files, read_layout
from aral.data.image_file import read_image_bytes
from aral.data.scan import Found, scan
from aral.data.unreadable import Refused
from aral.errors import BadInput


def is_export(folder: Path) -> bool:
    """Whether ``aral export`` has written a folder: its list of unreadable files is always there."""
    try:
        with (folder / UNREADABLE).open("rb") as file:
            return file.read(100).splitlines()[:1] == [b"path,reason,detail"]
    except OSError:
        return False


def _recognise_exported(folder: LabelFolder) -> bool:
    return bool(_exported_labels(folder.path))


def _exported_labels(folder: Path) -> tuple[FileLabel, ...]:
    """The labels of the images in class folders of an export, by their paths there or by their content."""
    files = [folder / EXPORTED_LABELS]
    if folder.name == EXPORTED_IMAGES and is_export(folder.parent):
        files += [folder.parent / name for name in LABEL_FILES[:2]]
    found = next((LabelFile.open(each) for each in files if each.is_file()), None)
    if found is None or found.rows == []:
        return ()
    return (TABLE if found.kind == "table" else JSON_ROWS).read(found, ReadOptions()).labels


def _read_exported(folder: LabelFolder, _: ReadOptions) -> ReadLabels:
    """A file in the folder it was written to has the annotation events of the export, one that was moved has a
    new label."""
    exported = _exported_labels(folder.path)
    by_content: defaultdict[str, list[FileLabel]] = defaultdict(list)
    class_of: dict[str, str] = {}
    for label in exported:
        if label.action == "class":
            by_content[label.sha256].append(label)
            class_of[label.path.partition("/")[0]] = label.label
    if not (
        folder.path / EXPORTED_LABELS
    ).is_file():  # an earlier release wrote it: these paths are the photos'
        folders = class_folder_names(sorted({label.label for label in exported if label.label}))
        class_of = {inside: name for name, inside in folders.items()}
    class_of |= class_names_of_folders(folder.path)

    def labels_of(name: str, content: str) -> list[FileLabel]:
        inside = name.partition("/")[0]
        class_name = class_of.get(inside, inside)
        events = [label for label in by_content[content] if label.label == class_name]
        return events or [FileLabel(name, "class", class_name, sha256=content)]

    scanned = scan(folder.path, follow_links=True)
    names = [name for name in scanned.files if "/" in name]
    return _read_images(
        folder.path, names, scanned, labels_of, (f"{folder.path} holds images of an export of aral.",)
    )


def _read_class_folders(folder: LabelFolder, options: ReadOptions) -> ReadLabels:
    """Files in class folders, matched by their content; folders of splits and dates are no classes."""
    path, scanned = folder.path, folder.found
    layout = read_layout(
        image_files(path, scanned.files), within=path.resolve().name, classes=options.classes
    )
    if layout.class_level is None:
        raise BadInput(
            f"{path} holds no class folders. {' '.join(layout.sentences())}".strip(),
            "Make one folder a class, or name folders that are classes with --classes NAME,NAME.",
        )
    original = class_names_of_folders(path)

    def labels_of(name: str, content: str) -> list[FileLabel]:
        inside = layout.class_of(name)
        return (
            [] if inside is None else [FileLabel(name, "class", original.get(inside, inside), sha256=content)]
        )

    names = [name for name in scanned.files if layout.class_of(name) is not None]
    notes = layout.sentences()
    if original:
        notes = (*notes, f"The names of the classes are those in {CLASS_NAMES}.")
    return _read_images(path, names, scanned, labels_of, notes)


def _read_images(
    folder: Path,
    names: Iterable[str],
    scanned: Found,
    labels_of: Callable[[str, str], list[FileLabel]],
    notes: Sequence[str],
) -> ReadLabels:
    """The labels of image files by path and content hash."""
    rejected = [Rejected(bad.path, f"{bad.reason}: {bad.detail}") for bad in scanned.left_out]
    labels: list[FileLabel] = []
    for name in names:
        try:
            content = hashlib.sha256(read_image_bytes(folder / name)).hexdigest()
        except Refused as refused:
            rejected.append(Rejected(name, f"it cannot be read: {refused.detail}"))
            continue
        labels += [replace(label, path=name) for label in labels_of(name, content)]
    return ReadLabels(tuple(labels), tuple(rejected), tuple(notes))


EXPORTED_FOLDERS = LabelFormat[LabelFolder]("images of an export", _recognise_exported, _read_exported)
CLASS_FOLDERS = LabelFormat[LabelFolder]("class folders", lambda _: True, _read_class_folders)
