"""What a classifier says of new photos, as a table."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from aral.annotation import Project
from aral.annotation.classifier import DESCRIPTION, Classifier
from aral.annotation.label_rows import csv_bytes
from aral.data.decode import MAX_PIXELS, Channels, Decoded, decode_all
from aral.data.scan import scan
from aral.errors import BadInput, RunFailed

BATCH = 256


@dataclass(frozen=True)
class Row:
    """What is said of one file.

    Attributes:
        path: relative to the folder of photos.
        label: the most probable class; empty for a file that cannot be read.
        probability: of that class.
        probabilities: of all classes, in the order of the classifier; empty for such a file.
        problem: why it cannot be read; empty otherwise.
    """

    path: str
    label: str
    probability: float
    probabilities: tuple[float, ...]
    problem: str


@dataclass(frozen=True)
class Predicted:
    """What came of a prediction: images that have a class, and files that could not be read."""

    images: int
    unreadable: int


def find_classifier(source: Path) -> Classifier:
    """The classifier of an export, of a sealed folder, or the newest one of a project.

    Raises:
        BadInput: there is none.
    """
    for folder in (source, source / "model"):
        if (folder / DESCRIPTION).is_file():
            return Classifier.load(folder)
    if source.is_file():
        raise BadInput(
            f"{source} is a file. Weights of other programs are never read: that could run what is in them.",
            "Give the folder that aral export has written, or a project: aral export PHOTOS OUT",
        )
    with Project.open(source) as project:
        return newest_classifier(project)


def newest_classifier(project: Project) -> Classifier:
    """The newest classifier of a project.

    Raises:
        BadInput: nothing has been trained yet.
    """
    models = project.models.all()
    if not models:
        raise BadInput(
            f"The project in {project.folder} has no classifier yet.",
            f"Label some images first: aral label {project.photos}",
        )
    return Classifier.load(project.folder / models[-1].folder)


def predict(classifier: Classifier, photos: Path, target: Path, max_pixels: int = MAX_PIXELS) -> Predicted:
    """Classify every image below a folder and write a CSV file.

    Args:
        classifier: as :func:`find_classifier` gives it.
        photos: a folder of any depth.
        target: the file; it is there as a whole or not at all.
        max_pixels: larger images are refused by their header.

    Raises:
        BadInput: there is no such folder, or no file in it.
        RunFailed: the table cannot be written.
    """
    if not photos.is_dir():
        raise BadInput(f"There is no folder {photos}.", "Give the folder that holds the images.")
    rows = list(predictions(classifier, photos, max_pixels))
    if not rows:
        raise BadInput(f"There are no files in {photos}.", "Give the folder that holds the images.")
    names = classifier.description.class_names
    header = ("path", "class", "probability", *(f"p({name})" for name in names), "problem")
    table = [
        (
            row.path,
            row.label,
            f"{row.probability:.4f}" if row.label else "",
            *(f"{value:.4f}" for value in row.probabilities or ()),
            *([""] * (len(names) - len(row.probabilities))),
            row.problem,
        )
        for row in rows
    ]
    write_whole(target, csv_bytes(header, table))
    unreadable = sum(bool(row.problem) for row in rows)
    return Predicted(len(rows) - unreadable, unreadable)


def predictions(classifier: Classifier, photos: Path, max_pixels: int = MAX_PIXELS) -> Iterator[Row]:
    """A row for every file, images in order of their paths; at most some hundred are in memory at once."""
    found = scan(photos)
    channels, side, _ = classifier.description.shape
    batch: list[tuple[str, UInt8[np.ndarray, "C side side"]]] = []
    kind: Channels = 1 if channels == 1 else 3
    for name, result in decode_all(photos, found.files, side, kind, max_pixels=max_pixels):
        if not isinstance(result, Decoded):
            yield Row(name, "", 0.0, (), f"{result.reason}: {result.detail}")
            continue
        batch.append((name, result.pixels))
        if len(batch) == BATCH:
            yield from _scored(classifier, batch)
            batch = []
    yield from _scored(classifier, batch)
    for left in found.left_out:
        yield Row(left.path, "", 0.0, (), f"{left.reason}: {left.detail}")


def classify_file(classifier: Classifier, path: Path) -> list[tuple[str, float]]:
    """Classes of one image file with their probabilities, the most probable first.

    Raises:
        BadInput: the file cannot be read.
    """
    channels, side, _ = classifier.description.shape
    kind: Channels = 1 if channels == 1 else 3
    ((_, result),) = decode_all(path.parent, [path.name], side, kind)
    if not isinstance(result, Decoded):
        raise BadInput(f"{path} cannot be read: {result.reason} {result.detail}.")
    probabilities = classifier.of_pixels(result.pixels[None])[0]
    ranked = np.argsort(-probabilities, kind="stable")
    names = classifier.description.class_names
    return [(names[place], float(probabilities[place])) for place in ranked]


def write_whole(target: Path, content: bytes) -> None:
    """Write a file that is there as a whole or not at all.

    Raises:
        RunFailed: the disk is full or refuses.
    """
    partial = target.with_name(f"{target.name}.tmp-{os.getpid()}")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise RunFailed(
            f"{target} was not written: {error}; {len(content)} bytes are needed.",
            "Free some space, or write somewhere else.",
        ) from error


def _scored(
    classifier: Classifier, batch: list[tuple[str, UInt8[np.ndarray, "C side side"]]]
) -> Iterator[Row]:
    if not batch:
        return
    names = classifier.description.class_names
    probabilities = classifier.of_pixels(np.stack([pixels for _, pixels in batch]))
    for (name, _), row in zip(batch, probabilities, strict=True):
        best = int(row.argmax())
        yield Row(name, names[best], float(row[best]), tuple(float(value) for value in row), "")
