"""LabelMe's JSON, one file for each image: the flag of the image that is set is its class."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any

from aral.annotation.label_formats.encodings import decoded
from aral.annotation.label_formats.rows import (
    MOST_BYTES,
    SEVERAL_CLASSES,
    SHAPES,
    LabelFile,
    LabelFolder,
    LabelFormat,
    ReadLabels,
    ReadOptions,
    Rows,
)
from aral.data.folder_layout import is_image

_MOST_LOOKED_AT = 5


def _is_labelme(document: Any) -> bool:
    return isinstance(document, dict) and isinstance(document.get("flags"), dict) and "imagePath" in document


def _add(rows: Rows, document: dict[str, Any], name: str) -> None:
    """Add the image of a file.

    Args:
        rows: where to.
        document: of the file.
        name: of the file, with the folders around it; the image's path is relative to it.
    """
    path = str(document["imagePath"] or "").replace("\\", "/")
    joined = str(PurePosixPath(name).parent / path) if path and not path.startswith("../") else path
    flags = [str(flag) for flag, value in document["flags"].items() if value is True]
    if len(flags) > 1:
        rows.reject(joined, SEVERAL_CLASSES, ", ".join(flags))
    elif not flags and document.get("shapes"):
        rows.reject(joined, SHAPES, name)
    else:
        rows.add_class(joined, flags[0] if flags else "")


def _read_file(file: LabelFile, _: ReadOptions) -> ReadLabels:
    rows = Rows()
    _add(rows, file.document, file.path.name)
    return rows.result(str(file.path))


def _json_files(folder: LabelFolder) -> list[str]:
    return [name for name in folder.found.files if name.lower().endswith(".json")]


def _document(folder: LabelFolder, name: str) -> Any:
    try:
        if (folder.path / name).stat().st_size > MOST_BYTES:
            return None
        return json.loads(decoded((folder.path / name).read_bytes()))
    except (OSError, ValueError, RecursionError):
        return None


def _recognise_folder(folder: LabelFolder) -> bool:
    """One of its first JSON files is LabelMe's, and none of its label files is of another kind."""
    return any(_is_labelme(_document(folder, name)) for name in _json_files(folder)[:_MOST_LOOKED_AT])


def _read_folder(folder: LabelFolder, _: ReadOptions) -> ReadLabels:
    rows = Rows()
    for name in _json_files(folder):
        document = _document(folder, name)
        if _is_labelme(document):
            _add(rows, document, name)
        else:
            rows.reject(name, "the file is not LabelMe's JSON")
    described = {PurePosixPath(name).with_suffix("") for name in _json_files(folder)}
    others = [
        name
        for name in folder.found.files
        if PurePosixPath(name).with_suffix("") not in described and is_image(folder.path / name)
    ]
    for _image in others:
        rows.ignore("image without a JSON file", "images without a JSON file")
    return rows.result(str(folder.path))


LABELME_FILE = LabelFormat[LabelFile]("LabelMe", lambda file: _is_labelme(file.document), _read_file)
LABELME_FOLDER = LabelFormat[LabelFolder]("LabelMe folder", _recognise_folder, _read_folder)
