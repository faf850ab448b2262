"""Answers as files have them: CSV, JSON lines, Label Studio's JSON, class folders, an export of aral."""

from __future__ import annotations

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

from aral.annotation import IMPORT, Action, Asking
from aral.annotation.label_rows import (
    BETWEEN_NAMES,
    EXPORTED_IMAGES,
    UNREADABLE,
    as_written,
    folder_names,
    separate_names,
)
from aral.annotation.label_studio import answers_of, path_of
from aral.data.folder_layout import image_files, read_layout
from aral.data.image_file import read_image_bytes
from aral.data.scan import Found as Scanned
from aral.data.scan import scan
from aral.data.unreadable import Refused
from aral.errors import BadInput

PATH_COLUMNS = ("path", "file", "filename", "file_name", "image", "name")
LABEL_COLUMNS = ("label", "class", "category", "choice")
MOST_BYTES = 2**28
_EVENT_ID = re.compile("[0-9a-f]{40}")
_ACTIONS = frozenset(get_args(Action)) - {"undo"}
_ELSEWHERE = Asking(None, IMPORT, None)


@dataclass(frozen=True)
class Found:
    """An answer as a file has it.

    Attributes:
        path: of the image; may have more folders before it than the project knows.
        action: what was said.
        label: for ``class`` the class by name.
        annotator: who said so; empty when the file does not tell.
        image_id: the image's number, if the file comes from a project.
        sha256: of the image's bytes, if known.
        asked: what asked for the label, if the file comes from a project.
        event_id: identity of the label event, if the file comes from a project.
    """

    path: str
    action: str
    label: str = ""
    annotator: str = ""
    image_id: int | None = None
    sha256: str = ""
    asked: Asking = _ELSEWHERE
    event_id: str = ""


@dataclass(frozen=True)
class NotTaken:
    """A row or file of which nothing is taken.

    Attributes:
        path: as the source has it.
        reason: why, as part of a sentence.
    """

    path: str
    reason: str


@dataclass(frozen=True)
class ReadLabels:
    """What a file or folder says.

    Attributes:
        found: the answers, in order.
        not_taken: what cannot be taken whatever the project.
        notes: how the source was understood, as sentences.
    """

    found: tuple[Found, ...]
    not_taken: tuple[NotTaken, ...] = ()
    notes: tuple[str, ...] = ()


def read_labels(source: Path, classes: Collection[str] = ()) -> ReadLabels:
    """Every answer in a file or folder.

    An export folder of aral is read as one: by the first of its files of labels, which all say the same.

    Args:
        source: the file or folder.
        classes: names of the class folders, if they are known; no other folder is a class then.

    Raises:
        BadInput: it is missing or of another format, or classes are given for a file.
    """
    if source.is_dir():
        return _folder(source, classes)
    if classes:
        raise BadInput(f"{source} names its classes itself.", "--classes is for folders of class folders.")
    return ReadLabels(tuple(_file(source)))


def _file(source: Path) -> list[Found]:
    """Every answer in a file."""
    readers = {".csv": _csv, ".jsonl": _jsonl, ".json": _label_studio}
    reader = readers.get(source.suffix.lower())
    if reader is None:
        raise BadInput(
            f"{source} is neither .csv, .jsonl, .json nor a folder.", "Give a file that aral export writes."
        )
    try:
        if source.stat().st_size > MOST_BYTES:
            raise BadInput(f"{source} is larger than {MOST_BYTES} bytes.", "Split it into smaller files.")
        text = source.read_bytes().decode("utf-8-sig", "surrogateescape")
        return [_checked(source, found) for found in reader(source, text)]
    except OSError as error:
        raise BadInput(f"{source} cannot be read: {error.strerror}.", "Check the path.") from error
    except (ValueError, csv.Error, RecursionError) as error:
        raise BadInput(f"{source} cannot be understood: {error}.", "Check the format.") from error


def _checked(source: Path, found: Found) -> Found:
    if found.action not in _ACTIONS or (found.action == "class" and not found.label.strip()):
        raise BadInput(
            f"{source} says {found.action!r} {found.label!r} of {found.path!r}, which is no answer.",
            f"Valid: a label, or {', '.join(sorted(_ACTIONS - {'class'}))}.",
        )
    return found


def _csv(source: Path, text: str) -> Iterator[Found]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    columns = {name.strip().lower(): name for name in reader.fieldnames or () if name}
    if {"probability", "problem"} <= columns.keys():
        raise BadInput(
            f"{source} is a table of predictions, as aral predict writes it: nobody gave these labels.",
            "To import them all the same, keep only the columns path and class.",
        )
    path = next((columns[name] for name in PATH_COLUMNS if name in columns), None)
    label = next((columns[name] for name in LABEL_COLUMNS if name in columns), None)
    if path is None or label is None:
        raise BadInput(
            f"{source} has the columns {', '.join(columns) or 'none'}.",
            "Two are needed: path and label.",
        )
    for row in reader:
        cells = {key: as_written(value or "") for key, value in row.items() if isinstance(value, str | None)}
        yield from _answers(
            cells[path],
            cells.get("answer", ""),
            cells[label],
            separate_names(cells.get("annotator", "")),
            cells.get("sha256", ""),
            _asking(cells),
            cells.get("events", "").split(BETWEEN_NAMES),
        )


def _jsonl(source: Path, text: str) -> Iterator[Found]:
    for line in text.splitlines():
        if not line.strip():
            continue
        row = json.loads(line)
        if not isinstance(row, dict):
            raise ValueError("a line is no object")
        annotators = row.get("annotators") or [row.get("annotator") or ""]
        yield from _answers(
            _text(row, PATH_COLUMNS),
            _text(row, ("answer",)),
            _text(row, LABEL_COLUMNS),
            _texts(annotators),
            _text(row, ("sha256",)),
            _asking(row),
            _texts(row.get("events") or []),
        )


def _texts(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]


def _asking(row: Mapping[str, Any]) -> Asking:
    """What asked, as an export has it; a file without a strategy tells nothing of rounds and scores."""
    strategy = _text(row, ("strategy",)).strip()
    if not strategy:
        return _ELSEWHERE
    number, score = _text(row, ("round",)), _text(row, ("score",))
    asked_in = int(number) if number.isascii() and number.isdecimal() and len(number) < 10 else None
    try:
        return Asking(asked_in, strategy, float(score) if score else None)
    except ValueError:
        return Asking(asked_in, strategy, None)


def _text(row: Mapping[str, Any], keys: Iterable[str]) -> str:
    return next((str(row[key]) for key in keys if row.get(key) is not None), "")


def _answers(
    path: str,
    answer: str,
    label: str,
    annotators: Sequence[str],
    sha256: str,
    asked: Asking,
    events: Sequence[str] = (),
) -> Iterator[Found]:
    """The answers of a row; one that was never answered, or in conflict, is passed over."""
    action = answer or ("class" if label else "")
    if action in ("", "conflict"):
        return
    people = annotators or [""]
    known = len(events) == len(people) and all(map(_EVENT_ID.fullmatch, events))
    event_ids = events if known else [""] * len(people)
    for annotator, event_id in zip(people, event_ids, strict=True):
        said = label if action == "class" else ""
        yield Found(path, action, said, annotator.strip(), None, sha256.strip(), asked, event_id)


def _label_studio(source: Path, text: str) -> Iterator[Found]:
    tasks = json.loads(text)
    if not isinstance(tasks, list):
        raise ValueError("Label Studio's JSON is a list of tasks")
    for task in tasks:
        data = task.get("data") if isinstance(task, dict) else None
        if not isinstance(data, dict):
            raise ValueError("a task has no data")
        address, number = data.get("image"), data.get("aral_id")
        path = path_of(address) if isinstance(address, str) else ""
        meta = task.get("meta")
        asked = _asking(meta) if isinstance(meta, dict) else _ELSEWHERE
        sha256 = _text(data, ("aral_sha256",))
        for action, label in answers_of(task):
            if (action, label) == (data.get("aral_answer"), data.get("aral_label")):
                # Nobody changed it in Label Studio: these are the label events of the export.
                people, events = (
                    _texts(data.get(name) or [""]) for name in ("aral_annotators", "aral_events")
                )
                yield from _answers(path, action, label, people, sha256, asked, events)
                continue
            image_id = number if isinstance(number, int) else None
            yield Found(path, action, label, "", image_id, sha256, asked)


def is_export(folder: Path) -> bool:
    """Whether ``aral export`` has written a folder: its list of unreadable files is always there."""
    try:
        with (folder / UNREADABLE).open("rb") as file:
            return file.read(100).splitlines()[:1] == [b"path,reason,detail"]
    except OSError:
        return False


def _folder(folder: Path, classes: Collection[str]) -> ReadLabels:
    """An export as a whole, its images, or any other folder of class folders."""
    if is_export(folder) and not classes:
        files = [folder / name for name in _LABEL_FILES if (folder / name).is_file()]
        images = folder / EXPORTED_IMAGES
        others = [file.name for file in files[1:]] + ([f"{EXPORTED_IMAGES}/"] if images.is_dir() else [])
        if files:
            unread = f" It says the same as {', '.join(others)}." if others else ""
            note = f"{folder} is an export of aral; its {files[0].name} is read.{unread}"
            return ReadLabels(tuple(_file(files[0])), notes=(note,))
        if images.is_dir():
            read = _folder(images, ())
            return replace(read, notes=(f"{folder} is an export of aral; its images are read.", *read.notes))
    exported = () if classes else _exported_labels(folder)
    if exported:
        return _exported_images(folder, exported)
    return _class_folders(folder, classes)


_LABEL_FILES = ("labels.jsonl", "labels.csv", "label-studio.json")
EXPORTED_LABELS = "aral-labels.jsonl"
"""Beside the class folders of an export: which label events each file of them stands for."""


def _exported_labels(folder: Path) -> tuple[Found, ...]:
    """What an export says of the images in its class folders, by their paths there or by their content."""
    own = folder / EXPORTED_LABELS
    if own.is_file():
        return tuple(_file(own))
    if folder.name == EXPORTED_IMAGES and is_export(folder.parent):
        beside = (folder.parent / name for name in _LABEL_FILES[:2])
        return tuple(found for file in beside if file.is_file() for found in _file(file))
    return ()


def _exported_images(folder: Path, exported: Sequence[Found]) -> ReadLabels:
    """Class folders of an export: a file that was not moved stands for the label events that it was written for."""
    scanned = scan(folder, follow_links=True)
    by_content: defaultdict[str, list[Found]] = defaultdict(list)
    class_of: dict[str, str] = {}
    for each in exported:
        if each.action == "class":
            by_content[each.sha256].append(each)
            class_of[each.path.partition("/")[0]] = each.label
    if not (folder / EXPORTED_LABELS).is_file():  # an earlier release wrote it, and its paths are the photos'
        folders = folder_names(sorted({each.label for each in exported if each.label}))
        class_of = {inside: label for label, inside in folders.items()}

    def found_of(name: str, content: str) -> Iterator[Found]:
        inside = name.partition("/")[0]
        label = class_of.get(inside, inside)
        events = [each for each in by_content[content] if each.label == label]
        yield from events or [Found(name, "class", label, sha256=content)]

    names = [name for name in scanned.files if "/" in name]
    return _by_content(folder, names, scanned, found_of, (f"{folder} holds images of an export of aral.",))


def _class_folders(folder: Path, classes: Collection[str]) -> ReadLabels:
    """Files in class folders, told by their content; splits and dates are no classes."""
    scanned = scan(folder)
    layout = read_layout(image_files(folder, scanned.files), within=folder.resolve().name, classes=classes)
    if layout.class_level is None:
        raise BadInput(
            f"{folder} holds no class folders. {' '.join(layout.sentences())}".strip(),
            "Make one folder a class, or name folders that are classes with --classes NAME,NAME.",
        )

    def found_of(name: str, content: str) -> Iterator[Found]:
        label = layout.class_of(name)
        if label is not None:
            yield Found(name, "class", label, sha256=content)

    names = [name for name in scanned.files if layout.class_of(name) is not None]
    return _by_content(folder, names, scanned, found_of, layout.sentences())


def _by_content(
    folder: Path,
    names: Iterable[str],
    scanned: Scanned,
    found_of: Callable[[str, str], Iterator[Found]],
    notes: tuple[str, ...],
) -> ReadLabels:
    """The labels of files, each read once; an image in the folders of two classes has none."""
    not_taken = [NotTaken(bad.path, f"{bad.reason}: {bad.detail}") for bad in scanned.left_out]
    found: list[Found] = []
    for name in names:
        try:
            content = hashlib.sha256(read_image_bytes(folder / name)).hexdigest()
        except Refused as refused:
            not_taken.append(NotTaken(name, f"it cannot be read: {refused.detail}"))
            continue
        found += [replace(each, path=name) for each in found_of(name, content)]
    labels: defaultdict[str, set[str]] = defaultdict(set)
    for each in found:
        labels[each.sha256].add(each.label)
    clear = []
    for each in found:
        of_image = labels[each.sha256]
        if len(of_image) == 1:
            clear.append(each)
        else:
            not_taken.append(NotTaken(each.path, f"the same image is in {' and '.join(sorted(of_image))}"))
    return ReadLabels(tuple(clear), tuple(not_taken), notes)
