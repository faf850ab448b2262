"""The labels of a project: consensus, disagreements between annotators, and labels that contradict a model."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

import numpy as np

from aral.annotation.annotations import NOT_UNDONE
from aral.annotation.consensus import (
    DECISIVE,
    Action,
    State,
    Vote,
    consensus_of,
    live_class_of,
    with_live_class,
)
from aral.annotation.database import Connection, ProjectDatabase
from aral.annotation.estimate import estimate_images, unanswered_estimate_images
from aral.annotation.models import newest_answer_learned
from aral.annotation.predictions import Predictions, Suggestion, hides_suggestion, suggestion_of
from aral.annotation.provenance import BROWSING, ESTIMATE_SET, IMPORT, IMPORT_KEY, LABEL_STUDIO, Provenance

LabelUse = Literal["training", "estimate"]
"""What a label is for. Labels of the estimate set are for the accuracy estimate, never for training."""


@dataclass(frozen=True)
class Label:
    """The consensus label of an image.

    Attributes:
        image_id: the image.
        class_id: a live class; answers with a merged class count for the one it was merged into.
        annotators: names of those who chose it, in the order of their answers.
        agreement: their share among the annotators who gave a class, 'bad image' or 'none of these'.
        use: for training, or for the accuracy estimate only.
        seq: the newest answer behind it.
        inherited: the image is an exact copy; the answers were given to the first of the copies.
    """

    image_id: int
    class_id: int
    annotators: tuple[str, ...]
    agreement: float
    use: LabelUse
    seq: int
    inherited: bool


@dataclass(frozen=True)
class ImageConsensus:
    """The consensus of the answers to an image, and what it is used for.

    Attributes:
        image_id: the image; of exact copies the first.
        state: None without an answer.
        class_id: for the state ``class`` a live class, otherwise None.
        use: for training, or for the accuracy estimate only.
    """

    image_id: int
    state: State | None
    class_id: int | None
    use: LabelUse


@dataclass(frozen=True)
class LabelCounts:
    """Images by their consensus, exact copies not counted.

    Attributes:
        labelled: with a class; the sum of ``for_training`` and ``for_estimate``.
        skipped: answered only by skips.
        unsure: without a decisive answer, and at least one annotator was unsure.
        bad: 'bad image'.
        none: 'none of these'.
        conflicts: the annotators disagree, without a majority.
        for_training: labelled, outside the estimate set.
        for_estimate: labelled, in the estimate set.
    """

    labelled: int
    skipped: int
    unsure: int
    bad: int
    none: int
    conflicts: int
    for_training: int
    for_estimate: int


@dataclass(frozen=True)
class Disagreement:
    """An image on which the annotators disagree, without a majority.

    Attributes:
        image_id: the image.
        name: its file.
        votes: name of the annotator, action, and class for the action ``class``; in the order of answers.
    """

    image_id: int
    name: str
    votes: tuple[tuple[str, Action, int | None], ...]


@dataclass(frozen=True)
class SuspectLabel:
    """A label that contradicts the prediction of a model that was not trained on it.

    Attributes:
        image_id: the image.
        name: its file.
        class_id: its label.
        annotators: who gave it.
        suggestion: the class that the model predicts.
    """

    image_id: int
    name: str
    class_id: int
    annotators: tuple[str, ...]
    suggestion: Suggestion


@dataclass(frozen=True)
class Agreement:
    """Inter-annotator agreement beyond chance, over the images that at least two annotators answered.

    Attributes:
        kappa: Cohen's for two annotators, Fleiss' for more; 1 is full agreement, 0 is chance; None when chance
            alone always agrees or no image was answered twice.
        measure: which one it is.
        images: how many images it is computed from.
        annotators: how many annotators answered these.
        equal: share of these images on which all agree; None without images.
    """

    kappa: float | None
    measure: Literal["cohen", "fleiss"]
    images: int
    annotators: int
    equal: float | None


@dataclass(frozen=True)
class Anchoring:
    """How often an answer equals the suggestion, by whether the suggestion was shown.

    Only first answers to cards outside the estimate set count; ``hidden`` is the random tenth, ``shown`` the
    others. A clearly larger share of equal answers in ``shown`` means that suggestions bias the answers.
    """

    shown: int
    shown_equal: int
    hidden: int
    hidden_equal: int


class Labels:
    """Labels and statistics computed from the annotators' answers."""

    def __init__(self, database: ProjectDatabase, predictions: Predictions) -> None:
        self._database = database
        self._predictions = predictions

    def all(self) -> list[Label]:
        """The label of every image that has one, in ascending order of image id.

        Each annotator's current answer counts; the majority decides, a tie gives no label. Exact copies inherit
        the label of the first of them. Images whose file is missing or changed keep their labels: their
        pixels are still in the pixel file.
        """
        with self._database.snapshot() as connection:
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

    def without_class(self) -> dict[int, State]:
        """The consensus of every answered image that has no class: ``skip``, ``bad image``, ``conflict`` …"""
        return dict(
            self._database.rows(
                "SELECT id, state FROM images WHERE state IS NOT NULL AND state <> 'class' ORDER BY id"
            )
        )

    def changed_since(self, seq: int) -> tuple[int, list[ImageConsensus]]:
        """The consensus of every image with an event after a position in the log.

        Args:
            seq: the position; 0 for all events.

        Returns:
            the ``seq`` of the newest event, 0 without any, and the images in ascending order of id.
        """
        with self._database.snapshot() as connection:
            merges = live_class_of(connection)
            (newest,) = connection.execute("SELECT coalesce(max(seq), 0) FROM answers").fetchone()
            rows = connection.execute(
                """SELECT i.id, i.estimate, s.action, s.class_id
                FROM images i LEFT JOIN standing s ON s.image_id = i.id
                WHERE i.id IN (SELECT image_id FROM answers WHERE seq > ?) ORDER BY i.id""",
                (seq,),
            ).fetchall()
        changed = []
        for (image_id, estimate), group in groupby(rows, key=lambda row: row[:2]):
            votes: list[Vote] = [(action, class_id) for _, _, action, class_id in group if action]
            result = consensus_of(votes, merges)
            use: LabelUse = "estimate" if estimate else "training"
            changed.append(ImageConsensus(image_id, result.state, result.class_id, use))
        return int(newest), changed

    def provenance(self) -> dict[int, Provenance]:
        """Why each answered image was shown, by its first current answer; exact copies go by the first of them.

        Skip and unsure count only where there is no other answer.
        """
        rows = self._database.rows(
            f"""SELECT s.image_id, a.round,
                CASE WHEN a.strategy = '' AND a.purpose = 'estimate' THEN '{ESTIMATE_SET}' ELSE a.strategy END, a.score
            FROM standing s JOIN answers a ON a.seq = s.seq
            ORDER BY s.image_id, s.action NOT IN ('skip', 'unsure'), s.seq DESC"""
        )
        return {image_id: Provenance(*columns) for image_id, *columns in rows}

    def counts(self) -> LabelCounts:
        """How many images there are of each consensus."""
        rows = self._database.rows("SELECT state, estimate, images FROM tally")
        tally = {(state, estimate): images for state, estimate, images in rows}
        training, estimate = tally.get(("class", 0), 0), tally.get(("class", 1), 0)

        def both(state: str) -> int:
            return int(tally.get((state, 0), 0) + tally.get((state, 1), 0))

        return LabelCounts(
            labelled=training + estimate,
            skipped=both("skip"),
            unsure=both("unsure"),
            bad=both("bad image"),
            none=both("none of these"),
            conflicts=both("conflict"),
            for_training=training,
            for_estimate=estimate,
        )

    def missing_in_estimate(self) -> tuple[str, ...]:
        """Names of the classes of which the estimate set has no image, once all its images have an answer.

        Empty before that, and without an estimate set.
        """
        with self._database.snapshot() as connection:
            if not estimate_images(connection) or unanswered_estimate_images(connection):
                return ()
            merges = live_class_of(connection)
            names = dict(
                connection.execute(
                    "SELECT id, name FROM classes WHERE merged_into IS NULL AND removed = 0 ORDER BY id"
                ).fetchall()
            )
            rows = connection.execute(
                """SELECT i.id, s.action, s.class_id FROM images i JOIN standing s ON s.image_id = i.id
                WHERE i.estimate = 1 AND i.state = 'class' ORDER BY i.id"""
            ).fetchall()
        for _, group in groupby(rows, key=lambda row: row[0]):
            votes: list[Vote] = [(action, class_id) for _, action, class_id in group]
            names.pop(consensus_of(votes, merges).class_id, None)
        return tuple(names.values())

    def disagreements(self) -> list[Disagreement]:
        """Images on which the annotators disagree without a majority, in ascending order of image id."""
        with self._database.snapshot() as connection:
            merges = live_class_of(connection)
            rows = connection.execute(
                """SELECT i.id, i.name, p.name, s.action, s.class_id
                FROM images i JOIN standing s ON s.image_id = i.id JOIN annotators p ON p.id = s.annotator_id
                WHERE i.state = 'conflict' AND s.action NOT IN ('skip', 'unsure') ORDER BY i.id, s.seq"""
            ).fetchall()
        return [
            Disagreement(
                image_id,
                os.fsdecode(name),
                tuple(
                    (annotator, action, merges.get(class_id)) for _, _, annotator, action, class_id in group
                ),
            )
            for (image_id, name), group in groupby(rows, key=lambda row: row[:2])
        ]

    def suspects(self, count: int) -> list[SuspectLabel]:
        """Labels that contradict a model which was not trained on them, the most probable contradictions first.

        For labels newer than the newest model that is this model, for others the model of the time when they
        were given; never a zero-shot suggestion. A label that an annotator gave twice is not suspect any more. Labels
        of the estimate set are never among them: corrected only where the model contradicts, they would bias its
        estimate upwards.
        """
        table = self._predictions.table()
        with self._database.snapshot() as connection:
            merges = live_class_of(connection)
            newest_answer = newest_answer_learned(connection)
            labels = list(_labels(connection))
            at_answering = _suggestions_at_first_answer(connection)
            confirmed = _confirmed_images(connection)
        found = []
        for label in labels:
            if label.use == "estimate" or label.image_id in confirmed:
                continue
            suggestion = table.of(label.image_id)
            if not label.seq > newest_answer > 0:
                suggestion = at_answering.get(label.image_id, suggestion)
            if suggestion is None or suggestion.is_zero_shot:
                continue
            class_id = merges[suggestion.class_id]
            if class_id != label.class_id:
                found.append((Suggestion(class_id, suggestion.probability, suggestion.model_number), label))
        found.sort(key=lambda pair: -pair[0].probability)
        worst = found[: max(0, count)]
        names = self._names([label.image_id for _, label in worst])
        return [
            SuspectLabel(label.image_id, names[label.image_id], label.class_id, label.annotators, suggestion)
            for suggestion, label in worst
        ]

    def _names(self, image_ids: Sequence[int]) -> dict[int, str]:
        with self._database.snapshot() as connection:
            return {
                image_id: os.fsdecode(name)
                for image_id in image_ids
                for (name,) in connection.execute("SELECT name FROM images WHERE id = ?", (image_id,))
            }

    def agreement(self) -> Agreement:
        """Cohen's kappa (1960) for two annotators, Fleiss' (1971) for more, over the images that several of them
        answered with a class, 'bad image' or 'none of these', which count as categories.

        Fleiss' formula is extended to images with different numbers of annotators: the mean over images of the
        share of agreeing pairs, against the sum of the squared shares of the categories.
        """
        with self._database.snapshot() as connection:
            merges = live_class_of(connection)
            rows = connection.execute(
                """SELECT s.image_id, s.annotator_id, s.action, s.class_id
                FROM images i JOIN standing s ON s.image_id = i.id
                WHERE i.verdicts > 1 AND s.action NOT IN ('skip', 'unsure')
                ORDER BY s.image_id, s.annotator_id"""
            ).fetchall()
        images = [
            {
                annotator: with_live_class((action, class_id), merges)
                for _, annotator, action, class_id in group
            }
            for _, group in groupby(rows, key=lambda row: row[0])
        ]
        annotators = {annotator for image in images for annotator in image}
        votes = [list(image.values()) for image in images]
        equal = float(np.mean([len(set(image)) == 1 for image in votes])) if votes else None
        if len(annotators) > 2:
            return Agreement(fleiss_kappa(votes), "fleiss", len(images), len(annotators), equal)
        pairs = [(image[0], image[1]) for image in votes]
        return Agreement(cohen_kappa(pairs), "cohen", len(images), len(annotators), equal)

    def anchoring(self) -> Anchoring:
        """How often answers equal suggestions that were shown, and suggestions that were hidden.

        Only an annotator's first answer to an image counts, if it was a class given to a card and not undone: a
        correction has seen more, and images picked from the grid are no random sample.
        """
        with self._database.snapshot() as connection:
            merges = live_class_of(connection)
            rows = _first_answers_with_suggestions(connection)
        counts = Counter(
            (hidden, merges[class_id] == merges[suggested])
            for (_, class_id, suggested, shown), hidden in zip(
                rows, hides_suggestion([row[0] for row in rows]), strict=True
            )
            if shown != hidden
        )
        shown, hidden = (
            [counts[hidden, False] + counts[hidden, True], counts[hidden, True]] for hidden in (False, True)
        )
        return Anchoring(*shown, *hidden)


def _labels(connection: Connection) -> Iterator[Label]:
    """The labels of images that have answers of their own, in ascending order of image id."""
    merges = live_class_of(connection)
    rows = connection.execute(
        """SELECT s.image_id, i.estimate, s.seq, s.action, s.class_id, p.name
        FROM standing s JOIN images i ON i.id = s.image_id JOIN annotators p ON p.id = s.annotator_id
        WHERE i.state = 'class' ORDER BY s.image_id, s.seq"""
    )
    for (image_id, estimate), group in groupby(rows, key=lambda row: row[:2]):
        answers: list[tuple[int, Action, int | None, str]] = [row[2:] for row in group]
        votes: list[Vote] = [(action, class_id) for _, action, class_id, _ in answers]
        result = consensus_of(votes, merges)
        if result.class_id is None:
            continue
        agreeing = [
            (seq, annotator)
            for seq, action, class_id, annotator in answers
            if action in DECISIVE and class_id is not None and merges[class_id] == result.class_id
        ]
        yield Label(
            image_id,
            result.class_id,
            tuple(annotator for _, annotator in agreeing),
            result.agreement,
            "estimate" if estimate else "training",
            max(seq for seq, _ in agreeing),
            inherited=False,
        )


def _suggestions_at_first_answer(connection: Connection) -> dict[int, Suggestion]:
    """By image the suggestion of the model at the time when the image was given its first class; no zero-shot one."""
    rows = connection.execute(
        """SELECT image_id, suggested_class, suggested_probability, suggested_by FROM answers
        WHERE seq IN (SELECT min(seq) FROM answers WHERE action = 'class' GROUP BY image_id)
            AND suggested_class IS NOT NULL
            AND suggested_class NOT IN (SELECT id FROM classes WHERE removed = 1)"""
    )
    found = {image_id: suggestion_of(*suggested) for image_id, *suggested in rows}
    return {
        image_id: suggestion
        for image_id, suggestion in found.items()
        if suggestion is not None and not suggestion.is_zero_shot
    }


def _confirmed_images(connection: Connection) -> set[int]:
    """Images to which an annotator gave a class twice."""
    rows = connection.execute(
        f"""SELECT DISTINCT image_id FROM answers a WHERE action = 'class' AND {NOT_UNDONE}
        GROUP BY image_id, annotator_id HAVING count(*) > 1"""
    )
    return {image_id for (image_id,) in rows}


def _first_answers_with_suggestions(connection: Connection) -> list[tuple[int, int, int, bool]]:
    """Image, class, suggested class and whether it was shown, for every first answer to a card.

    Cards of the estimate set are left out, and answers without a recorded provenance.
    """
    rows = connection.execute(
        f"""SELECT a.image_id, a.class_id, a.suggested_class, a.suggestion_shown FROM answers a
        WHERE a.action = 'class' AND a.suggested_class IS NOT NULL AND a.purpose <> 'estimate'
            AND a.strategy NOT IN ('', ?, ?, ?) AND substr(a.key, 1, ?) <> ?
            AND NOT EXISTS (SELECT 1 FROM answers e WHERE e.image_id = a.image_id
                AND e.annotator_id = a.annotator_id AND e.seq < a.seq AND e.action <> 'undo')
            AND {NOT_UNDONE}""",
        (BROWSING, LABEL_STUDIO, IMPORT, len(IMPORT_KEY), IMPORT_KEY),
    )
    return [(image_id, class_id, suggested, bool(shown)) for image_id, class_id, suggested, shown in rows]


def cohen_kappa(pairs: Sequence[tuple[Vote, Vote]]) -> float | None:
    """(p_o - p_e) / (1 - p_e) of two annotators' answers to the same images.

    p_o is the share of equal pairs, p_e its expectation if each gave their own answers at random; None without
    pairs or when p_e is 1. Counted in integers, so that p_e = 1 is met exactly.
    """
    count = len(pairs)
    first, second = Counter(one for one, _ in pairs), Counter(other for _, other in pairs)
    observed = sum(one == other for one, other in pairs)
    expected = sum(first[vote] * second[vote] for vote in first)
    if expected == count**2:
        return None
    return (observed * count - expected) / (count**2 - expected)


def fleiss_kappa(images: Sequence[Sequence[Vote]]) -> float | None:
    """(P - P_e) / (1 - P_e) over images with two or more answers each; None when P_e is 1."""
    totals: Counter[Vote] = Counter(vote for votes in images for vote in votes)
    if len(totals) < 2:
        return None
    everything = sum(totals.values())
    by_chance = sum((number / everything) ** 2 for number in totals.values())
    agreeing = [
        sum(number * (number - 1) for number in Counter(votes).values()) / (len(votes) * (len(votes) - 1))
        for votes in images
    ]
    return float((np.mean(agreeing) - by_chance) / (1 - by_chance))
