"""Read labels from CSV, JSON lines, Label Studio's JSON, class folders or an export of aral; and the classes named.

Every source becomes :class:`FileLabel` rows. A row that cannot be read is rejected with its reason, and what is
ignored is counted in a note.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import json
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from aral.annotation import IMPORT, Action, Provenance, Rejected, label_studio
from aral.annotation.formats import (
    EXPORTED_IMAGES,
    EXPORTED_LABELS,
    LABEL_FILES,
    UNREADABLE,
    class_folder_names,
    split_names,
    unescape_cell,
)
from aral.data.folder_layout import image_files, is_image, read_layout
from aral.data.image_file import read_image_bytes
from aral.data.scan import Found, scan
from aral.data.unreadable import Refused
from aral.errors import BadInput
from aral.plural import counted

PATH_COLUMNS = ("path", "file", "filename", "file_name", "image", "name")
LABEL_COLUMNS = ("label", "class", "category", "choice")
DELIMITERS = (",", ";", "\t")
MOST_BYTES = 2**28
MOST_CLASS_FOLDERS = 100
_EVENT_ID = re.compile("[0-9a-f]{40}")
_ACTIONS: tuple[Action, ...] = tuple(action for action in get_args(Action) if action != "undo")
_NOT_STATED = Provenance(None, IMPORT, None)


@dataclass(frozen=True)
class FileLabel:
    """A label, or an answer without a class, as a file has it.

    Attributes:
        path: of the image; may have more folders before it than the project knows.
        action: ``class`` or an answer without a class.
        label: for ``class`` the name of the class.
        annotator: empty when the file does not name one.
        image_id: the image's number, if the file is an export of a project.
        sha256: of the image's bytes, if known.
        provenance: why the image was labelled, if the file is an export of a project.
        event_id: identity of the annotation event, if the file is an export of a project.
    """

    path: str
    action: Action
    label: str = ""
    annotator: str = ""
    image_id: int | None = None
    sha256: str = ""
    provenance: Provenance = _NOT_STATED
    event_id: str = ""


@dataclass(frozen=True)
class ReadLabels:
    """The labels of a file or folder.

    Attributes:
        labels: in order.
        rejected: rows and files that cannot be imported into any project.
        notes: how the source was read and what was ignored, as sentences.
    """

    labels: tuple[FileLabel, ...]
    rejected: tuple[Rejected, ...] = ()
    notes: tuple[str, ...] = ()


def read_labels(source: Path, classes: Collection[str] = ()) -> ReadLabels:
    """Read the labels of a file or folder.

    An export folder of aral is read as a whole: the first of its label files, which all hold the same labels.

    Args:
        source: the file or folder.
        classes: names of the class folders, if they are known; no other folder is a class then.

    Raises:
        BadInput: it is missing or of another format, or classes are given for a file.
    """
    if source.is_dir():
        return _read_folder(source, classes)
    if classes:
        raise BadInput(f"{source} is a file, which names its classes itself.", "--classes is for folders.")
    return _read_file(source)


@dataclass(frozen=True)
class ClassNames:
    """The classes that a source names.

    Attributes:
        names: in order; empty without any.
        reason: why there are none; empty with some.
        notes: which folders were read as splits, which as classes, and what was ignored; empty if all are classes.
    """

    names: tuple[str, ...]
    reason: str = ""
    notes: tuple[str, ...] = ()


def class_names_of(source: Path) -> ClassNames:
    """The classes that a label file, or a folder of class folders, names.

    A folder names classes when its images lie in two to a hundred class folders, below splits such as ``train/`` if
    there are any, and none lies beside them. Folders named like splits or dates are no classes. Files that are no
    images are ignored.

    Raises:
        BadInput: the file cannot be read.
    """
    if source.is_dir() and not is_export(source):
        return _class_names_of_folders(source)
    named = dict.fromkeys(label.label for label in read_labels(source).labels if label.action == "class")
    return ClassNames(tuple(named), "" if named else f"{source} names none")


def is_export(folder: Path) -> bool:
    """Whether ``aral export`` has written a folder: its list of unreadable files is always there."""
    try:
        with (folder / UNREADABLE).open("rb") as file:
            return file.read(100).splitlines()[:1] == [b"path,reason,detail"]
    except OSError:
        return False


# Files


class _NotReadable(Exception):
    """A row cannot be read; the message is the reason, as part of a sentence."""


class _Rows:
    """Collects the labels of the rows of one file.

    Args:
        source: the file, for messages.
    """

    def __init__(self, source: Path) -> None:
        self._source = source
        self._labels: list[FileLabel] = []
        self._rejected: list[Rejected] = []
        self._without_label = 0
        self._disagreements = 0
        self.notes: list[str] = []

    def add(self, fields: Mapping[str, Any]) -> None:
        """Read a row by its columns, which are in lower case."""
        path = fields.get(_first(fields, PATH_COLUMNS) or "", "")
        try:
            annotators = fields.get("annotators") or [fields.get("annotator") or ""]
            self.add_answer(
                _text(fields, PATH_COLUMNS),
                _text(fields, ("answer",)).strip(),
                _text(fields, LABEL_COLUMNS),
                _texts(annotators),
                sha256=_text(fields, ("sha256",)).strip(),
                provenance=_provenance(fields),
                events=_texts(fields.get("events") or []),
            )
        except _NotReadable as problem:
            self.reject(str(path), str(problem))

    def add_answer(
        self,
        path: str,
        answer: str,
        label: str,
        annotators: Sequence[str] = ("",),
        *,
        image_id: int | None = None,
        sha256: str = "",
        provenance: Provenance = _NOT_STATED,
        events: Sequence[str] = (),
    ) -> None:
        """Add an answer of one or several annotators.

        Raises:
            BadInput: it is no answer.
        """
        label = label.strip()
        action = answer or ("class" if label else "")
        if action == "conflict":
            self._disagreements += 1
            return
        if not action:
            self._without_label += 1
            return
        found: Action | None = next((each for each in _ACTIONS if each == action), None)
        if found is None or (found == "class" and not label):
            raise BadInput(
                f"{self._source} has {action!r} {label!r} for {path!r}, which is no answer.",
                f"Valid: a label, or {', '.join(each for each in _ACTIONS if each != 'class')}.",
            )
        annotators = [annotator.strip() for annotator in annotators] or [""]
        known = len(events) == len(annotators) and all(map(_EVENT_ID.fullmatch, events))
        if found == "class" and not known and _is_json(label):
            self.reject(path, f"its label {label[:60]!r} is JSON, not the name of one class")
            return
        if found == "class" and not known and ("\n" in label or "\r" in label):
            self.reject(
                path, f"its label {label[:60]!r} has several lines, as after a quote that is not closed"
            )
            return
        for annotator, event_id in zip(annotators, events if known else [""] * len(annotators), strict=True):
            self._labels.append(
                FileLabel(
                    path,
                    found,
                    label if found == "class" else "",
                    annotator,
                    image_id,
                    sha256,
                    provenance,
                    event_id,
                )
            )

    def add_without_label(self) -> None:
        """Count a row that has no label."""
        self._without_label += 1

    def reject(self, path: str, reason: str) -> None:
        """Record a row that cannot be read."""
        self._rejected.append(Rejected(path, reason))

    def result(self) -> ReadLabels:
        """Everything that was added."""
        notes = list(self.notes)
        if self._without_label:
            notes.append(f"Ignored: {counted(self._without_label, 'row')} without a label.")
        if self._disagreements:
            notes.append(
                f"Ignored: {counted(self._disagreements, 'image')} on which the annotators disagree."
            )
        return ReadLabels(tuple(self._labels), tuple(self._rejected), tuple(notes))


def _read_file(source: Path) -> ReadLabels:
    readers = {".csv": _read_csv, ".tsv": _read_csv, ".jsonl": _read_jsonl, ".json": _read_json}
    reader = readers.get(source.suffix.lower())
    if reader is None:
        raise BadInput(
            f"{source} is neither .csv, .tsv, .jsonl, .json nor a folder.",
            "Give a label file or a folder of class folders.",
        )
    rows = _Rows(source)
    try:
        if source.stat().st_size > MOST_BYTES:
            raise BadInput(f"{source} is larger than {MOST_BYTES} bytes.", "Split it into smaller files.")
        reader(source, _decoded(source.read_bytes()), rows)
    except OSError as error:
        raise BadInput(f"{source} cannot be read: {error.strerror}.", "Check the path.") from error
    except (ValueError, csv.Error, RecursionError) as error:
        raise BadInput(f"{source} cannot be understood: {error}.", "Check the format.") from error
    return rows.result()


def _decoded(content: bytes) -> str:
    """UTF-16 with a byte order mark, otherwise UTF-8; bytes that are no UTF-8 become surrogates, as in file names.

    Raises:
        ValueError: it holds zero bytes, as UTF-16 without a byte order mark does.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    if b"\0" in content:
        raise ValueError("it holds zero bytes, as UTF-16 does; save it as UTF-8")
    return content.decode("utf-8-sig", "surrogateescape")


def _read_csv(source: Path, text: str, rows: _Rows) -> None:
    reader, columns = _csv_table(source, text)
    if {"probability", "problem"} <= set(columns):
        raise BadInput(
            f"{source} is a table of predictions, as aral predict writes it, not of labels.",
            "To import them all the same, keep only the columns path and class.",
        )
    for names in (PATH_COLUMNS, LABEL_COLUMNS):
        first, *others = [name for name in names for column in columns if column == name]
        if others:
            rows.notes.append(f"The column {first} is read; ignored: {', '.join(others)}.")
    path_column, label_column = _first(columns, PATH_COLUMNS), _first(columns, LABEL_COLUMNS)
    for cells in reader:
        if not any(cells):
            continue
        fields: dict[str, Any] = {}
        for name, cell in zip(columns, cells, strict=False):
            fields.setdefault(name, unescape_cell(cell))
        if len(cells) > len(columns) or path_column not in fields or label_column not in fields:
            path = fields.get(path_column or "", cells[0])
            rows.reject(path, f"its row has {counted(len(cells), 'cell')}, the header {len(columns)}")
            continue
        fields["annotators"] = split_names(fields.get("annotator", ""))
        fields["events"] = split_names(fields.get("events", ""))
        rows.add(fields)


def _csv_table(source: Path, text: str) -> tuple[Iterator[list[str]], list[str]]:
    """The rows below the header and its columns in lower case, by the delimiter with which both columns are found.

    Raises:
        BadInput: there are no such columns.
    """
    first_line, _, rest = text.partition("\n")
    if re.fullmatch("sep=.\r?", first_line):  # Excel's way to name the delimiter
        text = rest
    columns: list[str] = []
    for delimiter in DELIMITERS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        header = [name.strip().lower() for name in next(reader, [])]
        if _first(header, PATH_COLUMNS) and _first(header, LABEL_COLUMNS):
            return reader, header
        columns = max(columns, header, key=len)
    raise BadInput(
        f"{source} has the columns {', '.join(filter(None, columns)) or 'none'}.",
        "Two are needed: path and label.",
    )


def _read_jsonl(source: Path, text: str, rows: _Rows) -> None:
    for number, line in enumerate(text.split("\n"), 1):  # U+2028 and others are characters of a JSON text
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error
        if not isinstance(row, dict):
            raise ValueError(f"line {number} is no object")
        rows.add({str(key).strip().lower(): value for key, value in row.items()})


def _read_json(source: Path, text: str, rows: _Rows) -> None:
    """Label Studio's JSON, and its short form (JSON-MIN) with one object a row."""
    tasks = json.loads(text)
    if not isinstance(tasks, list):
        raise ValueError("Label Studio's JSON is a list of tasks")
    for task in tasks:
        if not isinstance(task, dict):
            raise ValueError("a task is no object")
        if "data" in task:
            _add_task(task, rows)
        elif _first(task, PATH_COLUMNS) and _first(task, LABEL_COLUMNS):
            rows.add(task)
        else:
            raise ValueError("a task has neither data nor a path and a label")


def _add_task(task: Mapping[str, Any], rows: _Rows) -> None:
    data, meta = task["data"], task.get("meta")
    if not isinstance(data, dict):
        raise ValueError("a task has no data")
    address, number = data.get("image"), data.get("aral_id")
    path = label_studio.path_of(address) if isinstance(address, str) else ""
    try:
        provenance = _provenance(meta) if isinstance(meta, dict) else _NOT_STATED
        sha256 = _text(data, ("aral_sha256",)).strip()
    except _NotReadable as problem:
        rows.reject(path, str(problem))
        return
    annotations = label_studio.answers_of(task)
    if not annotations:
        rows.add_without_label()
    for each in annotations:
        if each.problem:
            rows.reject(path, each.problem)
        elif (each.action, each.label) == (data.get("aral_answer"), data.get("aral_label")):
            # It was not changed in Label Studio: these are the annotation events of the export.
            annotators, events = (
                _texts(data.get(name) or [""]) for name in ("aral_annotators", "aral_events")
            )
            rows.add_answer(
                path, each.action, each.label, annotators, sha256=sha256, provenance=provenance, events=events
            )
        else:
            image_id = number if isinstance(number, int) else None
            rows.add_answer(
                path,
                each.action,
                each.label,
                [each.annotator],
                image_id=image_id,
                sha256=sha256,
                provenance=provenance,
            )


def _first(fields: Collection[str], names: Iterable[str]) -> str | None:
    """The first of these names that is a column."""
    return next((name for name in names if name in fields), None)


def _text(fields: Mapping[str, Any], names: Iterable[str]) -> str:
    """The first of these columns that is not null, as text.

    Raises:
        _NotReadable: it is a list or an object.
    """
    name = next((name for name in names if fields.get(name) is not None), None)
    if name is None:
        return ""
    value = fields[name]
    if isinstance(value, list | dict):
        raise _NotReadable(f"its {name} is {json.dumps(value)[:60]}, not a text")
    return value if isinstance(value, str) else json.dumps(value)


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return ["" if each is None else str(each) for each in values]


def _is_json(text: str) -> bool:
    """Whether a text is a JSON object or list, as exports of other programs have them in cells."""
    if not text.startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _provenance(fields: Mapping[str, Any]) -> Provenance:
    """Why the image was labelled, as an export has it; without a strategy, round and score are ignored."""
    strategy = _text(fields, ("strategy",)).strip()
    if not strategy:
        return _NOT_STATED
    round_text, score = _text(fields, ("round",)).strip(), _text(fields, ("score",)).strip()
    is_number = round_text.isascii() and round_text.isdecimal() and len(round_text) < 10
    number = int(round_text) if is_number else None
    try:
        return Provenance(number, strategy, float(score) if score else None)
    except ValueError:
        return Provenance(number, strategy, None)


# Folders


def _read_folder(folder: Path, classes: Collection[str]) -> ReadLabels:
    """An export as a whole, its images, or any other folder of class folders."""
    if is_export(folder) and not classes:
        files = [folder / name for name in LABEL_FILES if (folder / name).is_file()]
        images = folder / EXPORTED_IMAGES
        others = [file.name for file in files[1:]] + ([f"{EXPORTED_IMAGES}/"] if images.is_dir() else [])
        if files:
            same = f" The same labels are in {', '.join(others)}." if others else ""
            note = f"{folder} is an export of aral; its {files[0].name} is read.{same}"
            read = _read_file(files[0])
            return replace(read, notes=(note, *read.notes))
        if images.is_dir():
            read = _read_folder(images, ())
            return replace(read, notes=(f"{folder} is an export of aral; its images are read.", *read.notes))
    exported = () if classes else _labels_of_exported_images(folder)
    if exported:
        return _read_exported_images(folder, exported)
    return _read_class_folders(folder, classes)


def _labels_of_exported_images(folder: Path) -> tuple[FileLabel, ...]:
    """The labels of the images in class folders of an export, by their paths there or by their content."""
    own = folder / EXPORTED_LABELS
    if own.is_file():
        return _read_file(own).labels
    if folder.name == EXPORTED_IMAGES and is_export(folder.parent):
        beside = (folder.parent / name for name in LABEL_FILES[:2])
        return tuple(label for file in beside if file.is_file() for label in _read_file(file).labels)
    return ()


def _read_exported_images(folder: Path, exported: Sequence[FileLabel]) -> ReadLabels:
    """Class folders of an export: a file in the folder it was written to has the annotation events of the export,
    one that was moved has a new label."""
    scanned = scan(folder, follow_links=True)
    by_content: defaultdict[str, list[FileLabel]] = defaultdict(list)
    class_of: dict[str, str] = {}
    for label in exported:
        if label.action == "class":
            by_content[label.sha256].append(label)
            class_of[label.path.partition("/")[0]] = label.label
    if not (folder / EXPORTED_LABELS).is_file():  # an earlier release wrote it: these paths are the photos'
        folders = class_folder_names(sorted({label.label for label in exported if label.label}))
        class_of = {inside: name for name, inside in folders.items()}

    def labels_of(name: str, content: str) -> list[FileLabel]:
        inside = name.partition("/")[0]
        class_name = class_of.get(inside, inside)
        events = [label for label in by_content[content] if label.label == class_name]
        return events or [FileLabel(name, "class", class_name, sha256=content)]

    names = [name for name in scanned.files if "/" in name]
    return _read_images(folder, names, scanned, labels_of, (f"{folder} holds images of an export of aral.",))


def _read_class_folders(folder: Path, classes: Collection[str]) -> ReadLabels:
    """Files in class folders, matched by their content; folders of splits and dates are no classes."""
    scanned = scan(folder)
    layout = read_layout(image_files(folder, scanned.files), within=folder.resolve().name, classes=classes)
    if layout.class_level is None:
        raise BadInput(
            f"{folder} holds no class folders. {' '.join(layout.sentences())}".strip(),
            "Make one folder a class, or name folders that are classes with --classes NAME,NAME.",
        )

    def labels_of(name: str, content: str) -> list[FileLabel]:
        label = layout.class_of(name)
        return [] if label is None else [FileLabel(name, "class", label, sha256=content)]

    names = [name for name in scanned.files if layout.class_of(name) is not None]
    return _read_images(folder, names, scanned, labels_of, layout.sentences())


def _read_images(
    folder: Path,
    names: Iterable[str],
    scanned: Found,
    labels_of: Callable[[str, str], list[FileLabel]],
    notes: tuple[str, ...],
) -> ReadLabels:
    """The labels of image files by path and content hash; an image in the folders of two classes is rejected."""
    rejected = [Rejected(bad.path, f"{bad.reason}: {bad.detail}") for bad in scanned.left_out]
    labels: list[FileLabel] = []
    for name in names:
        try:
            content = hashlib.sha256(read_image_bytes(folder / name)).hexdigest()
        except Refused as refused:
            rejected.append(Rejected(name, f"it cannot be read: {refused.detail}"))
            continue
        labels += [replace(label, path=name) for label in labels_of(name, content)]
    classes: defaultdict[str, set[str]] = defaultdict(set)
    for label in labels:
        classes[label.sha256].add(label.label)
    rejected += [
        Rejected(label.path, f"the same image is in {' and '.join(sorted(classes[label.sha256]))}")
        for label in labels
        if len(classes[label.sha256]) > 1
    ]
    unique = tuple(label for label in labels if len(classes[label.sha256]) == 1)
    return ReadLabels(unique, tuple(rejected), notes)


def _class_names_of_folders(source: Path) -> ClassNames:
    files = scan(source).files
    beside = next((name for name in files if "/" not in name and is_image(source / name)), None)
    if beside is not None:
        return ClassNames((), f"the image {beside!r} lies beside the folders")
    inside = (name for name in files if "/" in name)
    layout = read_layout(image_files(source, inside), within=source.resolve().name)
    notes = layout.sentences() if layout.splits or layout.ignored else ()
    if not 2 <= len(layout.classes) <= MOST_CLASS_FOLDERS:
        found = counted(len(layout.classes), "class folder has images", "class folders have images")
        return ClassNames((), f"{found}, and 2 to {MOST_CLASS_FOLDERS} are needed", notes)
    invalid = next((name for name in layout.classes if not _is_unicode(name)), None)
    if invalid is not None:
        return ClassNames((), f"the name of the folder {invalid!r} is not valid Unicode", notes)
    return ClassNames(layout.classes, "", notes)


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
