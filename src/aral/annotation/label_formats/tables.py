"""Tables: CSV with any delimiter, as people and spreadsheets write it, and ``labels.csv`` of an export."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aral.annotation.formats import split_names, unescape_cell
from aral.annotation.label_formats.columns import Columns, find_columns, is_one, plain
from aral.annotation.label_formats.rows import (
    SEVERAL_CLASSES,
    LabelFile,
    LabelFormat,
    ReadLabels,
    ReadOptions,
    Rows,
    readable,
    stated_provenance,
)
from aral.annotation.label_studio import annotator_name, class_in_cell
from aral.errors import BadInput
from aral.plural import counted

DELIMITERS = (",", ";", "\t", "|")
EXPORTED = frozenset({"path", "label", "answer", "annotator", "sha256"})
"""Columns that only tables of an export have together."""

SHORT_FORM = frozenset({"annotation_id", "annotator"})
"""Columns of Label Studio's CSV and of its short form of JSON."""


@dataclass(frozen=True)
class _Table:
    """A table.

    Attributes:
        header: names of the columns as they are spelled.
        rows: cells of each row that is not empty, with the number of its last line.
    """

    header: Sequence[str]
    rows: Sequence[tuple[int, Sequence[str]]]

    def column(self, name: str) -> list[str]:
        """The cells of a column."""
        index = self.header.index(name)
        return [cells[index] for _, cells in self.rows if len(cells) > index]


def _read(file: LabelFile, options: ReadOptions) -> ReadLabels:
    rows = Rows()
    with readable(file.path):
        table = _table(file.text, rows)
    names = {plain(name) for name in table.header}
    if {"probability", "problem"} <= names:
        raise BadInput(
            f"{file.path} is a table of predictions, as aral predict writes it, not of labels.",
            "To import them all the same, keep only the columns path and class.",
        )
    exported = names >= EXPORTED and not options.image_column and not options.label_column
    columns = _exported_columns(table) if exported else None
    columns = columns or find_columns(str(file.path), table.header, table.column, options)
    rows.notes += columns.notes
    image = table.header.index(columns.image)
    for number, cells in table.rows:
        texts = [rows.windows.read(cell, number, is_path=index == image) for index, cell in enumerate(cells)]
        _add_row(rows, number, table.header, texts, columns)
    return rows.result(str(file.path))


def _exported_columns(table: _Table) -> Columns | None:
    path = [name for name in table.header if plain(name) == "path"]
    label = [name for name in table.header if plain(name) == "label"]
    return Columns(path[0], (label[0],)) if len(path) == len(label) == 1 else None


def _add_row(
    rows: Rows,
    number: int,
    header: Sequence[str],
    cells: Sequence[str],
    columns: Columns,
) -> None:
    line = f"line {number}"
    image = header.index(columns.image)
    path = cells[image] if image < len(cells) else cells[0]
    wanted = [header.index(name) for name in columns.labels]
    if len(cells) > len(header) or max(image, *wanted) >= len(cells):
        rows.reject(path, f"its row has {counted(len(cells), 'cell')}, the header {len(header)}", line)
        return
    if len(wanted) > 1:
        _add_one_hot(rows, path, [(header[index], cells[index]) for index in wanted], line)
        return
    found = class_in_cell(cells[wanted[0]])
    if found.problem:
        rows.reject(path, found.problem, found.detail or line)
        return
    fields: dict[str, str] = {}
    for name, cell in zip(header, cells, strict=False):
        fields.setdefault(plain(name), cell)
    rows.add_answer(
        path,
        fields.get("answer", "").strip(),
        found.label,
        _annotators(fields),
        line,
        sha256=fields.get("sha256", "").strip(),
        provenance=stated_provenance(*(fields.get(name, "") for name in ("round", "strategy", "score"))),
        events=split_names(fields.get("events", "")),
    )


def _add_one_hot(rows: Rows, path: str, cells: Sequence[tuple[str, str]], line: str) -> None:
    """Exactly one of the class columns says yes."""
    names = [name.strip() for name, cell in cells if is_one(cell)]
    if any(is_one(cell) is None for _, cell in cells):
        rows.reject(path, "one of its class columns is neither 0 nor 1", line)
    elif len(names) > 1:
        rows.reject(path, SEVERAL_CLASSES, ", ".join(names))
    elif not names:
        rows.reject(path, "none of its class columns is 1", line)
    else:
        rows.add_class(path, names[0], detail=line)


def _annotators(fields: Mapping[str, str]) -> list[str]:
    annotator = fields.get("annotator", "")
    if fields.keys() >= SHORT_FORM:
        return [annotator_name(annotator)]
    return split_names(annotator)


def _table(text: str, rows: Rows) -> _Table:
    """The table with the delimiter that separates most columns of its header."""
    first_line, _, rest = text.partition("\n")
    named = re.fullmatch("sep=([,;\t|:])\r?", first_line)  # Excel's way to name the delimiter
    if named:
        text = rest
    delimiters = (named[1],) if named else DELIMITERS
    delimiter = max(delimiters, key=lambda each: len(_header(text, each)))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    header = [rows.windows.read(unescape_cell(name.strip()), 1) for name in next(reader, [])]
    before = 1 if named else 0
    read = [
        (reader.line_num + before, [unescape_cell(cell) for cell in cells]) for cells in reader if any(cells)
    ]
    return _Table(header, read)


def _header(text: str, delimiter: str) -> list[str]:
    return next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])


TABLE = LabelFormat[LabelFile]("table", lambda file: file.kind == "table", _read)
