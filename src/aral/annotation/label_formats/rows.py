"""Labels as files have them, the type of a format, and the collector that every format adds its rows to."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, get_args

from aral.annotation import IMPORT, Action, Provenance
from aral.annotation.label_formats.encodings import WindowsTexts, decoded, is_foreign
from aral.annotation.rejected import Rejected
from aral.data.scan import Found, scan
from aral.errors import BadInput
from aral.plural import counted

Source = TypeVar("Source")
FileKind = Literal["table", "JSON", "JSON lines", "XML"]

NOT_STATED = Provenance(None, IMPORT, None)
SEVERAL_CLASSES = "it has several classes, and only one can be the label"
SHAPES = "it labels boxes or other shapes, not the whole image"
MOST_BYTES = 2**28

_EVENT_ID = re.compile("[0-9a-f]{40}")
_ACTIONS: tuple[Action, ...] = tuple(action for action in get_args(Action) if action != "undo")
_KINDS: dict[str, FileKind] = {
    ".csv": "table",
    ".tsv": "table",
    ".txt": "table",
    ".jsonl": "JSON lines",
    ".ndjson": "JSON lines",
    ".json": "JSON",
    ".xml": "XML",
}
_ADVICE = {
    ".zip": "Unpack it, and give the label file or folder inside.",
    ".xlsx": "Save the table as CSV UTF-8.",
    ".xls": "Save the table as CSV UTF-8.",
    ".ods": "Save the table as CSV UTF-8.",
    ".parquet": "Save the table as CSV.",
}


@dataclass(frozen=True)
class FileLabel:
    """A label, or an answer without a class, as a file has it.

    Attributes:
        path: of the image; may have more folders before it than the project knows, or be a URL.
        action: ``class`` or an answer without a class.
        label: for ``class`` the name of the class.
        annotator: empty when the file does not name one.
        image_id: the image's number, if the file is an export of a project.
        sha256: of the image's bytes, if known.
        provenance: why the image was labelled, if the file is an export of a project.
        event_id: identity of the annotation event, if the file is an export of a project.
        row: number of the row that it is from, which may hold labels of several annotators; 0 if it is its own row.
    """

    path: str
    action: Action
    label: str = ""
    annotator: str = ""
    image_id: int | None = None
    sha256: str = ""
    provenance: Provenance = NOT_STATED
    event_id: str = ""
    row: int = field(default=0, compare=False)


@dataclass(frozen=True)
class ReadLabels:
    """The labels of a file or folder.

    Attributes:
        labels: in order.
        rejected: rows and files that cannot be imported into any project.
        notes: how the source was read and what was ignored, as sentences.
        ignored: rows that hold no label; a note says of which kinds.
    """

    labels: tuple[FileLabel, ...]
    rejected: tuple[Rejected, ...] = ()
    notes: tuple[str, ...] = ()
    ignored: int = 0


@dataclass(frozen=True)
class ReadOptions:
    """What the user says about a source.

    Attributes:
        classes: names of the class folders; no other folder is a class then. Empty if they are not known.
        image_column: the column, or field, that names the image; empty to find it.
        label_column: the column, field or control with the label; several columns of 0 and 1 are separated by
            commas; empty to find it.
    """

    classes: tuple[str, ...] = ()
    image_column: str = ""
    label_column: str = ""


@dataclass(frozen=True)
class LabelFormat(Generic[Source]):
    """A form in which labels are read.

    Attributes:
        name: as messages write it.
        recognise: whether a source has this form.
        read: its labels.
    """

    name: str
    recognise: Callable[[Source], bool]
    read: Callable[[Source, ReadOptions], ReadLabels]


@dataclass(frozen=True)
class JsonRow:
    """An object of a file of JSON lines, or of a JSON list.

    Attributes:
        number: of its line, or of its place in the list, from 1.
        fields: of the object.
    """

    number: int
    fields: dict[str, Any]


@dataclass(frozen=True)
class LabelFile:
    """A label file that has been read and decoded.

    Attributes:
        path: the file.
        kind: how it is written.
        text: its content.
        document: of JSON the value, of JSON lines the list of objects; None for other kinds.
    """

    path: Path
    kind: FileKind
    text: str
    document: Any

    @staticmethod
    def open(path: Path) -> LabelFile:
        """Read a file.

        Raises:
            BadInput: it cannot be read, is too large, has an unknown ending, or is not what its ending says.
        """
        ending = path.suffix.lower()
        if ending not in _KINDS:
            raise BadInput(
                f"{path} is neither .csv, .tsv, .txt, .jsonl, .json, .xml nor a folder.",
                _ADVICE.get(ending, "Give a label file or a folder of class folders."),
            )
        with readable(path):
            if path.stat().st_size > MOST_BYTES:
                raise BadInput(f"{path} is larger than {MOST_BYTES} bytes.", "Split it into smaller files.")
            content = path.read_bytes()
            kind = _KINDS[ending]
            if kind == "XML":  # the parser decodes
                return LabelFile(path, kind, content.decode("latin-1"), None)
            return _parsed(path, kind, decoded(content))

    @cached_property
    def rows(self) -> list[JsonRow] | None:
        """The objects of a list; None if the file is not a list of objects only."""
        if not isinstance(self.document, list):
            return None
        if not all(isinstance(each, dict) for each in self.document):
            return None
        if self.kind == "JSON lines":
            lines = (number for number, line in enumerate(self.text.split("\n"), 1) if line.strip())
            return [JsonRow(number, each) for number, each in zip(lines, self.document, strict=True)]
        return [JsonRow(number, each) for number, each in enumerate(self.document, 1)]


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """A context in which errors of reading and parsing a file become BadInput with its name."""
    try:
        yield
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.", "Check the path.") from error
    except (ValueError, csv.Error, RecursionError) as error:
        raise BadInput(f"{path} cannot be understood: {error}.", "Check the format.") from error


def _parsed(path: Path, kind: FileKind, text: str) -> LabelFile:
    if kind == "table":
        return LabelFile(path, kind, text, None)
    if kind == "JSON":
        try:
            return LabelFile(path, kind, text, json.loads(text))
        except ValueError as error:
            if not str(error).startswith("Extra data"):  # JSON lines in a file named .json
                raise
    return LabelFile(path, "JSON lines", text, list(_json_lines(text)))


def _json_lines(text: str) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(text.split("\n"), 1):  # U+2028 and others are characters of a JSON text
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error
        if not isinstance(row, dict):
            raise ValueError(f"line {number} is no object")
        rows.append(row)
    return rows


@dataclass(frozen=True)
class LabelFolder:
    """A folder of labels.

    Attributes:
        path: the folder.
    """

    path: Path

    @cached_property
    def found(self) -> Found:
        """The files below it; links that lead out of it are not followed."""
        return scan(self.path)


class Rows:
    """Collects the labels of the rows of one source."""

    def __init__(self) -> None:
        self._labels: list[FileLabel] = []
        self._row = 0
        self._rejected: list[Rejected] = []
        self._ignored: Counter[tuple[str, str]] = Counter()
        self.notes: list[str] = []
        self.windows = WindowsTexts()

    def add_class(
        self, path: str, label: str, annotator: str = "", detail: str = "", *, sha256: str = ""
    ) -> None:
        """Add a class; an empty one is a row without a label."""
        self.add_answer(path, "class" if label.strip() else "", label, [annotator], detail, sha256=sha256)

    def add_answer(
        self,
        path: str,
        answer: str,
        label: str,
        annotators: Sequence[str] = ("",),
        detail: str = "",
        *,
        image_id: int | None = None,
        sha256: str = "",
        provenance: Provenance = NOT_STATED,
        events: Sequence[str] = (),
    ) -> None:
        """Add an answer of one or several annotators.

        Args:
            path: of the image.
            answer: ``class``, an answer without a class, ``conflict``, or empty.
            label: name of the class.
            annotators: who gave it.
            detail: where it is in the source, for the list of rejected rows.
            image_id: as in :class:`FileLabel`, like the next two.
            sha256: of the image.
            provenance: of the label.
            events: identity of each annotator's event.
        """
        label = label.strip()
        answer = answer or ("class" if label else "")
        if answer == "conflict":
            self.ignore("image on which the annotators disagree", "images on which the annotators disagree")
            return
        if not answer:
            self.ignore("row without a label", "rows without a label")
            return
        action: Action | None = next((each for each in _ACTIONS if each == answer), None)
        if action is None:
            self.reject(path, f"its answer is none of {', '.join(_ACTIONS)}", repr(answer))
            return
        names = [annotator.strip() for annotator in annotators] or [""]
        known = len(events) == len(names) and all(map(_EVENT_ID.fullmatch, events))
        problem = "" if action != "class" else _problem_of(label, known)
        if problem:
            self.reject(path, problem, repr(label[:60]))
            return
        self._row += 1
        for annotator, event_id in zip(names, events if known else [""] * len(names), strict=True):
            self._labels.append(
                FileLabel(
                    path,
                    action,
                    label if action == "class" else "",
                    annotator,
                    image_id,
                    sha256,
                    provenance,
                    event_id,
                    self._row,
                )
            )

    def ignore(self, one: str, many: str) -> None:
        """Count a row that has no label.

        Args:
            one: what one such row is, for a note.
            many: what several are.
        """
        self._ignored[one, many] += 1

    def reject(self, path: str, reason: str, detail: str = "") -> None:
        """Record a row that cannot be read."""
        self._rejected.append(Rejected(path, reason, detail))

    def result(self, name: str = "") -> ReadLabels:
        """Everything that was added.

        Args:
            name: of the file, for notes about its encoding.
        """
        ignored = [f"Ignored: {counted(count, *words)}." for words, count in self._ignored.items()]
        notes = (*self.windows.notes(name), *self.notes, *ignored)
        return ReadLabels(tuple(self._labels), tuple(self._rejected), notes, self._ignored.total())


def stated_provenance(round_text: str, strategy: str, score: str) -> Provenance:
    """Why the image was labelled, as an export has it; without a strategy, round and score are ignored."""
    strategy, round_text, score = strategy.strip(), round_text.strip(), score.strip().replace(",", ".")
    if not strategy:
        return NOT_STATED
    is_number = round_text.isascii() and round_text.isdecimal() and len(round_text) < 10
    number = int(round_text) if is_number else None
    try:
        return Provenance(number, strategy, float(score) if score else None)
    except ValueError:
        return Provenance(number, strategy, None)


def _problem_of(label: str, exported: bool) -> str:
    """Why a text is no name of a class; empty if it is one. Exported labels may be any text."""
    if not label:
        return "its answer is a class, but it names none"
    if exported:
        return ""
    if is_json(label):
        return "its label is JSON, not the name of one class"
    if "\n" in label or "\r" in label:
        return "its label has several lines, as after a quote that is not closed"
    if is_foreign(label):
        return "its label has bytes that are neither UTF-8 nor Windows-1252"
    return ""


def is_json(text: str) -> bool:
    """Whether a text is a JSON object or list, as exports of other programs have them in cells."""
    if not text.startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
