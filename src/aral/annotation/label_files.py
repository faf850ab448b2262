"""Answers as files have them: CSV, JSON lines, Label Studio's JSON, or a folder of class folders."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from aral.annotation import IMPORT, Action, Provenance
from aral.annotation.label_rows import BETWEEN_NAMES, as_written
from aral.annotation.label_studio import answers_of, path_of
from aral.data.image_file import read_image_bytes
from aral.data.scan import scan
from aral.data.unreadable import Refused
from aral.errors import BadInput

PATH_COLUMNS = ("path", "file", "filename", "file_name", "image", "name")
LABEL_COLUMNS = ("label", "class", "category", "choice")
MOST_BYTES = 2**28
_ACTIONS = frozenset(get_args(Action)) - {"undo"}
_ELSEWHERE = Provenance(None, IMPORT, None)


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
    """

    path: str
    action: str
    label: str = ""
    annotator: str = ""
    image_id: int | None = None
    sha256: str = ""
    asked: Provenance = _ELSEWHERE


def read_labels(source: Path) -> list[Found]:
    """Every answer in a file or folder.

    Raises:
        BadInput: it is missing or of another format.
    """
    if source.is_dir():
        return list(_class_folders(source))
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
            cells.get("annotator", "").split(BETWEEN_NAMES),
            cells.get("sha256", ""),
            _asking(cells),
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
            [str(each) for each in annotators] if isinstance(annotators, list) else [str(annotators)],
            _text(row, ("sha256",)),
            _asking(row),
        )


def _asking(row: Mapping[str, Any]) -> Provenance:
    """What asked, as an export has it; a file without a strategy tells nothing of rounds and scores."""
    strategy = _text(row, ("strategy",)).strip()
    if not strategy:
        return _ELSEWHERE
    number, score = _text(row, ("round",)), _text(row, ("score",))
    asked_in = int(number) if number.isascii() and number.isdecimal() and len(number) < 10 else None
    try:
        return Provenance(asked_in, strategy, float(score) if score else None)
    except ValueError:
        return Provenance(asked_in, strategy, None)


def _text(row: Mapping[str, Any], keys: Iterable[str]) -> str:
    return next((str(row[key]) for key in keys if row.get(key) is not None), "")


def _answers(
    path: str, answer: str, label: str, annotators: list[str], sha256: str, asked: Provenance
) -> Iterator[Found]:
    """The answers of a row; one that was never answered, or in conflict, is passed over."""
    action = answer or ("class" if label else "")
    if action in ("", "conflict"):
        return
    for annotator in annotators or [""]:
        yield Found(path, action, label if action == "class" else "", annotator.strip(), None, sha256, asked)


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
        for action, label in answers_of(task):
            yield Found(path, action, label, "", number if isinstance(number, int) else None, asked=asked)


def _class_folders(folder: Path) -> Iterator[Found]:
    """Files below ``folder/CLASS``; they are told by their content, and by their path where that is unknown."""
    for name in scan(folder).files:
        label, slash, _ = name.partition("/")
        if not slash:
            continue
        try:
            content = hashlib.sha256(read_image_bytes(folder / name)).hexdigest()
        except Refused:
            continue
        yield Found(name, "class", label, sha256=content)
