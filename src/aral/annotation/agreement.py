"""How far people agree with each other, and with what the model suggested to them."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from itertools import groupby

import numpy as np

from aral.annotation.answer_records import Agreement, Anchoring
from aral.annotation.database import Part
from aral.annotation.records import BROWSING, IMPORT, IMPORT_KEY, LABEL_STUDIO
from aral.annotation.standing import Vote, followed, live_class_of
from aral.annotation.withholding import in_hidden_tenth


class AgreementPart(Part):
    """Measures of the answers themselves."""

    def agreement(self) -> Agreement:
        """Cohen's kappa (1960) for two people, Fleiss' (1971) for more, over the images both or several
        answered with a class, 'bad image' or 'none of these', which count as categories.

        Fleiss' formula is used as it extends to images with different numbers of people: the mean over
        images of the share of agreeing pairs, against the squares of the shares of the categories.
        """
        with self._database.moment() as connection:
            merges = live_class_of(connection)
            rows = connection.execute(
                """SELECT s.image_id, s.annotator_id, s.action, s.class_id
                FROM images i JOIN standing s ON s.image_id = i.id
                WHERE i.verdicts > 1 AND s.action NOT IN ('skip', 'unsure')
                ORDER BY s.image_id, s.annotator_id"""
            ).fetchall()
        images = [
            {person: followed((action, class_id), merges) for _, person, action, class_id in group}
            for _, group in groupby(rows, key=lambda row: row[0])
        ]
        people = {person for image in images for person in image}
        verdicts = [list(image.values()) for image in images]
        equal = float(np.mean([len(set(votes)) == 1 for votes in verdicts])) if verdicts else None
        if len(people) > 2:
            return Agreement(fleiss_kappa(verdicts), "fleiss", len(images), len(people), equal)
        pairs = [(votes[0], votes[1]) for votes in verdicts]
        return Agreement(cohen_kappa(pairs), "cohen", len(images), len(people), equal)

    def anchoring(self) -> Anchoring:
        """How often answers equal suggestions that were shown, and suggestions that were held back.

        Only the first thing that a person said of an image counts, if it was a class given to a card and was
        not taken back: a correction knows more, and what people pick out themselves is no random sample.
        """
        with self._database.moment() as connection:
            merges = live_class_of(connection)
            rows = _answers_with_suggestions(connection)
        counts = Counter(
            (hidden, merges[class_id] == merges[suggested])
            for (_, class_id, suggested, shown), hidden in zip(
                rows, in_hidden_tenth([row[0] for row in rows]), strict=True
            )
            if shown != hidden
        )
        shown, hidden = (
            [counts[hidden, False] + counts[hidden, True], counts[hidden, True]] for hidden in (False, True)
        )
        return Anchoring(*shown, *hidden)


def _answers_with_suggestions(connection: sqlite3.Connection) -> list[tuple[int, int, int, bool]]:
    """Image, class, suggested class and whether it was shown, for every first answer to a card.

    Cards of the estimate slice are left out, and answers of a layout that did not note what asked for them.
    """
    rows = connection.execute(
        """SELECT a.image_id, a.class_id, a.suggested_class, a.suggestion_shown FROM answers a
        WHERE a.action = 'class' AND a.suggested_class IS NOT NULL AND a.purpose <> 'estimate'
            AND a.strategy NOT IN ('', ?, ?, ?) AND substr(a.key, 1, ?) <> ?
            AND NOT EXISTS (SELECT 1 FROM answers e WHERE e.image_id = a.image_id
                AND e.annotator_id = a.annotator_id AND e.seq < a.seq AND e.action <> 'undo')
            AND NOT EXISTS (SELECT 1 FROM answers u WHERE u.cancels = a.seq)""",
        (BROWSING, LABEL_STUDIO, IMPORT, len(IMPORT_KEY), IMPORT_KEY),
    )
    return [(image_id, class_id, suggested, bool(shown)) for image_id, class_id, suggested, shown in rows]


def cohen_kappa(pairs: Sequence[tuple[Vote, Vote]]) -> float | None:
    """(p_o - p_e) / (1 - p_e) of two people's verdicts on the same images.

    p_o is the share of equal pairs, p_e what it would be if each gave their own verdicts at random; None
    without pairs or when p_e is 1. Counted in whole numbers, so that p_e = 1 is met exactly.
    """
    count = len(pairs)
    first, second = Counter(one for one, _ in pairs), Counter(other for _, other in pairs)
    observed = sum(one == other for one, other in pairs)
    expected = sum(first[vote] * second[vote] for vote in first)
    if expected == count**2:
        return None
    return (observed * count - expected) / (count**2 - expected)


def fleiss_kappa(images: Sequence[Sequence[Vote]]) -> float | None:
    """(P - P_e) / (1 - P_e) over images with two or more verdicts each; None when P_e is 1."""
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
