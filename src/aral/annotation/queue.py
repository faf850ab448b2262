"""Which images are to be answered, by the newest round and otherwise."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int64

from aral.annotation.answer_records import Counts
from aral.annotation.database import Part
from aral.annotation.leases import GRID, Claim, Holder, claim_of
from aral.annotation.records import BY_CHANCE, ESTIMATE_SLICE, Purpose
from aral.errors import BadInput
from aral.words import counted

MOST_RESERVED = 2000
"""How many of the reserve are kept: some rounds' worth; beyond, chance does as well."""

_Row: TypeAlias = tuple[int, Purpose, float | None, str]
"""Image, purpose, score and reason."""

_FREE = """i.verdicts + (SELECT count(*) FROM leases l
        WHERE l.image_id = i.id AND l.annotator_id <> :person) < :overlap
    AND NOT EXISTS (SELECT 1 FROM leases l WHERE l.image_id = i.id AND l.annotator_id = :person)"""
_NEW = (
    f"{_FREE} AND NOT EXISTS (SELECT 1 FROM standing s WHERE s.image_id = i.id AND s.annotator_id = :person)"
)

_QUEUED = f"""SELECT i.id, q.purpose, q.round, q.acquisition, q.score, q.reason
    FROM queue q JOIN images i ON i.id = q.image_id
    WHERE q.open = 1 AND q.purpose = :purpose AND i.estimate = 0 AND {_NEW} ORDER BY q.position LIMIT :count"""
_BY_CHANCE = f"""SELECT i.id, :purpose, NULL, iif(i.estimate, '{ESTIMATE_SLICE}', '{BY_CHANCE}'), NULL, ''
    FROM images i
    WHERE i.open = 1 AND i.estimate = (:purpose = 'estimate') AND {_NEW} ORDER BY i.shuffle LIMIT :count"""
AS_ASKED = f"""iif(i.estimate, 'estimate', coalesce(a.purpose, 'random')),
    iif(i.estimate, NULL, a.round),
    iif(i.estimate, '{ESTIMATE_SLICE}', coalesce(a.acquisition, '{BY_CHANCE}')),
    iif(i.estimate, NULL, a.score)"""
"""Purpose, round, strategy and score of images ``i``, each as the newest round asked for it, in ``a``."""

WITH_ASKED = """images i LEFT JOIN asked a ON a.image_id = i.id
    AND a.round = (SELECT max(round) FROM asked WHERE image_id = i.id)"""

_THIS = f"""SELECT i.id, {AS_ASKED}, coalesce(a.reason, '') FROM {WITH_ASKED}
    WHERE i.id = :image AND i.open = 1 AND {_NEW}"""
_WAS_PUT_OFF = f"""SELECT i.id, e.purpose, e.round, e.strategy, e.score, coalesce(a.reason, '')
    FROM standing o JOIN images i ON i.id = o.image_id JOIN answers e ON e.seq = o.seq
        LEFT JOIN asked a ON a.image_id = i.id AND a.round = e.round
    WHERE o.annotator_id = :person AND o.action IN ('skip', 'unsure') AND i.open = 1 AND {_FREE}"""
_PUT_OFF = f"{_WAS_PUT_OFF} ORDER BY o.seq LIMIT :count"
_THIS_PUT_OFF = f"{_WAS_PUT_OFF} AND i.id = :image"


class QueuePart(Part):
    """What the newest round asks for, and what has been answered."""

    def set_queue(
        self,
        round_number: int,
        ids: Int64[np.ndarray, " n"],
        scores: Float[np.ndarray, " n"],
        reasons: Sequence[str],
        acquisition: str,
        reserve_ids: Int64[np.ndarray, " r"],
        reserve_scores: Float[np.ndarray, " r"] | None = None,
    ) -> None:
        """Replace the queue by that of a new round; a repetition changes nothing.

        What an earlier round asked for and nobody has on a page is asked for no more, unless the new round
        asks for it as well. What is on a page stays there, and its answer keeps the round, the acquisition
        and the score it was asked with; these are noted for good. Images of the estimate slice may be among
        the new ones; they are never shown as part of the queue.

        Args:
            round_number: the round whose model has chosen.
            ids: the query, the most wanted first.
            scores: one finite number an image, higher = label first.
            reasons: one sentence an image for people; may be empty.
            acquisition: name of the strategy.
            reserve_ids: the next best, in order, for people who are faster than training; the first
                2,000 of them are kept.
            reserve_scores: one finite number each, as ``scores``; None without.

        Raises:
            BadInput: the lengths differ, an image is unknown or there twice, or a score is not finite.
        """
        if not ids.size == scores.size == len(reasons):
            raise BadInput(
                f"A queue of {counted(ids.size, 'image')} has {counted(scores.size, 'score')}, "
                f"{counted(len(reasons), 'reason')}."
            )
        if not np.isfinite(scores).all() or np.unique(ids).size != ids.size:
            raise BadInput("A queue needs each image once, and finite scores.", "Look at the acquisition.")
        rows = _query_rows(ids, scores, reasons) + _reserve_rows(ids, reserve_ids, reserve_scores)
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM queue")
            for position, (image_id, purpose, score, reason) in enumerate(rows):
                done = connection.execute(
                    "INSERT INTO queue SELECT ?, id, ?, ?, ?, ?, ?, open FROM images WHERE id = ?",
                    (position, purpose, round_number, score, reason, acquisition, image_id),
                )
                if not done.rowcount:
                    raise BadInput(f"There is no image {image_id}.", "Choose among the labelable images.")
            connection.execute(
                """INSERT OR REPLACE INTO asked
                SELECT image_id, round, purpose, acquisition, score, reason FROM queue"""
            )

    def queue_left(self) -> int:
        """How many images of the newest round's query still wait for an answer.

        An image that everyone who saw it skipped or was unsure of waits no more, though it is asked again.
        """
        (left,) = self._database.row(
            """SELECT count(*) FROM queue q JOIN images i ON i.id = q.image_id
            WHERE q.open = 1 AND q.purpose = 'query' AND i.estimate = 0
                AND (i.state IS NULL OR i.state NOT IN ('skip', 'unsure'))"""
        )
        return int(left)

    def answered_count(self) -> Counts:
        """Images by what is known of them."""
        rows = self._database.rows("SELECT state, estimate, images FROM tally")
        tally = {(state, estimate): images for state, estimate, images in rows}
        training, estimate = tally.get(("class", 0), 0), tally.get(("class", 1), 0)

        def both(state: str) -> int:
            return int(tally.get((state, 0), 0) + tally.get((state, 1), 0))

        return Counts(
            labelled=training + estimate,
            skipped=both("skip"),
            unsure=both("unsure"),
            bad=both("bad image"),
            none=both("none of these"),
            conflicts=both("conflict"),
            for_training=training,
            for_estimate=estimate,
        )


def _query_rows(
    ids: Int64[np.ndarray, " n"], scores: Float[np.ndarray, " n"], reasons: Sequence[str]
) -> list[_Row]:
    return [
        (image_id, "query", score, reason)
        for image_id, score, reason in zip(ids.tolist(), scores.tolist(), reasons, strict=True)
    ]


def _reserve_rows(
    query: Int64[np.ndarray, " n"],
    ids: Int64[np.ndarray, " r"],
    scores: Float[np.ndarray, " r"] | None,
) -> list[_Row]:
    """The reserve without what is in the query, each image once."""
    if scores is not None and not np.isfinite(scores).all():
        raise BadInput("A reserve needs finite scores.", "Look at the acquisition.")
    known: list[float | None] = [None] * ids.size if scores is None else scores.tolist()
    score_of: dict[int, float | None] = {}
    for image_id, score in zip(ids.tolist(), known, strict=True):
        score_of.setdefault(image_id, score)
    left = [image_id for image_id in score_of if image_id not in set(query.tolist())]
    return [(image_id, "reserve", score_of[image_id], "") for image_id in left[:MOST_RESERVED]]


def choose(
    connection: sqlite3.Connection, holder: Holder, count: int, but: Sequence[int], estimate_share: float
) -> list[Claim]:
    """The next images for a page: query, reserve, chance, at last what this person has put off.

    Images of the estimate slice are mixed in evenly, so that they are a fixed part of the answers at any
    moment.

    Args:
        connection: inside a transaction.
        holder: the page.
        count: how many images.
        but: images that are on the page already.
        estimate_share: the part of the answers that measure.
    """
    if not count:
        return []
    held = set(but)

    def claims(statement: str, purpose: Purpose) -> list[Claim]:
        values = {
            "person": holder.annotator_id,
            "overlap": holder.overlap,
            "purpose": purpose,
            "count": 2 * count + len(held),  # some may be held, or be in the query as well
        }
        return [claim_of(*row) for row in connection.execute(statement, values) if row[0] not in held]

    stages: tuple[tuple[str, Purpose], ...] = (
        (_QUEUED, "query"),
        (_QUEUED, "reserve"),
        (_BY_CHANCE, "random"),
    )
    training: dict[int, Claim] = {}
    for statement, purpose in stages:
        if len(training) < count:
            for claim in claims(statement, purpose):
                training.setdefault(claim.image_id, claim)
    measuring = claims(_BY_CHANCE, "estimate")
    mixed = mix(measuring, list(training.values()), *_given(connection), estimate_share)[:count]
    if len(mixed) < count:
        mixed += claims(_PUT_OFF, "random")[: count - len(mixed)]
    return mixed


def take_again(connection: sqlite3.Connection, holder: Holder, held: Sequence[int]) -> list[Claim]:
    """Those images on a page whose lease has ended meanwhile and which nobody else was given."""
    return _claims_on(connection, holder, held, (_THIS,))


def claims_on(connection: sqlite3.Connection, holder: Holder, image_ids: Sequence[int]) -> list[Claim]:
    """Those images that nobody has on a page, each as it was asked for, also what this person has put off."""
    return _claims_on(connection, holder, image_ids, (_THIS, _THIS_PUT_OFF))


def _claims_on(
    connection: sqlite3.Connection, holder: Holder, image_ids: Sequence[int], statements: Sequence[str]
) -> list[Claim]:
    values = {"person": holder.annotator_id, "overlap": holder.overlap}
    return [
        claim_of(*row)
        for image_id in image_ids
        for statement in statements
        for row in connection.execute(statement, {**values, "image": image_id})
    ]


def mix(
    measuring: Sequence[Claim], training: Sequence[Claim], measured: int, trained: int, share: float
) -> list[Claim]:
    """Both lists as one, each in its order: at every place about ``share`` of all so far are for measuring.

    Args:
        measuring: images of the estimate slice.
        training: the others.
        measured: how many of the slice were given out before.
        trained: how many others were given out before.
        share: the part of all that measures, until one of the lists is used up.
    """
    first, second = list(reversed(measuring)), list(reversed(training))
    mixed = []
    while first or second:
        is_due = measured < share * (measured + trained + 1)
        if first and (is_due or not second):
            mixed.append(first.pop())
            measured += 1
        else:
            mixed.append(second.pop())
            trained += 1
    return mixed


def _given(connection: sqlite3.Connection) -> tuple[int, int]:
    """How many images of the slice, and of the others, were answered or are on somebody's card."""
    rows = connection.execute(
        f"""SELECT estimate, sum(images) FROM (
            SELECT estimate, images FROM tally
            UNION ALL SELECT purpose = 'estimate', 1 FROM leases WHERE tab NOT LIKE '{GRID}%')
        GROUP BY estimate"""
    )
    given = dict(rows)
    return given.get(1, 0), given.get(0, 0)
