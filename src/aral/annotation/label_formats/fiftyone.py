"""FiftyOne's JSON: ``samples.json`` with a ``Classification`` field, and ``labels.json`` of image classification."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from aral.annotation.label_formats.rows import (
    SEVERAL_CLASSES,
    SHAPES,
    LabelFile,
    LabelFormat,
    ReadLabels,
    ReadOptions,
    Rows,
)
from aral.errors import BadInput


def _recognise_samples(file: LabelFile) -> bool:
    samples = file.document.get("samples") if isinstance(file.document, dict) else None
    return isinstance(samples, list) and all(
        isinstance(each, dict) and isinstance(each.get("filepath"), str) for each in samples
    )


def _read_samples(file: LabelFile, options: ReadOptions) -> ReadLabels:
    rows = Rows()
    samples = file.document["samples"]
    field = options.label_column or _label_field(file, samples)
    for sample in samples:
        path, value = str(sample.get(options.image_column or "filepath") or ""), sample.get(field)
        kind = value.get("_cls") if isinstance(value, dict) else None
        labels = _labels(value)
        if len(labels) > 1:
            rows.reject(path, SEVERAL_CLASSES, ", ".join(labels))
        elif kind in ("Classification", "Classifications") or value is None:
            rows.add_class(path, labels[0] if labels else "")
        else:
            rows.reject(path, SHAPES, f"{field}: {kind or type(value).__name__}")
    return rows.result(str(file.path))


def _label_field(file: LabelFile, samples: list[Mapping[str, Any]]) -> str:
    """The field with the labels: the only one that is a classification and no prediction.

    Raises:
        BadInput: there is none, or several.
    """
    kinds: Counter[str] = Counter()
    others: set[str] = set()
    for sample in samples:
        for name, value in sample.items():
            kind = value.get("_cls") if isinstance(value, dict) else None
            if kind in ("Classification", "Classifications") and value.get("confidence") is None:
                kinds[name] += 1
            elif kind:
                others.add(f"{name} ({kind})")
    if len(kinds) == 1:
        return next(iter(kinds))
    if kinds:
        raise BadInput(
            f"{file.path} has several fields that may be the label: {', '.join(kinds)}.",
            f"Name one: --label-column {next(iter(kinds))}",
        )
    if others:
        raise BadInput(
            f"None of the {len(samples)} samples in {file.path} has a classification that is no prediction; "
            f"it has {', '.join(sorted(others))}.",
            "Name a field with --label-column, if it is the label.",
        )
    return "ground_truth"


def _labels(value: object) -> list[str]:
    if not isinstance(value, dict):
        return []
    several = value.get("classifications")
    found = [each for each in several if isinstance(each, dict)] if isinstance(several, list) else [value]
    return [str(each["label"]) for each in found if each.get("label") is not None]


def _recognise_labels(file: LabelFile) -> bool:
    document = file.document
    return isinstance(document, dict) and isinstance(document.get("labels"), dict) and "classes" in document


def _read_labels(file: LabelFile, _: ReadOptions) -> ReadLabels:
    rows = Rows()
    classes, labels = file.document["classes"], file.document["labels"]
    for path, value in labels.items():
        is_number = isinstance(value, int) and not isinstance(value, bool) and isinstance(classes, list)
        if is_number and not 0 <= value < len(classes):
            rows.reject(path, "the number of its class is none of the classes", str(value))
        elif is_number:
            rows.add_class(path, str(classes[value]))
        elif isinstance(value, str) or value is None:
            rows.add_class(path, value or "")
        else:
            rows.reject(path, SHAPES if isinstance(value, list) else "its label is no class", str(value)[:60])
    return rows.result(str(file.path))


FIFTYONE_SAMPLES = LabelFormat[LabelFile]("FiftyOne samples", _recognise_samples, _read_samples)
FIFTYONE_LABELS = LabelFormat[LabelFile]("FiftyOne labels", _recognise_labels, _read_labels)
