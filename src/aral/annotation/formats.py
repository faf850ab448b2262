"""The formats of an export: their names, their files, and labels as rows of CSV and JSON lines."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from aral.annotation import HistoryEntry, LabelUse, Project
from aral.durable import write_file
from aral.errors import RunFailed

Format = Literal["csv", "jsonl", "label-studio", "imagefolder", "model", "torch-export", "onnx", "trunk"]
FORMATS: tuple[Format, ...] = get_args(Format)
DEFAULT_FORMATS: tuple[Format, ...] = ("csv", "jsonl", "label-studio", "model", "torch-export")
"""Without copies of the images, and without what needs further packages."""

MODEL_FORMATS: tuple[Format, ...] = ("model", "torch-export", "onnx", "trunk")
"""Those of a classifier; the others are of labels and images."""

RUN_FORMATS: tuple[Format, ...] = tuple(format for format in DEFAULT_FORMATS if format in MODEL_FORMATS)
"""The formats of an export of a run where none are named."""

Placing = Literal["copy", "link"]
"""How images are put into an ImageFolder: as copies or as symbolic links."""

LABELS_CSV, LABELS_JSONL, LABEL_STUDIO_TASKS = "labels.csv", "labels.jsonl", "label-studio.json"
LABEL_FILES = (LABELS_JSONL, LABELS_CSV, LABEL_STUDIO_TASKS)
"""The label files of an export, the one with the most faithful texts first."""

UNREADABLE = "unreadable.csv"
"""The list of unreadable files, which is in every export."""

EXPORTED_IMAGES = "images"
"""The folder of an export that holds class folders."""

EXPORTED_LABELS = "aral-labels.jsonl"
"""Beside the class folders: the annotation events of each image in them."""

EXPORTED_CLASSES = "classes.json"
"""Beside the class folders: the name of the class of each folder."""

SPREADSHEET_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")
"""A cell that begins with one of these, or with invisible characters and one of these, is a formula to a spreadsheet.
East Asian spreadsheets read the full-width signs like the others."""

WINDOWS_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$"}
    | {f"{device}{number}" for device in ("com", "lpt") for number in "0123456789¹²³"}
)
"""Names that no file of Windows can have, with any ending."""

NAME_SEPARATOR = "; "
MOST_FOLDER_BYTES = 200

COLUMNS = (
    "path",
    "label",
    "answer",
    "annotator",
    "time",
    "use",
    "agreement",
    "suggestion",
    "probability",
    "sha256",
    "round",
    "strategy",
    "score",
    "events",
)


@dataclass(frozen=True)
class LabelRow:
    """An image with an answer.

    Attributes:
        image_id: its number in the project.
        path: relative to the photos, with ``/``; bytes that are no UTF-8 are surrogates.
        label: name of its class; empty without one.
        answer: ``class``, ``skip``, ``unsure``, ``bad image``, ``none of these`` or ``conflict``.
        annotators: who gave the answer; empty for a conflict.
        events: identity of each annotator's annotation event, in the same order, by which an import recognises
            what the project holds already.
        time: of the newest answer behind a label, UTC in ISO 8601; empty without a class.
        use: ``training`` or ``estimate``; empty without a class.
        agreement: share of the decisive answers that equal the label; None without a class.
        suggestion: name of the class that the newest model predicts; empty without a model.
        probability: of the suggestion; None without a model.
        sha256: of the file.
        round: the round whose model queried it; None when none did.
        strategy: why it was shown, see :class:`aral.annotation.Provenance`.
        score: of the acquisition that queried it; None without one.
        inherited: it is an exact copy of the image that was answered.
    """

    image_id: int
    path: str
    label: str
    answer: str
    annotators: tuple[str, ...]
    events: tuple[str, ...]
    time: str
    use: LabelUse | str
    agreement: float | None
    suggestion: str
    probability: float | None
    sha256: str
    round: int | None
    strategy: str
    score: float | None
    inherited: bool


def label_rows(project: Project) -> list[LabelRow]:
    """A row for every image with an answer, in order of id, from one snapshot of the project."""
    with project.snapshot():
        names = {each.id: each.name for each in project.classes.all()}
        current: dict[int, dict[str, HistoryEntry]] = {}
        for entry in project.annotations.current():
            current.setdefault(entry.image_id, {})[entry.annotator] = entry
        times = {each.seq: each.answered_at for of_image in current.values() for each in of_image.values()}
        event_ids = project.label_imports.event_ids()
        labels = {label.image_id: label for label in project.labels.all()}
        states = project.labels.without_class()
        provenances = project.labels.provenance()
        images = [project.images.get(image_id) for image_id in sorted(labels.keys() | states.keys())]
    rows = []
    for image in images:
        label = labels.get(image.id)
        first = image.id if image.duplicate_of is None else image.duplicate_of
        provenance = provenances[first]
        answers = current[first]
        annotators = label.annotators if label else _annotators_of(answers, states[image.id])
        suggestion = project.predictions.get(image.id)
        if suggestion is not None and suggestion.is_zero_shot:
            suggestion = None
        rows.append(
            LabelRow(
                image.id,
                image.name,
                names[label.class_id] if label else "",
                "class" if label else states[image.id],
                annotators,
                tuple(event_ids[answers[annotator].seq] for annotator in annotators),
                times.get(label.seq, "") if label else "",
                label.use if label else "",
                label.agreement if label else None,
                names.get(suggestion.class_id, "") if suggestion else "",
                suggestion.probability if suggestion else None,
                image.sha256,
                provenance.round,
                provenance.strategy,
                provenance.score,
                label.inherited if label else False,
            )
        )
    return rows


def _annotators_of(answers: Mapping[str, HistoryEntry], state: str) -> tuple[str, ...]:
    """Who gave the answer without a class that an image has, in the order of their answers."""
    agreeing = sorted((each.seq, annotator) for annotator, each in answers.items() if each.action == state)
    return tuple(annotator for _, annotator in agreeing)


def as_csv(rows: Iterable[LabelRow]) -> bytes:
    """The rows as CSV with a header, in the bytes of the file names; no cell is a formula."""
    table = [
        (
            row.path,
            row.label,
            row.answer,
            join_names(row.annotators),
            row.time,
            row.use,
            _number(row.agreement),
            row.suggestion,
            _number(row.probability),
            row.sha256,
            row.round,
            row.strategy,
            row.score,
            join_names(row.events),
        )
        for row in rows
    ]
    return csv_bytes(COLUMNS, table)


def as_jsonl(rows: Iterable[LabelRow]) -> bytes:
    """One JSON object a line, every text exactly as it is."""
    return "".join(json.dumps(asdict(row)) + "\n" for row in rows).encode()


def csv_bytes(header: Sequence[str], table: Iterable[Sequence[str | int | float | None]]) -> bytes:
    """A table as CSV: texts escaped by :func:`escape_cell`, numbers to the last digit, nothing for None."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    for row in (header, *table):
        writer.writerow([escape_cell(cell) if isinstance(cell, str) else cell for cell in row])
    return file.getvalue().encode("utf-8", "surrogateescape")


def escape_cell(cell: str) -> str:
    """A cell that no spreadsheet reads as a formula: one that looks like it gets an apostrophe in front."""
    return f"'{cell}" if _needs_apostrophe(cell) else cell


def unescape_cell(cell: str) -> str:
    """The inverse of :func:`escape_cell`; an apostrophe that was not added by it stays."""
    return cell[1:] if cell.startswith("'") and _needs_apostrophe(cell[1:]) else cell


def _needs_apostrophe(cell: str) -> bool:
    """Whether a cell looks like a formula, or like one that has its apostrophe."""
    hidden = "".join(character for character in set(cell) if _is_invisible(character))
    return cell.startswith((*SPREADSHEET_FORMULA, "'")) or cell.lstrip(hidden).startswith(SPREADSHEET_FORMULA)


def _is_invisible(character: str) -> bool:
    """White space, control and format characters, such as a byte order mark."""
    return character.isspace() or unicodedata.category(character) in ("Cc", "Cf")


def join_names(names: Sequence[str]) -> str:
    """Names in one cell; as a JSON list where a name holds the separator."""
    if any(NAME_SEPARATOR in name or name.startswith("[") for name in names):
        return json.dumps(list(names))
    return NAME_SEPARATOR.join(names)


def split_names(cell: str) -> list[str]:
    """The inverse of :func:`join_names`; a single empty name for an empty cell."""
    if cell.startswith("["):
        try:
            names = json.loads(cell)
        except ValueError:
            return [cell]
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            return names
    return cell.split(NAME_SEPARATOR)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def class_folder_names(class_names: Sequence[str]) -> dict[str, str]:
    """A folder for each class: its name without what a file system may refuse, and all different.

    They differ on file systems that ignore case or compose Unicode, too. A class whose name is a valid one keeps it,
    whatever other names become.
    """
    valid = {name: _valid_file_name(name) for name in class_names}
    used = {_compared(name) for name in (EXPORTED_CLASSES, EXPORTED_LABELS)}
    folders: dict[str, str] = {}
    for name in sorted(class_names, key=lambda each: valid[each] != each):
        unique, count = valid[name], 2
        while _compared(unique) in used:
            unique, count = f"{valid[name]}-{count}", count + 1
        used.add(_compared(unique))
        folders[name] = unique
    return {name: folders[name] for name in class_names}


def class_folders_json(folders: Mapping[str, str]) -> bytes:
    """:data:`EXPORTED_CLASSES`: folder and name of each class."""
    body = {"classes": [{"folder": folder, "name": name} for name, folder in folders.items()]}
    return (json.dumps(body, indent=1, ensure_ascii=False) + "\n").encode()


def _valid_file_name(name: str) -> str:
    """A name that Linux, macOS and Windows accept."""
    safe = "".join(
        "_" if character in '/\\:*?"<>|' or unicodedata.category(character) == "Cc" else character
        for character in name
    )
    safe = safe.strip(". ")[:100].encode("utf-8", "replace")[:MOST_FOLDER_BYTES].decode("utf-8", "ignore")
    safe = safe.rstrip(". ") or "_"
    return f"_{safe}" if safe.partition(".")[0].rstrip(" ").casefold() in WINDOWS_DEVICES else safe


def _compared(name: str) -> str:
    """The form of a name that file systems compare, at their least strict."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).upper().casefold())


def write_exported(target: Path, content: bytes) -> None:
    """Write a file completely, or leave the one before as it is.

    Raises:
        RunFailed: the disk is full, or the file cannot be written.
    """
    try:
        write_file(target, content)
    except OSError as error:
        raise RunFailed(
            f"{target} was not written: {error}; {len(content)} bytes are needed.",
            "Free some space, or write somewhere else.",
        ) from error
