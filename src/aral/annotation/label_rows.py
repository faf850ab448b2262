"""The labels of a project as rows that leave it: one for every image that was answered."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from aral.annotation import Answered, LabelUse, Project
from aral.annotation.states import every_answer, unlabelled_states

RISKY = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so is taken for a formula by spreadsheets."""

BETWEEN_NAMES = "; "

UNREADABLE = "unreadable.csv"
"""The file of an export that is always there."""

EXPORTED_IMAGES = "images"
"""The folder of an export that holds class folders."""

MOST_FOLDER_BYTES = 200


@dataclass(frozen=True)
class LabelRow:
    """What is known of an image that somebody answered.

    Attributes:
        image_id: its number in the project.
        path: relative to the photos, with ``/``; bytes that are no UTF-8 are surrogates.
        label: name of its class; empty without one.
        answer: ``class``, ``skip``, ``unsure``, ``bad image``, ``none of these`` or ``conflict``.
        annotators: who gave the answer; empty for a conflict.
        events: identity of each annotator's label event, in the same order; an import tells by it what the
            project holds already.
        time: of the newest answer behind a label, UTC in ISO 8601; empty without a class.
        use: ``training`` or ``estimate``; empty without a class.
        agreement: share of the verdicts that say the same; None without a class.
        suggestion: name of the class that the newest model would give; empty without a model.
        probability: of the suggestion; None without a model.
        sha256: of the file.
        round: the round whose model asked for it; None when none did.
        strategy: what asked for it, as :class:`aral.annotation.Asking` has it.
        score: of the acquisition that asked; None without one.
        inherited: an exact copy of the image that was answered.
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


def label_rows(project: Project) -> list[LabelRow]:
    """A row for every answered image, in order of id, as all of it was at one moment."""
    with project.one_moment():
        names = {each.id: each.name for each in project.classes()}
        newest = _newest_answers(project)
        times = {each.seq: each.answered_at for of_image in newest.values() for each in of_image.values()}
        event_ids = project.label_imports.event_ids()
        labels = {label.image_id: label for label in project.labels()}
        states = unlabelled_states(project)
        askings = project.askings()
        images = [project.image(image_id) for image_id in sorted(labels.keys() | states.keys())]
    rows = []
    for image in images:
        label = labels.get(image.id)
        first = image.id if image.duplicate_of is None else image.duplicate_of
        asked = askings[first]
        answers = newest[first]
        people = label.annotators if label else _people_of(answers, states[image.id])
        said = project.prediction(image.id)
        rows.append(
            LabelRow(
                image.id,
                image.name,
                names[label.class_id] if label else "",
                "class" if label else states[image.id],
                people,
                tuple(event_ids[answers[person].seq] for person in people),
                times.get(label.seq, "") if label else "",
                label.use if label else "",
                label.agreement if label else None,
                names.get(said.class_id, "") if said else "",
                said.probability if said else None,
                image.sha256,
                asked.round,
                asked.strategy,
                asked.score,
                label.inherited if label else False,
            )
        )
    return rows


def _newest_answers(project: Project) -> dict[int, dict[str, Answered]]:
    """By image and annotator the newest answer that was not taken back."""
    newest: dict[int, dict[str, Answered]] = {}
    for annotator in project.annotators():
        for answered in every_answer(project, annotator.name):
            newest.setdefault(answered.image_id, {}).setdefault(annotator.name, answered)
    return newest


def _people_of(answers: Mapping[str, Answered], state: str) -> tuple[str, ...]:
    """Who gave the answer without a class that an image has, in the order of their answers."""
    agreeing = sorted((each.seq, person) for person, each in answers.items() if each.action == state)
    return tuple(person for _, person in agreeing)


def as_csv(rows: Iterable[LabelRow]) -> bytes:
    """The rows as CSV with a header, in the bytes of the file names; no cell is a formula."""
    table = [
        (
            row.path,
            row.label,
            row.answer,
            joined_names(row.annotators),
            row.time,
            row.use,
            _number(row.agreement),
            row.suggestion,
            _number(row.probability),
            row.sha256,
            row.round,
            row.strategy,
            row.score,
            BETWEEN_NAMES.join(row.events),
        )
        for row in rows
    ]
    return csv_bytes(COLUMNS, table)


def csv_bytes(header: Sequence[str], table: Iterable[Sequence[str | int | float | None]]) -> bytes:
    """A table as CSV: texts as :func:`harmless` makes them, numbers to the last digit, nothing for None."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    for row in (header, *table):
        writer.writerow([harmless(cell) if isinstance(cell, str) else cell for cell in row])
    return file.getvalue().encode("utf-8", "surrogateescape")


def joined_names(names: Sequence[str]) -> str:
    """Names in one cell; as a JSON list where a name holds what separates them."""
    if any(BETWEEN_NAMES in name or name.startswith("[") for name in names):
        return json.dumps(list(names))
    return BETWEEN_NAMES.join(names)


def separate_names(cell: str) -> list[str]:
    """What :func:`joined_names` was given; a single empty name for an empty cell."""
    if cell.startswith("["):
        try:
            names = json.loads(cell)
        except ValueError:
            return [cell]
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            return names
    return cell.split(BETWEEN_NAMES)


def as_jsonl(rows: Iterable[LabelRow]) -> bytes:
    """One JSON object a line, every text exactly as it is."""
    return "".join(json.dumps(asdict(row)) + "\n" for row in rows).encode()


def harmless(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: an apostrophe goes before what looks like one."""
    return f"'{cell}" if cell.startswith((*RISKY, "'")) else cell


def as_written(cell: str) -> str:
    """What :func:`harmless` was given."""
    return cell[1:] if cell.startswith("'") else cell


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def folder_names(class_names: Sequence[str]) -> dict[str, str]:
    """A folder for each class: its name, made harmless for any file system; no two are the same."""
    folders: dict[str, str] = {}
    taken: set[str] = set()
    for name in class_names:
        safe = "".join("_" if sign in '/\\:*?"<>|' or ord(sign) < 32 else sign for sign in name)
        safe = safe.strip(". ")[:100].encode("utf-8", "replace")[:MOST_FOLDER_BYTES].decode("utf-8", "ignore")
        safe = safe.rstrip(". ") or "_"
        unique, count = safe, 2
        while unique.casefold() in taken:
            unique, count = f"{safe}-{count}", count + 1
        taken.add(unique.casefold())
        folders[name] = unique
    return folders
