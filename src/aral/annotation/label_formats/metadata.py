"""A folder with ``metadata.csv`` or ``metadata.jsonl`` beside its images, as Hugging Face's ``imagefolder`` has it."""

from __future__ import annotations

from dataclasses import replace

from aral.annotation.label_formats.class_folders import CLASS_FOLDERS
from aral.annotation.label_formats.json_rows import JSON_ROWS
from aral.annotation.label_formats.rows import LabelFile, LabelFolder, LabelFormat, ReadLabels, ReadOptions
from aral.annotation.label_formats.tables import TABLE
from aral.annotation.rejected import Rejected
from aral.data.folder_layout import image_files, read_layout
from aral.errors import BadInput

_NAMES = ("metadata.csv", "metadata.jsonl")


def _files(folder: LabelFolder) -> list[str]:
    return [name for name in folder.found.files if name.rpartition("/")[2] in _NAMES]


def _read(folder: LabelFolder, options: ReadOptions) -> ReadLabels:
    """Each file's paths are relative to its own folder."""
    names = _files(folder)
    try:
        read = [_in_folder(name, _read_file(folder, name, options)) for name in names]
    except BadInput as problem:
        layout = read_layout(image_files(folder.path, folder.found.files), within=folder.path.resolve().name)
        if not layout.classes:
            raise
        found = CLASS_FOLDERS.read(folder, options)
        return replace(found, notes=(f"Ignored: {', '.join(names)}. {problem.problem}", *found.notes))
    note = f"{', '.join(names)} in {folder.path} is read, not the names of its folders."
    return ReadLabels(
        tuple(label for each in read for label in each.labels),
        tuple(row for each in read for row in each.rejected),
        (note, *(text for each in read for text in each.notes)),
        sum(each.ignored for each in read),
    )


def _read_file(folder: LabelFolder, name: str, options: ReadOptions) -> ReadLabels:
    file = LabelFile.open(folder.path / name)
    if file.rows == []:
        return ReadLabels(())
    return (TABLE if file.kind == "table" else JSON_ROWS).read(file, options)


def _in_folder(name: str, read: ReadLabels) -> ReadLabels:
    inside, slash, _ = name.rpartition("/")
    if not slash:
        return read
    labels = tuple(replace(label, path=f"{inside}/{label.path}") for label in read.labels)
    rejected = tuple(Rejected(f"{inside}/{row.path}", row.reason, row.detail) for row in read.rejected)
    return replace(read, labels=labels, rejected=rejected)


METADATA = LabelFormat[LabelFolder]("imagefolder", lambda folder: bool(_files(folder)), _read)
