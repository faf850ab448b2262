"""The folder of an export as a whole: the first of its label files, which all hold the same labels, or its images."""

from __future__ import annotations

from dataclasses import replace

from aral.annotation.formats import EXPORTED_IMAGES, LABEL_FILES
from aral.annotation.label_formats.class_folders import CLASS_FOLDERS, EXPORTED_FOLDERS, is_export
from aral.annotation.label_formats.json_rows import JSON_ROWS
from aral.annotation.label_formats.label_studio_tasks import LABEL_STUDIO_TASKS
from aral.annotation.label_formats.rows import LabelFile, LabelFolder, LabelFormat, ReadLabels, ReadOptions
from aral.annotation.label_formats.tables import TABLE

_FORMATS = {"table": TABLE, "JSON lines": JSON_ROWS, "JSON": LABEL_STUDIO_TASKS}


def _recognise(folder: LabelFolder) -> bool:
    names = (*LABEL_FILES, EXPORTED_IMAGES)
    return is_export(folder.path) and any((folder.path / name).exists() for name in names)


def _read(folder: LabelFolder, options: ReadOptions) -> ReadLabels:
    files = [folder.path / name for name in LABEL_FILES if (folder.path / name).is_file()]
    images = folder.path / EXPORTED_IMAGES
    if not files:
        inside = LabelFolder(images)
        form = EXPORTED_FOLDERS if EXPORTED_FOLDERS.recognise(inside) else CLASS_FOLDERS
        read = form.read(inside, options)
        note = f"{folder.path} is an export of aral; its images are read."
        return replace(read, notes=(note, *read.notes))
    others = [file.name for file in files[1:]] + ([f"{EXPORTED_IMAGES}/"] if images.is_dir() else [])
    same = f" The same labels are in {', '.join(others)}." if others else ""
    file = LabelFile.open(files[0])
    read = ReadLabels(()) if file.rows == [] else _FORMATS[file.kind].read(file, options)
    note = f"{folder.path} is an export of aral; its {files[0].name} is read.{same}"
    return replace(read, notes=(note, *read.notes))


EXPORT = LabelFormat[LabelFolder]("export of aral", _recognise, _read)
