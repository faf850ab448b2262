"""The labels as they stand, and where people disagree."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby

from aral.annotation.answer_records import Action, Conflict, Label, LabelUse
from aral.annotation.database import Part
from aral.annotation.records import ESTIMATE_SLICE, Asking
from aral.annotation.standing import VERDICTS, State, Vote, live_class_of, outcome


class LabelsPart(Part):
    """What the answers come to."""

    def labels(self) -> list[Label]:
        """The class of every image that has one, in ascending order of image id.

        Each person's newest answer counts; the majority decides, a tie is a conflict and no label. Exact
        copies inherit the label of the first of them. Images whose file has gone or changed since keep
        theirs: their pixels are still in the pixel file.
        """
        with self._database.moment() as connection:
            own = list(_labels(connection))
            copies = connection.execute(
                "SELECT duplicate_of, id FROM images WHERE duplicate_of IS NOT NULL AND status = 'ready'"
            ).fetchall()
        by_image = {label.image_id: label for label in own}
        inherited = [
            replace(by_image[first], image_id=copy, inherited=True)
            for first, copy in copies
            if first in by_image
        ]
        return sorted(own + inherited, key=lambda label: label.image_id)

    def askings(self) -> dict[int, Asking]:
        """What asked for every image that has an answer: the first answer that stands says it.

        Skip and unsure say it only where there is nothing else. Exact copies go by the first of them.
        """
        rows = self._database.rows(
            f"""SELECT s.image_id, a.round,
                iif(a.strategy = '' AND a.purpose = 'estimate', '{ESTIMATE_SLICE}', a.strategy), a.score
            FROM standing s JOIN answers a ON a.seq = s.seq
            ORDER BY s.image_id, s.action NOT IN ('skip', 'unsure'), s.seq DESC"""
        )
        return {image_id: Asking(*asked) for image_id, *asked in rows}

    def newest_event(self) -> int:
        """The seq of the newest event in the annotation log; 0 without any."""
        return int(self._database.row("SELECT coalesce(max(seq), 0) FROM answers")[0])

    def consensus_since(self, seq: int) -> tuple[int, list[ImageConsensus]]:
        """What has changed after an event of the annotation log; only newer events are read.

        Args:
            seq: of the event; 0 for everything.

        Returns:
            The seq of the newest event, and every image with an event after ``seq`` as it is now.
        """
        with self._database.moment() as connection:
            return consensus_since(connection, seq)

    def conflicts(self) -> list[Conflict]:
        """Images on which people disagree without a majority, in ascending order of image id."""
        with self._database.moment() as connection:
            merges = live_class_of(connection)
            rows = connection.execute(
                """SELECT i.id, i.name, p.name, s.action, s.class_id
                FROM images i JOIN standing s ON s.image_id = i.id JOIN annotators p ON p.id = s.annotator_id
                WHERE i.state = 'conflict' AND s.action NOT IN ('skip', 'unsure') ORDER BY i.id, s.seq"""
            ).fetchall()
        return [
            Conflict(
                image_id,
                os.fsdecode(name),
                tuple((person, action, merges.get(class_id)) for _, _, person, action, class_id in group),
            )
            for (image_id, name), group in groupby(rows, key=lambda row: row[:2])
        ]


def _labels(connection: sqlite3.Connection) -> Iterator[Label]:
    merges = live_class_of(connection)
    rows = connection.execute(
        """SELECT s.image_id, i.estimate, s.seq, s.action, s.class_id, p.name
        FROM standing s JOIN images i ON i.id = s.image_id JOIN annotators p ON p.id = s.annotator_id
        WHERE i.state = 'class' ORDER BY s.image_id, s.seq"""
    )
    for (image_id, estimate), group in groupby(rows, key=lambda row: row[:2]):
        answers: list[tuple[int, Action, int | None, str]] = [row[2:] for row in group]
        votes: list[Vote] = [(action, class_id) for _, action, class_id, _ in answers]
        result = outcome(votes, merges)
        if result.class_id is None:
            continue
        agreeing = [
            (seq, person)
            for seq, action, class_id, person in answers
            if action in VERDICTS and class_id is not None and merges[class_id] == result.class_id
        ]
        yield Label(
            image_id,
            result.class_id,
            tuple(person for _, person in agreeing),
            result.agreement,
            "estimate" if estimate else "training",
            max(seq for seq, _ in agreeing),
            inherited=False,
        )


@dataclass(frozen=True)
class ImageConsensus:
    """What the answers to an image amount to now.

    Attributes:
        image_id: the image; of exact copies the first.
        state: ``class``, ``skip``, ``unsure``, ``bad image``, ``none of these``, ``conflict``; None without an
            answer.
        class_id: a live class for the state ``class``, else None.
        use: for training, or for the accuracy estimate only.
    """

    image_id: int
    state: State | None
    class_id: int | None
    use: LabelUse


def consensus_since(connection: sqlite3.Connection, seq: int) -> tuple[int, list[ImageConsensus]]:
    """The images with an event after ``seq``, as they are now, and the seq of the newest event; 0 without any."""
    merges = live_class_of(connection)
    (newest,) = connection.execute("SELECT coalesce(max(seq), 0) FROM answers").fetchone()
    rows = connection.execute(
        """SELECT i.id, i.estimate, s.action, s.class_id
        FROM images i LEFT JOIN standing s ON s.image_id = i.id
        WHERE i.id IN (SELECT image_id FROM answers WHERE seq > ?) ORDER BY i.id""",
        (seq,),
    )
    changed = []
    for (image_id, estimate), group in groupby(rows, key=lambda row: row[:2]):
        result = outcome([(action, class_id) for _, _, action, class_id in group if action], merges)
        use: LabelUse = "estimate" if estimate else "training"
        changed.append(ImageConsensus(image_id, result.state, result.class_id, use))
    return newest, changed
