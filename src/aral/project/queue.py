"""Which images are to be answered, by the newest round and otherwise."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int64

from aral.errors import BadInput
from aral.project.answer_records import Counts
from aral.project.database import Part
from aral.project.leases import Claim, Holder
from aral.project.records import Purpose

MOST_RESERVED = 2000
"""How many of the reserve are kept: some rounds' worth; beyond, chance does as well."""

_FREE = """i.verdicts + (SELECT count(*) FROM leases l
        WHERE l.image_id = i.id AND l.annotator_id <> :person) < :overlap
    AND NOT EXISTS (SELECT 1 FROM leases l WHERE l.image_id = i.id AND l.annotator_id = :person)"""
_NEW = (
    f"{_FREE} AND NOT EXISTS (SELECT 1 FROM standing s WHERE s.image_id = i.id AND s.annotator_id = :person)"
)

_QUEUED = f"""SELECT i.id, q.purpose, q.round, q.reason FROM queue q JOIN images i ON i.id = q.image_id
    WHERE q.open = 1 AND q.purpose = :purpose AND i.estimate = 0 AND {_NEW} ORDER BY q.position LIMIT :count"""
_BY_CHANCE = f"""SELECT i.id, :purpose, NULL, '' FROM images i
    WHERE i.open = 1 AND i.estimate = (:purpose = 'estimate') AND {_NEW} ORDER BY i.shuffle LIMIT :count"""
PURPOSE_AND_ROUND = """CASE WHEN i.estimate THEN 'estimate' ELSE coalesce(q.purpose, 'random') END,
    CASE WHEN i.estimate THEN NULL ELSE q.round END"""
"""Why an image would be shown now, for images ``i`` joined with the queue ``q``."""

_THIS = f"""SELECT i.id, {PURPOSE_AND_ROUND}, coalesce(q.reason, '')
    FROM images i LEFT JOIN queue q ON q.image_id = i.id WHERE i.id = :image AND i.open = 1 AND {_NEW}"""
_PUT_OFF = f"""SELECT i.id, {PURPOSE_AND_ROUND}, coalesce(q.reason, '')
    FROM standing o JOIN images i ON i.id = o.image_id LEFT JOIN queue q ON q.image_id = i.id
    WHERE o.annotator_id = :person AND o.action IN ('skip', 'unsure') AND i.open = 1 AND {_FREE}
    ORDER BY o.seq LIMIT :count"""


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
    ) -> None:
        """Replace the queue by that of a new round; a repetition changes nothing.

        Images of the estimate slice may be among them; they are never shown as part of the queue.

        Args:
            round_number: the round whose model has chosen.
            ids: the query, the most wanted first.
            scores: one finite number an image, higher = label first.
            reasons: one sentence an image for people; may be empty.
            acquisition: name of the strategy.
            reserve_ids: the next best, in order, for people who are faster than training; the first
                2,000 of them are kept.

        Raises:
            BadInput: the lengths differ, an image is unknown or there twice, or a score is not finite.
        """
        if not ids.size == scores.size == len(reasons):
            raise BadInput(f"A queue of {ids.size} images has {scores.size} scores, {len(reasons)} reasons.")
        if not np.isfinite(scores).all() or np.unique(ids).size != ids.size:
            raise BadInput("A queue needs each image once, and finite scores.", "Look at the acquisition.")
        reserve = reserve_ids[~np.isin(reserve_ids, ids)].tolist()[:MOST_RESERVED]
        query: Purpose = "query"
        rows: list[tuple[int, Purpose, float | None, str]] = [
            (image_id, query, score, reason)
            for image_id, score, reason in zip(ids.tolist(), scores.tolist(), reasons, strict=True)
        ]
        rows += [(image_id, "reserve", None, "") for image_id in dict.fromkeys(reserve)]
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM queue")
            for position, (image_id, purpose, score, reason) in enumerate(rows):
                done = connection.execute(
                    "INSERT INTO queue SELECT ?, id, ?, ?, ?, ?, ?, open FROM images WHERE id = ?",
                    (position, purpose, round_number, score, reason, acquisition, image_id),
                )
                if not done.rowcount:
                    raise BadInput(f"There is no image {image_id}.", "Choose among the labelable images.")

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
        return [Claim(*row) for row in connection.execute(statement, values) if row[0] not in held]

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
    values = {"person": holder.annotator_id, "overlap": holder.overlap}
    claims = []
    for image_id in held:
        rows = connection.execute(_THIS, {**values, "image": image_id})
        claims += [Claim(*row) for row in rows]
    return claims


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
    """How many images of the slice, and of the others, were answered or are on somebody's page."""
    rows = connection.execute(
        """SELECT estimate, sum(images) FROM (
            SELECT estimate, images FROM tally UNION ALL SELECT purpose = 'estimate', 1 FROM leases)
        GROUP BY estimate"""
    )
    given = dict(rows)
    return given.get(1, 0), given.get(0, 0)
