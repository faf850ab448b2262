"""What people were told is saved, against what lies in the project's file: lost, doubled, on the wrong image.

The file is read by SQL, without the code that wrote it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from aral.annotation import Project
from aral.annotation.project import open_database
from page_client import Event, Page


@dataclass(frozen=True)
class Audit:
    """LabelCounts of answers; all but the first four ought to be 0.

    Attributes:
        given: by the people.
        acknowledged: the server said that they are saved.
        stored: in the file.
        refused: the server said that they will never be saved.
        lost: acknowledged and not stored.
        doubled: stored more often than given, by image.
        wrong: stored with another file, person, action or class than was given.
        answered_by_two: images stored from two people, though each is to be answered by one.
        labels_wrong: images whose label, or lack of one, is not what their person said last.
    """

    given: int
    acknowledged: int
    stored: int
    refused: int
    lost: int
    doubled: int
    wrong: int
    answered_by_two: int
    labels_wrong: int

    def as_row(self) -> dict[str, int]:
        """For a row of figures."""
        return asdict(self)


def audit(folder: Path, pages: Sequence[Page]) -> Audit:
    """Compare a project with what all its people did.

    Args:
        folder: of the project, which nobody serves any more.
        pages: one for each person, nothing left in their outboxes.
    """
    with closing(open_database(folder, create=False)) as database:
        rows = database.rows(
            """SELECT a.key, a.image_id, i.name, p.name, a.action, a.class_id FROM answers a
            JOIN images i ON i.id = a.image_id JOIN annotators p ON p.id = a.annotator_id ORDER BY a.seq"""
        )
    given = {event["key"]: (page, event) for page in pages for event in page.given}
    acknowledged = {key for page in pages for key in page.acknowledged}
    refused = {key for page in pages for key in page.refused}
    said = Counter(event["image_id"] for key, (_, event) in given.items() if key not in refused)
    stored = Counter(image_id for _, image_id, *_ in rows)
    people: dict[int, set[str]] = {}
    for _, image_id, _, person, *_ in rows:
        people.setdefault(image_id, set()).add(person)
    return Audit(
        given=len(given),
        acknowledged=len(acknowledged),
        stored=len(rows),
        refused=len(refused),
        lost=len(acknowledged - {key for key, *_ in rows}),
        doubled=sum(max(0, count - said[image_id]) for image_id, count in stored.items()),
        wrong=sum(row[0] not in given or tuple(row[1:]) != _as_stored(*given[row[0]]) for row in rows),
        answered_by_two=sum(len(names) > 1 for names in people.values()),
        labels_wrong=_labels_wrong(folder, pages),
    )


def _as_stored(page: Page, event: Event) -> tuple[object, ...]:
    """Image, file, person, action and class of an event, the file as it was named on the screen."""
    image_id = event["image_id"]
    name = os.fsencode(page.names[image_id])
    return image_id, name, page.annotator, event["action"], event["class_id"]


def _labels_wrong(folder: Path, pages: Sequence[Page]) -> int:
    """Play every person's events once more and compare with the labels of the project."""
    standing: dict[tuple[str, int], list[Event]] = {}
    for page in pages:
        for event in page.given:
            if event["key"] in page.refused:
                continue
            kept = standing.setdefault((page.annotator, event["image_id"]), [])
            if event["action"] == "undo":
                kept.pop()
            else:
                kept.append(event)
    expected: dict[int, set[int]] = {}
    for (_, image_id), kept in standing.items():
        if kept and kept[-1]["action"] == "class":
            expected.setdefault(image_id, set()).add(kept[-1]["class_id"])
    with Project.open(folder) as project:
        have = {label.image_id: {label.class_id} for label in project.labels.all() if not label.inherited}
    return sum(expected.get(image_id) != have.get(image_id) for image_id in expected.keys() | have.keys())
