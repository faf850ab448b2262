"""Data sets from a folder of images and a table of their labels, with or without a column of splits."""

from __future__ import annotations

import csv
import io
import logging
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from aral.data.contradictions import contradicting_files
from aral.data.dataset import DataSet, Limits, files_at
from aral.data.folder import FolderImages, Reader, read_files
from aral.data.folder_layout import Split, image_files, split_of
from aral.data.image_arrays import TEST_SHARE, split_off
from aral.data.scan import scan
from aral.errors import BadInput
from aral.plural import counted
from aral.types import ImageSet, LabelledSet

FILE_COLUMNS = (
    "file", "path", "filename", "file_name", "filepath", "file_path", "image", "image_path", "image_name", "img",
    "photo", "id", "image_id", "name",
)  # fmt: skip
LABEL_COLUMNS = ("label", "class", "category", "class_name", "label_name", "target", "y", "labels")
SPLIT_COLUMNS = ("split", "set", "subset", "partition")
"""Names of columns, in any case, with blanks or ``-`` for ``_``; the first that is there counts."""

_ENDING = re.compile(r"\.[A-Za-z0-9]{2,5}$")
_SHOWN = 3
_LOG = logging.getLogger(__name__)


def labelled_folder_dataset(
    path: Path,
    labels: Path,
    side: int,
    test_share: float | None,
    limits: Limits,
    reader: Reader | None = None,
) -> DataSet:
    """A data set from a folder of images at any depth and a CSV file with a row for each image.

    The first line names the columns: one of :data:`FILE_COLUMNS`, one of :data:`LABEL_COLUMNS`, and if wanted one of
    :data:`SPLIT_COLUMNS`. A file is named by its path from the folder or from the CSV file, by its name alone if no
    other file has it, or without its ending if one file can be meant. With rows for training and for testing (or else
    for validation) these are pool and test set; otherwise a share of the images of each class is drawn, the same for
    every seed.

    Rows without a file, a label or a split, rows that contradict each other, pictures of two labels, files without a
    row, and files that cannot be read are left out: the note counts all of them, the log counts each kind and names the
    first. Classes are in the order of their numbers, or of their names if one is no number.

    Args:
        path: the folder.
        labels: the CSV file.
        side: height and width of the images.
        test_share: of each class; ``None``: :data:`aral.data.image_arrays.TEST_SHARE`.
        limits: how many images are kept.
        reader: reads the files, for instance as features instead of squares of ``side`` pixels.

    Raises:
        BadInput: folder or table are missing or cannot be read, a column is missing or can be one of several, a word
            names no split, no row fits a file, there are fewer than two classes, a class is in the test set only, or a
            test share is given beside a test set. Says which.
    """
    if not path.is_dir():
        raise BadInput(f"There is no folder {path}.", "Give the folder that holds the images.")
    found = scan(path)
    names = image_files(path, found.files)
    table = _Table.read(path, labels, names)
    read = (reader or partial(read_files, side=side, channels=3))(path, sorted(table.label))
    table.leave_out("file that cannot be read", (bad.path for bad in read.unreadable))
    table.leave_out("picture with two labels", contradicting_files(path, [read], table.label.get))
    rows = [row for row, name in enumerate(read.paths) if name in table.label]
    if not rows:
        raise BadInput(f"{labels} labels no image of {path} that can be read.{table.sentence}", _NAMING)
    data = _split(path, labels, table, read, rows, test_share)
    if table.left_out:
        _LOG.warning("%s:%s", labels, table.sentence)
    return data.limited(limits.pool_size, limits.test_size, limits.stream)


_NAMING = "Name each file by its path from the folder, such as cats/1.jpg,cat"


_CELLS = "row with another number of cells than the first line"
_NO_LABEL, _NO_SPLIT = "row without a label", "row without a split"
_NO_FILE, _AMBIGUOUS = "row without a file", "row that may name several files"
_ROWS = (_CELLS, _NO_LABEL, _NO_SPLIT, _NO_FILE, _AMBIGUOUS)


@dataclass
class _Table:
    """What the rows say.

    Attributes:
        label: of each file that is used.
        split: of each of them, where the table has splits.
        left_out: the first names of what is not used, and how many there are, by kind.
    """

    label: dict[str, str] = field(default_factory=dict)
    split: dict[str, Split] = field(default_factory=dict)
    left_out: dict[str, tuple[list[str], int]] = field(default_factory=dict)

    @staticmethod
    def read(path: Path, labels: Path, names: Sequence[str]) -> _Table:
        head, rows = _rows(labels)
        columns = _Columns.of(labels, head)
        files, table = _Files(path, labels.absolute().parent, names), _Table()
        said: defaultdict[str, dict[tuple[str, Split | None], str]] = defaultdict(dict)
        left_out: dict[str, list[str]] = {kind: [] for kind in _ROWS}
        for line, row in rows:
            if len(row) != len(head):
                left_out[_CELLS].append(f"line {line}")
                continue
            name, label = row[columns.file], row[columns.label]
            matches = files.match(name)
            split = columns.split_in(labels, line, row)
            if not label:
                left_out[_NO_LABEL].append(name)
            elif columns.split is not None and split is None:
                left_out[_NO_SPLIT].append(name)
            elif len(matches) != 1:
                left_out[_AMBIGUOUS if matches else _NO_FILE].append(name)
            else:
                said[matches[0]][label, split] = name
        contradicting = [name for name, each in said.items() if len(each) > 1]
        for name, each in said.items():
            if len(each) == 1:
                ((label, split),) = each
                table.label[name] = label
                if split is not None:
                    table.split[name] = split
        left_out["file with contradicting rows"] = contradicting
        left_out["file without a row"] = [name for name in names if name not in said]
        for kind, found in left_out.items():
            table.leave_out(kind, found)
        return table

    def leave_out(self, kind: str, names: Iterable[str]) -> None:
        """Count what is not used, and forget it."""
        found = list(names)
        if found:
            self.left_out[kind] = (found[:_SHOWN], len(found))
        for name in found:
            self.label.pop(name, None)
            self.split.pop(name, None)

    @property
    def sentence(self) -> str:
        """What is left out, with the first names of each kind; empty if nothing is."""
        parts = []
        for kind, (names, count) in self.left_out.items():
            noun, _, rest = kind.partition(" ")
            more = ", …" if count > len(names) else ""
            parts.append(f"{counted(count, noun)} {rest} ({', '.join(names)}{more})")
        return f" Left out: {'; '.join(parts)}." if parts else ""

    @property
    def note(self) -> str:
        """How much is left out, in a few words; empty if nothing is."""
        rows = sum(count for kind, (_, count) in self.left_out.items() if kind.startswith("row "))
        files = sum(count for kind, (_, count) in self.left_out.items() if not kind.startswith("row "))
        parts = [counted(rows, "row")] if rows else []
        parts += [counted(files, "file")] if files else []
        return f"{' and '.join(parts)} left out" if parts else ""


@dataclass(frozen=True)
class _Columns:
    """The positions of the columns."""

    file: int
    label: int
    split: int | None

    @staticmethod
    def of(labels: Path, head: Sequence[str]) -> _Columns:
        plain = [re.sub(r"[\s-]+", "_", name.strip().lower()) for name in head]

        def position(what: str, names: Sequence[str], first: int) -> int | None:
            """A column of the first names may not occur beside another of them; one of the others counts only alone."""
            certain = [index for index, name in enumerate(plain) if name in names[:first]]
            found = certain or [index for index, name in enumerate(plain) if name in names[first:]][:1]
            if len(found) > 1:
                raise BadInput(
                    f"{labels}: each of the columns {', '.join(head[index] for index in found)} can be the {what}.",
                    f"Keep one, or rename the others; {what}: {', '.join(names)}.",
                )
            return found[0] if found else None

        file = position("file", FILE_COLUMNS, FILE_COLUMNS.index("id"))
        label = position("label", LABEL_COLUMNS, LABEL_COLUMNS.index("target"))
        if file is None or label is None:
            missing = "file" if file is None else "label"
            raise BadInput(
                f"The first line of {labels} names no column {missing}: {', '.join(head) or 'it is empty'}.",
                "Write file,label (and if wanted split) into the first line.",
            )
        return _Columns(file, label, position("split", SPLIT_COLUMNS, len(SPLIT_COLUMNS)))

    def split_in(self, labels: Path, line: int, row: Sequence[str]) -> Split | None:
        """The split of a row; None without one."""
        word = "" if self.split is None else row[self.split]
        if not word:
            return None
        found = split_of(word)
        if found is None:
            raise BadInput(
                f"{labels}, line {line}: {word!r} is no split.",
                "Use train, validation and test, or leave it empty.",
            )
        return found


class _Files:
    """Finds the files that a row may name.

    Args:
        folder: the images' folder.
        beside: folder of the table.
        names: of the images, relative to the folder.
    """

    def __init__(self, folder: Path, beside: Path, names: Sequence[str]) -> None:
        self._folder, self._beside = str(folder.absolute()), str(beside)
        self._names = frozenset(names)
        self._by_end: defaultdict[str, list[str]] = defaultdict(list)
        for name in names:
            bare = name.rpartition("/")[2]
            for end in {bare, _ENDING.sub("", name), _ENDING.sub("", bare)} - {name}:
                self._by_end[end].append(name)

    def match(self, text: str) -> list[str]:
        """One file, or several that can be meant, or none."""
        spelled = text.replace("\\", "/") if text not in self._names else text
        plain = os.path.normpath(spelled) if spelled else ""
        starts = ("",) if plain.startswith("/") else (f"{self._folder}/", f"{self._beside}/")
        below = (os.path.relpath(f"{start}{plain}", self._folder) for start in starts if plain)
        for name in (text, plain, *below):
            if name in self._names:
                return [name]
        return self._by_end.get(plain, [])


def _rows(labels: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Names of the columns; number of the line and cells of each row, without empty lines."""
    if not labels.is_file():
        raise BadInput(f"There is no file {labels}.", "Check the path of --labels.")
    try:
        text = labels.read_text(encoding="utf-8-sig")
        first = text.partition("\n")[0]
        delimiter = max(",;\t", key=first.count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        rows = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(
            f"The labels {labels} cannot be read: {error}.", "Give a CSV file in UTF-8."
        ) from error
    rows = [(line, cells) for line, cells in rows if any(cells)]
    return (rows[0][1], rows[1:]) if rows else ([], [])


def _split(
    path: Path, labels: Path, table: _Table, read: FolderImages, rows: list[int], test_share: float | None
) -> DataSet:
    """Pool and test set by the column of splits, or by a share of each class."""
    pool_rows, test_rows, held = _by_splits(labels, table, read, rows)
    label = [table.label.get(name, "") for name in read.paths]
    names = _sorted_names({label[row] for row in pool_rows})
    if len(names) < 2:
        raise BadInput(
            f"Every image of {labels} has the label {names[0]!r}: there is nothing to learn.{table.sentence}",
            "Give images of at least two classes.",
        )
    number = {name: index for index, name in enumerate(names)}
    unknown = sorted({label[row] for row in test_rows} - set(number))
    if unknown:
        raise BadInput(
            f"{labels}: {counted(len(unknown), 'class', 'classes')} in the split {held} that the split train lacks: "
            f"{', '.join(unknown[:5])}.",
            "Use the same classes in both.",
        )

    def part(chosen: list[int]) -> tuple[ImageSet, Int64[np.ndarray, " n"]]:
        classes = np.array([number[label[row]] for row in chosen], dtype=np.int64)
        return read.chosen(np.array(chosen, dtype=np.int64)), classes

    pool, classes = part(pool_rows)
    files = tuple(read.paths[row] for row in pool_rows)
    if held:
        if test_share is not None:
            raise BadInput(
                f"{labels} has a test set of its own: the split {held}.", "Leave out --test-share."
            )
        test, test_classes = part(test_rows)
        note = f"test set: split {held}" if held == "validation" else ""
    else:
        drawn = split_off(pool, classes, test_share or TEST_SHARE, labels, read.place)
        pool, classes, test, test_classes = drawn.pool, drawn.pool_classes, drawn.test, drawn.test_classes
        files, note = files_at(files, drawn.pool_positions), drawn.note
    return DataSet(
        path.resolve().name,
        pool,
        classes,
        LabelledSet(test, test_classes, len(names)),
        names,
        "; ".join(words for words in (table.note, note) if words),
        pool_files=files,
    )


def _by_splits(
    labels: Path, table: _Table, read: FolderImages, rows: list[int]
) -> tuple[list[int], list[int], Split | None]:
    """Rows of the pool, those of the test set, and the split that is the test set; all are of the pool without one."""
    if not table.split:
        return rows, [], None
    parts: dict[Split, list[int]] = {"train": [], "validation": [], "test": []}
    for row in rows:
        parts[table.split[read.paths[row]]].append(row)
    if not parts["train"]:
        raise BadInput(f"No row of {labels} is of the split train.", "Name the rows of the pool train.")
    if parts["test"]:
        if unused := parts["validation"]:
            names = [read.paths[row] for row in unused[:_SHOWN]]
            table.left_out["file of the split validation"] = (names, len(unused))
        return parts["train"], parts["test"], "test"
    return parts["train"], parts["validation"], "validation" if parts["validation"] else None


def _sorted_names(names: set[str]) -> tuple[str, ...]:
    try:
        return tuple(sorted(sorted(names), key=float))
    except ValueError:
        return tuple(sorted(names))
