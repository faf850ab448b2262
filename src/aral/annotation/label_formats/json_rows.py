"""JSON with an object for each image: JSON lines, a list of objects, Label Studio's short form, an export's lines."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from aral.annotation.label_formats.columns import Columns, find_columns, is_one, plain
from aral.annotation.label_formats.rows import (
    SEVERAL_CLASSES,
    JsonRow,
    LabelFile,
    LabelFormat,
    ReadLabels,
    ReadOptions,
    Rows,
    stated_provenance,
)
from aral.annotation.label_formats.tables import SHORT_FORM
from aral.annotation.label_studio import annotator_name, class_in_cell

EXPORTED = frozenset({"path", "label", "answer", "annotators", "sha256"})
"""Fields that only lines of an export have together."""


def _read(file: LabelFile, options: ReadOptions) -> ReadLabels:
    rows = Rows()
    objects = file.rows or []
    names = list(dict.fromkeys(str(name) for each in objects for name in each.fields))

    def values(name: str) -> list[object]:
        return [each.fields[name] for each in objects if name in each.fields]

    if EXPORTED <= set(names) and not options.image_column and not options.label_column:
        columns = Columns("path", ("label",))
    else:
        columns = find_columns(str(file.path), names, values, options)
    rows.notes += columns.notes
    for each in objects:
        _add_row(rows, each, columns)
    return rows.result(str(file.path))


def _add_row(rows: Rows, row: JsonRow, columns: Columns) -> None:
    place = f"row {row.number}"
    image = row.fields.get(columns.image)
    path, content = image_of(image)
    if path is None:
        rows.reject(json.dumps(image)[:60], "its image is a list or an object, not a path", place)
        return
    path = rows.windows.read(path, row.number, is_path=True)
    if len(columns.labels) > 1:
        _add_one_hot(rows, path, row, columns)
        return
    found = class_in_cell(row.fields.get(columns.labels[0]))
    if found.problem:
        rows.reject(path, found.problem, found.detail)
        return
    fields = {plain(str(name)): value for name, value in row.fields.items()}
    rows.add_answer(
        path,
        _text(fields, "answer"),
        rows.windows.read(found.label, row.number),
        _annotators(fields),
        place,
        sha256=content or _text(fields, "sha256"),
        provenance=stated_provenance(*(_text(fields, name) for name in ("round", "strategy", "score"))),
        events=texts(fields.get("events") or []),
    )


def _add_one_hot(rows: Rows, path: str, row: JsonRow, columns: Columns) -> None:
    cells = {name: is_one(row.fields.get(name)) for name in columns.labels}
    names = [name for name, yes in cells.items() if yes]
    if None in cells.values():
        rows.reject(path, "one of its class fields is neither 0 nor 1", f"row {row.number}")
    elif len(names) > 1:
        rows.reject(path, SEVERAL_CLASSES, ", ".join(names))
    elif not names:
        rows.reject(path, "none of its class fields is 1", f"row {row.number}")
    else:
        rows.add_class(path, names[0])


def image_of(value: object) -> tuple[str | None, str]:
    """The path in a field, and the content hash of an image that is in the field itself (``data:…;base64,…``).

    A list, or an object without a path, has none: the first is None then.
    """
    if isinstance(value, dict):
        value = value.get("path") or value.get("file_name")
        if not isinstance(value, str):
            return None, ""
    if isinstance(value, list):
        return None, ""
    if value is None or value != value:
        return "", ""
    if not isinstance(value, str):
        return json.dumps(value), ""
    head = value[:100].partition(",")[0]
    if not (head.startswith("data:") and head.endswith(";base64")):
        return value, ""
    try:
        content = base64.b64decode(value[len(head) + 1 :], validate=True)
    except (binascii.Error, ValueError):
        return value[:60], ""
    return "", hashlib.sha256(content).hexdigest()


def _annotators(fields: Mapping[str, Any]) -> list[str]:
    if fields.keys() >= SHORT_FORM:
        user = fields["annotator"]
        return [annotator_name(user.get("id") if isinstance(user, dict) else user)]
    return texts(fields.get("annotators") or [fields.get("annotator") or ""])


def _text(fields: Mapping[str, Any], name: str) -> str:
    """A field as text; nothing for null, a list or an object."""
    value = fields.get(name)
    if value is None or isinstance(value, list | dict):
        return ""
    return (value if isinstance(value, str) else json.dumps(value)).strip()


def texts(value: object) -> list[str]:
    """A field with one text or several."""
    values = value if isinstance(value, list) else [value]
    return ["" if each is None else str(each) for each in values]


JSON_ROWS = LabelFormat[LabelFile]("JSON rows", lambda file: file.rows is not None, _read)
