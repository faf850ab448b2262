"""Data sets of one's own in one ``.npz`` file: arrays of images and labels, by any of the usual names."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from PIL import Image

from aral.data.arrays import Layout, images_from_array
from aral.data.class_split import drawn_by_class, single_images
from aral.data.dataset import DataSet, check_memory
from aral.data.decode import Channels, square
from aral.data.decoded_files import chosen_rows
from aral.data.npz import JPEG_ARRAYS, arrays_of_npz, in_file, read_npz
from aral.errors import BadInput
from aral.plural import counted
from aral.randomness import Stream
from aral.types import ImageSet, LabelledSet

NPZ = ".npz"
TEST_SHARE = 0.2
"""Of the images of each class, where neither file nor option says otherwise."""

POOL_IMAGES = ("train_images", "x_train", "train_x", "images", "x")
POOL_LABELS = ("train_labels", "y_train", "train_y", "labels", "y")
TEST_IMAGES = ("test_images", "x_test", "test_x")
TEST_LABELS = ("test_labels", "y_test", "test_y")
VALIDATION_IMAGES = ("val_images", "x_val", "val_x", "validation_images", "x_validation", "x_valid")
VALIDATION_LABELS = ("val_labels", "y_val", "val_y", "validation_labels", "y_validation", "y_valid")
"""Names of arrays, in any case."""

_OTHERS = ("class_names", "note", "layout")
_SHOWN = 5
_LOG = logging.getLogger(__name__)


def npz_dataset(path: Path, test_share: float | None = None) -> DataSet:
    """A data set from a file of arrays, named after the file; images are neither resized nor cut.

    The pool has one of the names :data:`POOL_IMAGES` and :data:`POOL_LABELS`, the test set :data:`TEST_IMAGES` and
    :data:`TEST_LABELS`; without these the validation set is the test set, and without that a share of each class is
    drawn, the same for every seed. Labels are numbers or text, one an image. ``class_names`` names the classes
    0, 1, 2, …; without it, classes are the labels that occur in the pool, in the order of their values. ``layout`` says
    ``"NHWC"`` or ``"NCHW"`` where a shape can be read in both ways. The note and the log name arrays that are not used.
    A file with JPEG files end to end is read by :func:`aral.data.read_npz`.

    Args:
        path: the file.
        test_share: of each class; ``None``: :data:`TEST_SHARE`.

    Raises:
        BadInput: the file is missing or damaged, an array is missing, occurs under two names or does not fit, a label
            is negative or occurs in the test set only, or a test share is given beside a test set. Says which.
    """
    arrays = arrays_of_npz(path)
    if JPEG_ARRAYS[0] in arrays:
        _refuse_share(path, test_share, JPEG_ARRAYS[3])
        return read_npz(path)
    found = _Names.of(path, arrays)
    layout = _layout(path, arrays, found)
    pool = in_file(path, found.images, lambda: images_from_array(arrays[found.images], layout))
    labels = _labels(path, found.labels, arrays[found.labels], len(pool))
    names, number = _classes(path, arrays, found, labels)
    classes = np.array([number[label] for label in labels], dtype=np.int64)
    notes = [f"{', '.join(found.unused)} not used"] if found.unused else []
    if found.unused:
        _LOG.warning("%s: arrays that are not used: %s", path, ", ".join(found.unused))
    if found.test_images:
        _refuse_share(path, test_share, found.test_images)
        test = in_file(path, found.test_images, lambda: images_from_array(arrays[found.test_images], layout))
        test_labels = _labels(path, found.test_labels, arrays[found.test_labels], len(test))
        unknown = [label for label in dict.fromkeys(test_labels) if label not in number]
        if unknown:
            raise BadInput(
                f"{path}, {found.test_labels}: {counted(len(unknown), 'class', 'classes')} that {found.labels} "
                f"lacks: {_listed(unknown)}.",
                "Use the same labels in both.",
            )
        test_classes = np.array([number[label] for label in test_labels], dtype=np.int64)
        if found.test_images.lower() in VALIDATION_IMAGES:
            notes.append(f"test set: {found.test_images}")
    else:
        drawn = split_off(pool, classes, test_share or TEST_SHARE, path)
        pool, classes, test, test_classes = drawn.pool, drawn.pool_classes, drawn.test, drawn.test_classes
        notes.append(drawn.note)
    if "note" in arrays:
        notes.insert(0, str(arrays["note"]))
    held = LabelledSet(test, test_classes, len(names))
    return in_file(
        path, found.images, lambda: DataSet(path.stem, pool, classes, held, names, "; ".join(notes))
    )


@dataclass(frozen=True, eq=False)
class Drawn:
    """Pool and test set of images that have none of their own.

    Attributes:
        pool: the images of the pool, numbered anew.
        pool_classes: their classes.
        pool_positions: where they were among all images.
        test: the images of the test set.
        test_classes: their classes.
        note: how they were drawn.
    """

    pool: ImageSet
    pool_classes: Int64[np.ndarray, " P"]
    pool_positions: Int64[np.ndarray, " P"]
    test: ImageSet
    test_classes: Int64[np.ndarray, " T"]
    note: str


def split_off(
    images: ImageSet, classes: Int64[np.ndarray, " N"], share: float, path: Path, place: Path | None = None
) -> Drawn:
    """Pool and test set of images that have none of their own: a share of each class, the same for every seed.

    Args:
        images: all of them, numbered from 0.
        classes: of each.
        share: of each class, for the test set.
        path: of their file, for the message.
        place: as for :func:`aral.data.decoded_files.chosen_rows`.

    Raises:
        BadInput: every class has a single image.
    """
    in_test = drawn_by_class(classes, share, Stream.root(0).child("files", "test set"))
    if not in_test.any():
        raise BadInput(
            f"Every class of {path} has a single image, so none is left for a test set.",
            "Give more images of each class, or a test set.",
        )
    note = f"test set: {share:.0%} of the images of each class"
    if singles := single_images(classes):
        note += f", without {counted(singles, 'class', 'classes')} of a single image"
    positions = np.flatnonzero(~in_test).astype(np.int64)
    pool, test = (
        ImageSet.of(chosen_rows([images.pixels], rows, place))
        for rows in (positions, np.flatnonzero(in_test))
    )
    return Drawn(pool, classes[~in_test], positions, test, classes[in_test], note)


def resized(data: DataSet, side: int) -> DataSet:
    """The data set with squares of ``side`` pixels, cut and resized as those of image files; the note says so."""
    channels, height, width = data.pool.shape
    if (height, width) == (side, side):
        return data
    kept: Channels = 1 if channels == 1 else 3

    def squares(images: ImageSet) -> ImageSet:
        check_memory(len(images) * channels * side * side, Path(data.name))
        rows = np.empty((len(images), channels, side, side), np.uint8)
        for row, pixels in enumerate(images.pixels[torch.from_numpy(images.ids)].numpy()):
            image = Image.fromarray(pixels[0] if channels == 1 else pixels.transpose(1, 2, 0))
            rows[row] = square(image, side, kept)
        return ImageSet.of(torch.from_numpy(rows))

    note = f"images of {width}×{height} as squares of {side} pixels"
    return DataSet(
        data.name,
        squares(data.pool),
        data.pool_classes,
        LabelledSet(squares(data.test.images), data.test.classes, data.class_count),
        data.class_names,
        "; ".join(part for part in (data.note, note) if part),
    )


@dataclass(frozen=True)
class _Names:
    """Which array is what; an empty name for none."""

    images: str
    labels: str
    test_images: str
    test_labels: str
    unused: tuple[str, ...]

    @staticmethod
    def of(path: Path, arrays: Mapping[str, NDArray[Any]]) -> _Names:
        images, labels = _one_of(path, arrays, POOL_IMAGES), _one_of(path, arrays, POOL_LABELS)
        missing = [names for names, name in ((POOL_IMAGES, images), (POOL_LABELS, labels)) if not name]
        if missing:
            raise BadInput(
                f"{path} lacks {' and '.join(names[0] for names in missing)}; it holds "
                f"{', '.join(sorted(arrays)) or 'nothing'}.",
                f"Save with numpy.savez({path.name!r}, images=…, labels=…); also read: "
                f"{', '.join((*POOL_IMAGES, *POOL_LABELS))}.",
            )
        test = _pair(path, arrays, TEST_IMAGES, TEST_LABELS)
        validation = _pair(path, arrays, VALIDATION_IMAGES, VALIDATION_LABELS)
        test_images, test_labels = test if test[0] else validation
        used = {images, labels, test_images, test_labels, *_OTHERS}
        return _Names(images, labels, test_images, test_labels, tuple(sorted(set(arrays) - used)))


def _one_of(path: Path, arrays: Mapping[str, NDArray[Any]], names: Sequence[str]) -> str:
    """The array of one of these names; empty if there is none."""
    found = [name for name in arrays if name.lower() in names]
    if len(found) > 1:
        raise BadInput(
            f"{path} holds {' and '.join(found)}, and each can be the {names[0]}.",
            "Keep one of them in the file.",
        )
    return found[0] if found else ""


def _pair(
    path: Path, arrays: Mapping[str, NDArray[Any]], images: Sequence[str], labels: Sequence[str]
) -> tuple[str, str]:
    """Images and labels of a set beside the pool; both empty, or neither."""
    found = _one_of(path, arrays, images), _one_of(path, arrays, labels)
    if bool(found[0]) != bool(found[1]):
        has, lacks = (found[0], labels[0]) if found[0] else (found[1], images[0])
        raise BadInput(f"{path} holds {has}, but lacks {lacks}.", f"Add {lacks}, or leave out {has}.")
    return found


def _layout(path: Path, arrays: Mapping[str, NDArray[Any]], found: _Names) -> Layout | None:
    stated = str(arrays["layout"]).upper() if "layout" in arrays else None
    if stated is not None and stated not in list(Layout):
        raise BadInput(f"{path}, layout: {stated!r} is none of {', '.join(Layout)}.", "Write one of them.")
    shape = arrays[found.images].shape
    if stated is None and len(shape) == 4 and shape[1] in (1, 3) and shape[3] in (1, 3):
        raise BadInput(
            f"{path}, {found.images}: shape {shape} can be read as NHWC and as NCHW.",
            f"Say which in the file: numpy.savez({path.name!r}, …, layout='NHWC')",
        )
    return None if stated is None else Layout(stated)


def _labels(path: Path, name: str, array: NDArray[Any], count: int) -> list[int] | list[str]:
    """One number or one text an image."""
    values = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    where = f"{path}, {name}"
    if values.ndim != 1:
        raise BadInput(
            f"{where}: labels must be one value an image; found shape {array.shape}.",
            "Use labels.argmax(axis=1) for one-hot rows.",
        )
    if values.size != count:
        raise BadInput(
            f"{where}: {counted(values.size, 'label')}, but {counted(count, 'image')}.",
            "Give one label an image.",
        )
    if values.dtype.kind in "US":
        texts = [_text(value) for value in values.tolist()]
        if empty := [row for row, text in enumerate(texts) if not text]:
            raise BadInput(
                f"{where}: {counted(len(empty), 'label is', 'labels are')} empty, at position {_listed(empty)}.",
                "Leave unlabelled images out of images and labels.",
            )
        return texts
    if values.dtype.kind not in "iubf":
        raise BadInput(
            f"{where}: labels must be whole numbers or text; found {values.dtype}.", "Save them as such."
        )
    numbers = values.astype(np.float64)
    wrong = np.flatnonzero(~np.isfinite(numbers) | (numbers != np.floor(numbers)) | (numbers < 0))
    if wrong.size:
        raise BadInput(
            f"{where}: {counted(wrong.size, 'label is', 'labels are')} negative or no whole number, such as "
            f"{values[wrong[0]]} at position {wrong[0]}.",
            "Number classes 0, 1, 2, …, and leave unlabelled images out of images and labels.",
        )
    return [int(value) for value in values.tolist()]


def _text(value: str | bytes) -> str:
    return (value.decode("utf-8", "replace") if isinstance(value, bytes) else value).strip()


def _classes(
    path: Path, arrays: Mapping[str, NDArray[Any]], found: _Names, labels: Sequence[int] | Sequence[str]
) -> tuple[tuple[str, ...], dict[int | str, int]]:
    """Names of the classes, and the class of each label."""
    different: list[int | str] = sorted(set(labels))
    if "class_names" not in arrays:
        names = tuple(str(label) for label in different)
        number = {label: index for index, label in enumerate(different)}
    else:
        names = tuple(str(name) for name in np.atleast_1d(arrays["class_names"]))
        number = (
            {name: index for index, name in enumerate(names)}
            if isinstance(different[0], str)
            else {index: index for index in range(len(names))}
        )
        if unknown := [label for label in different if label not in number]:
            raise BadInput(
                f"{path}, {found.labels}: {counted(len(unknown), 'label')} outside the "
                f"{counted(len(names), 'class', 'classes')} of class_names: {_listed(unknown)}.",
                "Name every class in class_names, in the order of their numbers from 0.",
            )
    if len(different) < 2:
        raise BadInput(
            f"{path}, {found.labels}: every label is {different[0]!r}: there is nothing to learn.",
            "Give images of at least two classes.",
        )
    return names, number


def _refuse_share(path: Path, share: float | None, test: str) -> None:
    if share is not None:
        raise BadInput(
            f"{path} has a test set of its own: {test}.",
            "Leave out --test-share, or the test set of the file.",
        )


def _listed(values: Sequence[object]) -> str:
    shown = ", ".join(str(value) for value in values[:_SHOWN])
    return f"{shown}, …" if len(values) > _SHOWN else shown
