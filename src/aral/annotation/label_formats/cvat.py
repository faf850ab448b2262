"""CVAT's XML for images: the tag of an image is its class.

A document type is refused: it could name other files, or entities that grow without limit.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from xml.parsers import expat

from aral.annotation.label_formats.rows import (
    SEVERAL_CLASSES,
    SHAPES,
    LabelFile,
    LabelFormat,
    ReadLabels,
    ReadOptions,
    Rows,
    readable,
)
from aral.plural import counted

_SHAPES = ("box", "polygon", "polyline", "points", "ellipse", "mask", "cuboid", "skeleton")


@dataclass
class _Image:
    name: str
    tags: list[str] = field(default_factory=list)
    shapes: int = 0


class _Document:
    """The images of a document, as its parser meets them."""

    def __init__(self) -> None:
        self.images: list[_Image] = []
        self.counts: Counter[str] = Counter()
        self._around: list[str] = []

    def parse(self, content: bytes) -> None:
        """Read a whole document.

        Raises:
            ValueError: it is no XML, has a document type, or is not CVAT's.
        """
        parser = expat.ParserCreate()
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.StartDoctypeDeclHandler = self._refuse
        try:
            parser.Parse(content, True)
        except expat.ExpatError as error:
            raise ValueError(str(error)) from error
        if not self.counts["annotations"]:
            raise ValueError("it is not CVAT's XML for images, which has <annotations> and <image name=…>")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "image":
            self.images.append(_Image(attributes.get("name", "")))
        elif self._around == ["annotations", "image"]:
            if name == "tag":
                self.images[-1].tags.append(attributes.get("label", ""))
            self.images[-1].shapes += name in _SHAPES
        self._around.append(name)
        self.counts[name] += 1

    def _end(self, _: str) -> None:
        self._around.pop()

    def _refuse(self, *_: object) -> None:
        raise ValueError("it has a document type (DOCTYPE), which is not read")


def _read(file: LabelFile, _: ReadOptions) -> ReadLabels:
    rows, document = Rows(), _Document()
    with readable(file.path):
        document.parse(file.text.encode("latin-1"))
    for image in document.images:
        labels = list(dict.fromkeys(image.tags))
        if len(labels) > 1:
            rows.reject(image.name, SEVERAL_CLASSES, ", ".join(labels))
        elif not labels and image.shapes:
            rows.reject(image.name, SHAPES)
        else:
            rows.add_class(image.name, labels[0] if labels else "")
    if document.counts["track"]:
        rows.notes.append(f"Ignored: {counted(document.counts['track'], 'track')} of a video.")
    return rows.result(str(file.path))


CVAT = LabelFormat[LabelFile]("CVAT", lambda file: file.kind == "XML", _read)
