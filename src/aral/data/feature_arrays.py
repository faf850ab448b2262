"""Data sets of features that were computed elsewhere: an array of NumPy, a CSV file of labels. Nothing is unpickled."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from pydantic import Field

from aral.data.class_split import drawn_by_class, single_images
from aral.data.dataset import DataSet, FeaturesOf, check_memory
from aral.errors import BadInput
from aral.plural import counted
from aral.randomness import Stream
from aral.settings import Settings
from aral.types import ImageSet, LabelledSet

LABEL_COLUMNS = ("label", "labels", "class", "classes", "target", "y")
ROW_COLUMNS = ("row", "index", "")
"""Names of columns, in any case; pandas writes an index without a name."""

_DELIMITERS = (",", ";", "\t")
_SHOWN = 5


class FeatureArrays(Settings):
    """Files that hold a data set of features."""

    features: str  # .npy file, N×F numbers, one row an image
    labels: str  # CSV file with the class of each row
    test_features: str | None = None  # the same of the test set; None: it is drawn from the rows
    test_labels: str | None = None
    test_share: float = Field(0.25, gt=0, lt=1)  # of the rows of each class, where no test set is given
    digest: str = ""  # SHA-256 of the arrays; other arrays are then refused. Empty: not compared

    @property
    def name(self) -> str:
        """The file name of the features."""
        return Path(self.features).name

    @property
    def folder_name(self) -> str:
        """A name for folders: that of the file, and the first digits of the arrays' SHA-256."""
        return "-".join(part for part in (Path(self.features).stem, self.digest[:8]) if part)

    def with_digest(self) -> FeatureArrays:
        """The same files with the SHA-256 of what they hold now.

        Raises:
            BadInput: as for :func:`read_feature_arrays`.
        """
        return self.model_copy(update={"digest": _read(self).digest})


def read_feature_arrays(files: FeatureArrays) -> DataSet:
    """A data set of features, named after their file; classes are numbered by value if all are numbers, else by name.

    Without a test set of its own a share of the rows of each class is drawn, the same for every seed: at least one row,
    and all but one at most. A class with a single row has none in the test set. The note says so.

    Args:
        files: the arrays and the labels.

    Raises:
        BadInput: a file is missing or damaged, numbers are NaN or infinite, features and labels do not fit together, a
            label is empty, there are fewer than two classes, or the arrays are not those of the digest. Says which.
    """
    found = _read(files)
    if files.digest and found.digest != files.digest:
        raise BadInput(
            f"{files.features} and its labels hold other arrays than when this was started (SHA-256 "
            f"{found.digest[:8]} in place of {files.digest[:8]}).",
            "Put the old files back, or start anew with the new ones.",
        )
    classes = found.classes(found.pool.labels)
    if found.test is None:
        in_test = _stratified(classes, files.test_share)
        singles = single_images(classes)
        note = f"test set: {files.test_share:.0%} of the rows of each class"
        if singles:
            note += f", without {counted(singles, 'class', 'classes')} of a single row"
        test_rows, test_classes = found.pool.features[in_test], classes[in_test]
        pool_rows, pool_classes = found.pool.features[~in_test], classes[~in_test]
    else:
        note = ""
        test_rows, test_classes = found.test.features, found.classes(found.test.labels)
        pool_rows, pool_classes = found.pool.features, classes
    return DataSet(
        files.name,
        _images(pool_rows),
        pool_classes,
        LabelledSet(_images(test_rows), test_classes, len(found.class_names)),
        found.class_names,
        note,
        FeaturesOf(files.name, "", files.features, found.digest, "", 0),
    )


@dataclass(frozen=True, eq=False)
class _Part:
    """Rows and the class of each, as text."""

    features: Float32[np.ndarray, "N F"]
    labels: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Arrays:
    """What the files hold."""

    pool: _Part
    test: _Part | None
    class_names: tuple[str, ...]
    digest: str

    def classes(self, labels: Sequence[str]) -> Int64[np.ndarray, " N"]:
        """The numbers of these classes."""
        number = {name: index for index, name in enumerate(self.class_names)}
        return np.array([number[label] for label in labels], dtype=np.int64)


def _read(files: FeatureArrays) -> _Arrays:
    pool = _part(files.features, files.labels)
    test = None
    if files.test_features is not None and files.test_labels is not None:
        test = _part(files.test_features, files.test_labels)
        if test.features.shape[1] != pool.features.shape[1]:
            raise BadInput(
                f"{files.features} has {counted(pool.features.shape[1], 'column')}, {files.test_features} "
                f"{test.features.shape[1]}.",
                "Give features of the same model for both.",
            )
    names = _class_names(pool.labels)
    if len(names) < 2:
        raise BadInput(
            f"Every row of {files.labels} has class '{names[0]}': there is nothing to learn.",
            "Give rows of at least two classes.",
        )
    if (pool.features == pool.features[0]).all():
        raise BadInput(
            f"The {len(pool.features)} rows of {files.features} are all the same.",
            "Give features that differ: nothing can be learned.",
        )
    unknown = sorted(set(test.labels) - set(names)) if test else []
    if unknown:
        raise BadInput(
            f"{files.test_labels} has {counted(len(unknown), 'class', 'classes')} that {files.labels} lacks: "
            f"{_listed([repr(name) for name in unknown])}.",
            "Use the same names of classes in both.",
        )
    digest = hashlib.sha256(json.dumps(names).encode())
    for part in (pool, test):
        if part is not None:
            digest.update(str(part.features.shape).encode())
            digest.update(part.features.tobytes())
            digest.update(json.dumps(part.labels).encode())
    return _Arrays(pool, test, names, digest.hexdigest())


def _part(features: str, labels: str) -> _Part:
    rows = _features(Path(features).expanduser())
    return _Part(rows, _labels(Path(labels).expanduser(), len(rows), features))


def _images(rows: Float32[np.ndarray, "N F"]) -> ImageSet:
    return ImageSet.of(torch.from_numpy(np.ascontiguousarray(rows))[:, :, None, None])


def _class_names(labels: Sequence[str]) -> tuple[str, ...]:
    """All classes once, in the order of their numbers or, if one is no number, of their names."""
    names = sorted(set(labels))
    try:
        return tuple(sorted(names, key=float))
    except ValueError:
        return tuple(names)


def _stratified(classes: Int64[np.ndarray, " N"], share: float) -> NDArray[np.bool_]:
    """Which rows are in the test set, by :func:`aral.data.class_split.drawn_by_class`."""
    chosen = drawn_by_class(classes, share, Stream.root(0).child("feature arrays", "test set"))
    if not chosen.any():
        raise BadInput(
            "Every class has a single row, so none is left for a test set.",
            "Give more rows, or a test set: --test-features and --test-labels.",
        )
    return chosen


def _features(path: Path) -> Float32[np.ndarray, "N F"]:
    """The rows of a .npy file as float32."""
    if not path.is_file():
        raise BadInput(f"There is no file {path}.", "Check the path.")
    try:
        # Mapped, because the header of a damaged file may state any size.
        array: Any = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError, MemoryError, OverflowError) as error:
        raise BadInput(
            f"{path} is not a readable .npy file: {error}",
            "Save the features with numpy.save(path, features), as numbers and not as objects.",
        ) from error
    if not isinstance(array, np.ndarray):
        raise BadInput(
            f"{path} holds several arrays.", "Save the features alone: numpy.save(path, features)."
        )
    if array.ndim != 2 or 0 in array.shape or array.dtype.kind not in "fiu":
        raise BadInput(
            f"{path} must hold N×F numbers, one row an image; it has shape {array.shape} and type {array.dtype}.",
            "Flatten the features of each image into one row: features.reshape(len(features), -1).",
        )
    check_memory(4 * array.size, path)
    with np.errstate(over="ignore"):
        rows = np.array(array, dtype=np.float32, order="C")
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if bad.size:
        raise BadInput(
            f"{path} has NaN, infinite or too large numbers in {counted(bad.size, 'row')}: {_listed(bad.tolist())}.",
            "Correct these rows, or leave them out of features and labels.",
        )
    return rows


def _labels(path: Path, count: int, features: str) -> tuple[str, ...]:
    """The class of each of ``count`` rows, as text without spaces around it."""
    table = _table(path)
    width = max((len(cells) for _, cells in table), default=0)
    if width == 0:
        raise BadInput(f"{path} holds no label.", "Write one label a line, in the order of the rows.")
    if width > 2:
        raise BadInput(
            f"{path} has {width} columns.",
            "Give one column, label, in the order of the rows, or two: row,label with rows counted from 0.",
        )
    return _one_column(path, table, count, features) if width == 1 else _two_columns(path, table, count)


def _table(path: Path) -> list[tuple[int, list[str]]]:
    """Number of the line and cells of each line, without empty lines at the end."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        first = text.partition("\n")[0].strip().lower()
        delimiter = next((each for each in _DELIMITERS if _is_header(first.split(each))), ",")
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        table = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"The labels {path} cannot be read: {error}.", "Give a CSV file in UTF-8.") from error
    while table and not any(table[-1][1]):
        table.pop()
    return table


def _is_header(cells: Sequence[str]) -> bool:
    """Whether these are names of two columns."""
    names = [cell.strip().strip('"').lower() for cell in cells]
    return len(names) == 2 and any(
        names[one] in ROW_COLUMNS and names[1 - one] in LABEL_COLUMNS for one in (0, 1)
    )


def _one_column(path: Path, table: list[tuple[int, list[str]]], count: int, features: str) -> tuple[str, ...]:
    cells = [(line, "".join(row)) for line, row in table]
    first, others = cells[0][1], {cell for _, cell in cells[1:]}
    named = first.lower() in LABEL_COLUMNS
    # Another word is a header where there is a line too many and no row has it as its class.
    if first not in others and (named or (len(cells) == count + 1 and not _is_number(first))):
        cells = cells[1:]
    if len(cells) != count:
        raise BadInput(
            f"{path} has {counted(len(cells), 'label')}, but {features} {counted(count, 'row')}.",
            "Write one label a line, in the order of the rows.",
        )
    _refuse_empty(path, [(row, line) for row, (line, cell) in enumerate(cells) if not cell])
    return tuple(cell for _, cell in cells)


def _two_columns(path: Path, table: list[tuple[int, list[str]]], count: int) -> tuple[str, ...]:
    first = [cell.lower() for cell in table[0][1]]
    row_column = 0
    if _is_header(first):
        row_column = 0 if first[0] in ROW_COLUMNS and first[1] in LABEL_COLUMNS else 1
        table = table[1:]
    elif not _is_row(first[0]):
        raise BadInput(
            f"The first line of {path} is {','.join(table[0][1])!r}, which names no columns row and label.",
            "Write row,label into the first line; rows are counted from 0.",
        )
    found: dict[int, tuple[int, str]] = {}
    for line, cells in table:
        if len(cells) != 2 or not _is_row(cells[row_column]) or int(cells[row_column]) >= count:
            raise BadInput(
                f"{path}, line {line}: {','.join(cells)!r} is no row from 0 to {count - 1} and its label.",
                "Rows are counted from 0. Quote labels that have a comma.",
            )
        row = int(cells[row_column])
        if row in found:
            raise BadInput(f"{path}, lines {found[row][0]} and {line}: row {row} occurs twice.", "Keep one.")
        found[row] = (line, cells[1 - row_column])
    missing = [row for row in range(count) if row not in found]
    if missing:
        raise BadInput(
            f"{path} has no label for {counted(len(missing), 'row')}: {_listed(missing)}.",
            "Label every row, or leave the others out of the features.",
        )
    _refuse_empty(path, [(row, found[row][0]) for row in range(count) if not found[row][1]])
    return tuple(found[row][1] for row in range(count))


def _refuse_empty(path: Path, empty: Sequence[tuple[int, int]]) -> None:
    """Refuse rows without a label, given with their lines."""
    if empty:
        named = _listed([f"{row} (line {line})" for row, line in empty])
        raise BadInput(
            f"{path} has an empty label for {counted(len(empty), 'row')}: {named}.",
            "Label every row, or leave these rows out of features and labels.",
        )


def _is_row(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _listed(values: Sequence[object]) -> str:
    """The first few, separated by commas."""
    shown = ", ".join(str(value) for value in values[:_SHOWN])
    return f"{shown}, …" if len(values) > _SHOWN else shown
