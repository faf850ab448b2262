"""COCO's JSON with one category for each image."""

from __future__ import annotations

from collections import defaultdict
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


def _recognise(file: LabelFile) -> bool:
    document = file.document
    return isinstance(document, dict) and all(
        isinstance(document.get(name), list) for name in ("images", "annotations", "categories")
    )


def _read(file: LabelFile, options: ReadOptions) -> ReadLabels:
    rows = Rows()
    images, annotations, categories = (
        [each for each in file.document[name] if isinstance(each, dict)]
        for name in ("images", "annotations", "categories")
    )
    names = {str(each.get("id")): str(each.get("name") or "") for each in categories}
    of_image: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for each in annotations:
        of_image[str(each.get("image_id"))].append(each)
    for image in images:
        path = image.get(options.image_column or "file_name") or image.get("coco_url") or ""
        found = of_image.pop(str(image.get("id")), [])
        shapes = [each for each in found if _has_shape(each, image)]
        classes = {str(each.get("category_id")): None for each in found if each not in shapes}
        if not found:
            rows.ignore("image without an annotation", "images without an annotation")
        elif not classes:
            rows.reject(str(path), SHAPES, f"{len(shapes)} shapes")
        elif len(classes) > 1:
            rows.reject(str(path), SEVERAL_CLASSES, ", ".join(names.get(each, each) for each in classes))
        elif not names.get(next(iter(classes))):
            rows.reject(str(path), "its category is not among the categories", next(iter(classes)))
        else:
            rows.add_class(str(path), names[next(iter(classes))])
    for number, found in of_image.items():
        for _ in found:
            rows.reject("", "its image is not among the images", f"image_id {number}")
    return rows.result(str(file.path))


def _has_shape(annotation: Mapping[str, Any], image: Mapping[str, Any]) -> bool:
    """Whether an annotation is of a part of its image; a box around all of it is of the image."""
    if annotation.get("segmentation") or annotation.get("keypoints"):
        return True
    box = annotation.get("bbox")
    return bool(box) and box != [0, 0, image.get("width"), image.get("height")]


COCO = LabelFormat[LabelFile]("COCO", _recognise, _read)
