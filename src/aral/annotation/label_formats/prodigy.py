"""Prodigy's JSON lines: an image, one label or several options, and the annotator's answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aral.annotation.label_formats.json_rows import image_of
from aral.annotation.label_formats.rows import (
    SEVERAL_CLASSES,
    SHAPES,
    LabelFile,
    LabelFormat,
    ReadLabels,
    ReadOptions,
    Rows,
)

_ANSWERS = ("accept", "reject", "ignore")
_IMAGE = ("path", "file", "image", "image_url")


def _recognise(file: LabelFile) -> bool:
    """Every object has one of Prodigy's answers."""
    return file.rows is not None and all(each.fields.get("answer") in _ANSWERS for each in file.rows)


def _read(file: LabelFile, options: ReadOptions) -> ReadLabels:
    rows = Rows()
    for each in file.rows or ():
        path, content = _image(each.fields, options.image_column)
        path = rows.windows.read(path, each.number, is_path=True)
        annotator = str(each.fields.get("_annotator_id") or each.fields.get("_session_id") or "")
        answer = each.fields["answer"]
        if answer == "ignore":
            rows.add_answer(path, "skip", "", [annotator], sha256=content)
            continue
        if answer == "reject":
            rows.ignore("row with the answer 'reject'", "rows with the answer 'reject'")
            continue
        labels = _labels(each.fields, options.label_column)
        if each.fields.get("spans"):
            rows.reject(path, SHAPES, f"row {each.number}")
        elif len(labels) > 1:
            rows.reject(path, SEVERAL_CLASSES, ", ".join(labels))
        else:
            label = rows.windows.read(labels[0], each.number) if labels else ""
            rows.add_class(path, label, annotator, f"row {each.number}", sha256=content)
    return rows.result(str(file.path))


def _image(fields: Mapping[str, Any], column: str) -> tuple[str, str]:
    """Path and content hash of the image; its path may be beside the image itself or in ``meta``."""
    meta = fields.get("meta")
    places = [fields.get(name) for name in ((column,) if column else _IMAGE)]
    places += [meta.get(name) for name in _IMAGE] if isinstance(meta, dict) else []
    found = [image_of(place) for place in places if place]
    path = next((path for path, _ in found if path), "")
    return path, next((content for _, content in found if content), "")


def _labels(fields: Mapping[str, Any], column: str) -> list[str]:
    """The accepted options, by their text where they are numbered; without options the label."""
    accepted = fields.get("accept")
    if column or not isinstance(accepted, list):
        label = fields.get(column or "label")
        return [] if label is None else [str(label)]
    options = fields.get("options")
    texts = {
        each.get("id"): str(each["text"])
        for each in (options if isinstance(options, list) else [])
        if isinstance(each, dict) and isinstance(each.get("id"), int) and each.get("text")
    }
    return [texts.get(each, str(each)) if isinstance(each, int) else str(each) for each in accepted]


PRODIGY = LabelFormat[LabelFile]("Prodigy", _recognise, _read)
