"""Labels from elsewhere: CSV, JSON lines, Label Studio's JSON, or a folder of class folders.

They become answers of the people who gave them, each under a key made of what it says, so that a file may be
imported again and counts once.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, get_args

from aral.data.image_file import read_image_bytes
from aral.data.scan import scan
from aral.data.unreadable import Refused
from aral.errors import BadInput
from aral.labelling.label_rows import BETWEEN_NAMES, as_written
from aral.labelling.label_studio import answers_of, path_of
from aral.project import Action, AnswerEvent, Project

PATH_COLUMNS = ("path", "file", "filename", "file_name", "image", "name")
LABEL_COLUMNS = ("label", "class", "category", "choice")
AT_ONCE = 2000
SHOWN = 5
MOST_BYTES = 2**28
_ACTIONS = frozenset(get_args(Action)) - {"undo"}


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
    """

    path: str
    action: str
    label: str = ""
    annotator: str = ""
    image_id: int | None = None
    sha256: str = ""


@dataclass(frozen=True)
class Imported:
    """What an import of labels came to.

    Attributes:
        recorded: answers that are new.
        repeated: answers that had been imported before.
        unknown: paths for which the project has no image, in the order they were found.
        new_classes: names of the classes that were added.
    """

    recorded: int
    repeated: int
    unknown: tuple[str, ...]
    new_classes: tuple[str, ...]


def import_labels(project: Project, source: Path, annotator: str = "import") -> Imported:
    """Take labels into a project.

    Args:
        project: whose images they are about; they must have been imported.
        source: a ``.csv``, ``.jsonl`` or ``.json`` file, or a folder of class folders.
        annotator: who gave the labels of which the file does not tell.

    Raises:
        BadInput: the file is missing, of another format, or about none of the project's images.
    """
    index = ImageIndex(project)
    names = {each.name: each.id for each in project.classes()}
    new_classes: list[str] = []
    events: list[AnswerEvent] = []
    unknown: list[str] = []
    for found in read_labels(source):
        image_id = index.find(found)
        if image_id is None:
            unknown.append(found.path)
            continue
        if found.action == "class" and found.label not in names:
            added = project.add_class(found.label, annotator)
            names[found.label] = names[added.name] = added.id
            new_classes.append(added.name)
        class_id = names[found.label] if found.action == "class" else None
        events.append(_event(found, image_id, class_id, found.annotator or annotator))
    if unknown and not events:
        raise BadInput(
            f"None of the {len(unknown)} images in {source} is in the project, the first: {unknown[0]!r}.",
            "Give paths relative to the photos, or run aral sync first.",
        )
    # Of two lines that say the same one is enough.
    different = list({event.key: event for event in events}.values())
    receipts = [
        receipt
        for start in range(0, len(different), AT_ONCE)
        for receipt in project.answers(different[start : start + AT_ONCE])
    ]
    repeated = sum(receipt.repeated for receipt in receipts)
    return Imported(len(receipts) - repeated, repeated, tuple(unknown), tuple(new_classes))


def _event(found: Found, image_id: int, class_id: int | None, annotator: str) -> AnswerEvent:
    said = json.dumps([image_id, found.action, class_id, annotator])
    key = f"import:{hashlib.sha256(said.encode()).hexdigest()[:40]}"
    action: Action = found.action  # type: ignore[assignment]  # checked when it was read
    return AnswerEvent(key, image_id, annotator, action, class_id)


class ImageIndex:
    """Finds the image that a line of a file is about: by number and content, by path, or by the end of it."""

    def __init__(self, project: Project) -> None:
        copies = [copy for ids in project.duplicates().values() for copy in ids]
        images = [project.image(int(each)) for each in (*project.labelable_ids(), *copies)]
        self._by_name = {image.name: image.id for image in images}
        self._by_content: dict[str, int] = {}
        for image in images:
            self._by_content.setdefault(image.sha256, image.id)
        self._ids = {image.id for image in images}

    def find(self, found: Found) -> int | None:
        """The image's number, or None."""
        by_content = self._by_content.get(found.sha256)
        if by_content is not None:
            return by_content
        parts = PurePosixPath(found.path).parts
        # The longest end of the path that is an image: folders before it differ between machines.
        for start in range(len(parts)):
            by_name = self._by_name.get("/".join(parts[start:]))
            if by_name is not None:
                return by_name
        return found.image_id if found.image_id in self._ids and not found.path else None


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
        )


def _text(row: Mapping[str, Any], keys: Iterable[str]) -> str:
    return next((str(row[key]) for key in keys if row.get(key) is not None), "")


def _answers(path: str, answer: str, label: str, annotators: list[str], sha256: str) -> Iterator[Found]:
    """The answers of a row; one that was never answered, or in conflict, is passed over."""
    action = answer or ("class" if label else "")
    if action in ("", "conflict"):
        return
    for annotator in annotators or [""]:
        yield Found(path, action, label if action == "class" else "", annotator.strip(), None, sha256)


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
        for action, label in answers_of(task):
            yield Found(path, action, label, "", number if isinstance(number, int) else None)


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
