"""The queue: which images are shown next, to whom, and for how long they are reserved by a lease.

A lease keeps an image for one annotator for ten minutes. Cards lease one image each; a page of the grid
(``grid.py``) leases all images that it shows.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int64

from aral.annotation.annotators import ensure_annotator, find_annotator
from aral.annotation.database import Connection, ProjectDatabase, clock, clock_now
from aral.annotation.estimate import labelable_images, labelled_images
from aral.annotation.models import is_reading
from aral.annotation.predictions import (
    Predictions,
    PredictionTable,
    Suggestion,
    hides_suggestion,
    suggestion_columns,
    suggestion_of,
)
from aral.annotation.provenance import BY_CHANCE, ESTIMATE_SET, Provenance, Purpose
from aral.annotation.settings import ProjectSettings, read_settings
from aral.errors import BadInput
from aral.plural import counted

MOST_CARDS = 200
MOST_RESERVED = 2000
"""Maximum length of the reserve, the images of several rounds; after it, images are drawn at random."""

_IMAGES_AT_ONCE = 500
"""In one query; databases limit the number of values in one."""

LEASE_SECONDS = 600.0
RENEWED_AFTER = 60.0
"""Seconds. Pages report every two seconds what they show; a lease is renewed at most once in this time."""

GRID = "grid of "
"""Prefix of the tab name of the leases of a tab's grid, apart from those of its cards."""


@dataclass(frozen=True)
class Card:
    """An image to be labelled next, leased to one annotator.

    Attributes:
        image_id: the image.
        name: its file, as in :attr:`ProjectImage.name`.
        width: of the upright image in pixels.
        height: likewise.
        purpose: why it is shown.
        round: the round whose model queried it; None for ``estimate`` and ``random``.
        reason: the acquisition's reason, one sentence; may be empty.
        suggestion: the newest model's; None without a model, when suggestions are off, and when hidden.
        hidden_suggestion: the suggestion is hidden so that it cannot bias the answer: on the estimate set, and
            on a random tenth of the other images, which measures the bias.
    """

    image_id: int
    name: str
    width: int
    height: int
    purpose: Purpose
    round: int | None
    reason: str
    suggestion: Suggestion | None
    hidden_suggestion: bool


@dataclass(frozen=True)
class Assignment:
    """An image that an annotator is to label, and why.

    Attributes:
        image_id: the image.
        purpose: why it is shown.
        provenance: what chose it.
        reason: the acquisition's reason, one sentence; may be empty.
    """

    image_id: int
    purpose: Purpose
    provenance: Provenance
    reason: str


@dataclass(frozen=True)
class Holder:
    """Who holds leases: one browser tab of an annotator.

    Attributes:
        annotator_id: the annotator.
        tab: name of the browser tab; two tabs are never given the same image.
        overlap: how many annotators are to label each image.
        now: the project's clock in seconds.
    """

    annotator_id: int
    tab: str
    overlap: int
    now: float

    def of_grid(self) -> Holder:
        """The holder of the leases of the same tab's grid."""
        return replace(self, tab=GRID + self.tab)


_Row: TypeAlias = tuple[int, Purpose, float | None, str]
"""Image, purpose, score and reason."""

# SQL: which images may be given to :annotator. Named values: overlap, spent; purpose, count or images (a list).

_FREE = """i.verdicts + (SELECT count(*) FROM leases l
        WHERE l.image_id = i.id AND l.annotator_id <> :annotator) < :overlap
    AND NOT EXISTS (SELECT 1 FROM leases l WHERE l.image_id = i.id AND l.annotator_id = :annotator)"""
_NEW = f"{_FREE} AND NOT EXISTS (SELECT 1 FROM standing s WHERE s.image_id = i.id AND s.annotator_id = :annotator)"

_BEGUN = "(:spent = 0 OR i.verdicts > 0)"
"""SQL: once the budget is spent, only images are given that have an answer and need more of them."""

_QUEUED = f"""SELECT i.id, q.purpose, q.round, q.acquisition, q.score, q.reason
    FROM queue q JOIN images i ON i.id = q.image_id
    WHERE q.open = 1 AND q.purpose = :purpose AND i.estimate = 0 AND {_BEGUN} AND {_NEW}
    ORDER BY q.position LIMIT :count"""


def _at_random(images: str) -> str:
    return f"""SELECT i.id, :purpose, NULL,
        CASE WHEN i.estimate = 1 THEN '{ESTIMATE_SET}' ELSE '{BY_CHANCE}' END, NULL, ''
    FROM {images}
        AND i.open = 1 AND i.estimate = CASE WHEN :purpose = 'estimate' THEN 1 ELSE 0 END AND {_NEW}
    ORDER BY i.shuffle LIMIT :count"""


_AT_RANDOM = _at_random("images i WHERE TRUE")
# From the answers, which are few, to their images: a search among all images for those that have an answer reads every
# one of them when there is none to give.
_BEGUN_AT_RANDOM = _at_random(
    "(SELECT DISTINCT image_id FROM standing) b CROSS JOIN images i WHERE i.id = b.image_id AND i.verdicts > 0"
)

PROVENANCE = f"""CASE WHEN i.estimate = 1 THEN 'estimate' ELSE coalesce(a.purpose, 'random') END,
    CASE WHEN i.estimate = 0 THEN a.round END,
    CASE WHEN i.estimate = 1 THEN '{ESTIMATE_SET}' ELSE coalesce(a.acquisition, '{BY_CHANCE}') END,
    CASE WHEN i.estimate = 0 THEN a.score END"""
"""SQL: purpose, round, strategy and score of images ``i`` of :data:`WITH_QUERY`."""

WITH_QUERY = """images i LEFT JOIN asked a ON a.image_id = i.id
    AND a.round = (SELECT max(round) FROM asked WHERE image_id = i.id)"""
"""SQL: images ``i``, each with the newest query ``a`` that it was in, if any."""

_THIS = f"""SELECT i.id, {PROVENANCE}, coalesce(a.reason, '') FROM {WITH_QUERY}
    WHERE i.id IN (:images) AND i.open = 1 AND {_NEW}"""
_WAS_POSTPONED = f"""SELECT i.id, e.purpose, e.round, e.strategy, e.score, coalesce(a.reason, '')
    FROM standing o JOIN images i ON i.id = o.image_id JOIN answers e ON e.seq = o.seq
        LEFT JOIN asked a ON a.image_id = i.id AND a.round = e.round
    WHERE o.annotator_id = :annotator AND o.action IN ('skip', 'unsure') AND i.open = 1 AND {_FREE}"""
_POSTPONED = f"{_WAS_POSTPONED} AND {_BEGUN} ORDER BY o.seq LIMIT :count"
_THIS_POSTPONED = f"{_WAS_POSTPONED} AND i.id IN (:images)"


class Queue:
    """What is to be labelled next, and the leases on it."""

    def __init__(self, database: ProjectDatabase, predictions: Predictions) -> None:
        self._database = database
        self._predictions = predictions

    def replace(
        self,
        round_number: int,
        ids: Int64[np.ndarray, " n"],
        scores: Float[np.ndarray, " n"],
        reasons: Sequence[str],
        acquisition: str,
        reserve_ids: Int64[np.ndarray, " r"],
        reserve_scores: Float[np.ndarray, " r"] | None = None,
    ) -> None:
        """Replace the queue by the query of a new round; repeating the call changes nothing.

        Images of the earlier query that are not leased leave the queue, unless the new query holds them too.
        Leased images stay with their annotator, and their answers keep the round, acquisition and score of
        their own query. Images of the estimate set may be in the query; they are never shown as part of it.

        Args:
            round_number: the round whose model has chosen.
            ids: the query, highest score first.
            scores: one finite number per image, higher = label first.
            reasons: one sentence per image; may be empty.
            acquisition: its name.
            reserve_ids: the next best images, in order, for annotators who are faster than training; the first
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
                """INSERT INTO asked (image_id, round, purpose, acquisition, score, reason)
                SELECT image_id, round, purpose, acquisition, score, reason FROM queue WHERE true
                ON CONFLICT (image_id, round) DO UPDATE SET purpose = excluded.purpose,
                    acquisition = excluded.acquisition, score = excluded.score, reason = excluded.reason"""
            )

    def second_opinions(self, annotator: str | None = None) -> int:
        """How many images have an answer and need more of them: an annotator's, or with None anyone's."""
        with self._database.snapshot() as connection:
            (count,) = connection.execute(
                """SELECT count(*) FROM images i WHERE i.open = 1 AND i.verdicts > 0
                    AND NOT EXISTS (SELECT 1 FROM standing s WHERE s.image_id = i.id
                        AND s.annotator_id = ? AND s.action NOT IN ('skip', 'unsure'))""",
                (0 if annotator is None else find_annotator(connection, annotator),),
            ).fetchone()
        return int(count)

    def newest_round(self) -> int | None:
        """The round of the newest query; None before the first."""
        (found,) = self._database.row("SELECT max(round) FROM asked")
        return None if found is None else int(found)

    def remaining(self) -> int:
        """How many images of the newest query have no label yet.

        Images with no other answers than skip and unsure do not count, though they are shown again.
        """
        (count,) = self._database.row(
            """SELECT count(*) FROM queue q JOIN images i ON i.id = q.image_id
            WHERE q.open = 1 AND q.purpose = 'query' AND i.estimate = 0
                AND (i.state IS NULL OR i.state NOT IN ('skip', 'unsure'))"""
        )
        return int(count)

    def next_cards(
        self,
        annotator: str,
        count: int,
        holding: Sequence[int] = (),
        tab: str = "",
        fresh: bool = False,
    ) -> list[Card]:
        """The next images for an annotator, leased to them for ten minutes.

        First the images that are leased to this tab and not on the page, as after a reload. Then the estimate
        set, mixed evenly with the newest query, its reserve and random images. Last what this annotator skipped
        or was unsure of. Empty only when nothing is left that this annotator may label.

        Once the budget is spent, only images that others have answered and that need more answers are given.

        Args:
            annotator: their name.
            count: how many cards, up to 200.
            holding: images on the page; their leases are renewed, and they are not given again.
            tab: name of the browser tab, if one annotator has several: each gets its own images.
            fresh: the tab gives back the images that it held besides ``holding``, as when there is a newer query.

        Raises:
            BadInput: the name is empty, or the count is out of range.
        """
        if not 0 <= count <= MOST_CARDS:
            raise BadInput(f"{count} cards at once are out of range.", f"Request 1 to {MOST_CARDS}.")
        table = self._predictions.table()
        with self._database.transaction(notify=False, durable=False) as connection:
            settings = read_settings(connection)
            holder = Holder(ensure_annotator(connection, annotator), tab, settings.overlap, clock(connection))
            end_old_leases(connection, holder.now)
            if fresh:
                kept = set(holding)
                for image_id in _leased_by_tab(connection, holder) - kept:
                    end_lease(connection, image_id, holder.annotator_id)
            _renew_cards(connection, holder, holding, table)
            spent = settings.budget is not None and labelled_images(connection) >= settings.budget
            given = _own_leases(connection, holder, holding, spent)[:count]
            _renew(connection, holder, [assignment.image_id for assignment, _ in given])
            lacking = count - len(given)
            share = _estimate_share(connection, settings)
            chosen = _choose(connection, holder, lacking, holding, share, spent)
            lease(connection, holder, chosen, table)
            given += [(assignment, table.of(assignment.image_id)) for assignment in chosen]
            if not given:  # nothing else is left but the images of this annotator's other tabs
                given = _own_leases(connection, holder, holding, spent, any_tab=True)[:count]
            return [_card(connection, settings, *one) for one in given]

    def renew_leases(
        self, annotator: str, cards: Sequence[int], tiles: Sequence[int] | None = None, tab: str = ""
    ) -> None:
        """Renew the leases of the images that a page still shows.

        An image whose lease has ended is leased again, unless another annotator was given it. At most one write
        a minute, however often this is called.

        Args:
            annotator: their name.
            cards: unanswered images that are on cards of the page, or are to be.
            tiles: unanswered images of the tab's grid, which holds no other leases from then on; None to leave
                the grid's leases as they are.
            tab: name of the browser tab.

        Raises:
            BadInput: the name is empty.
        """
        with self._database.snapshot() as connection:
            annotator_id = find_annotator(connection, annotator)
            overlap = read_settings(connection).overlap
            if not _is_renewal_due(
                connection, Holder(annotator_id, tab, overlap, clock_now(connection)), cards, tiles
            ):
                return
        table = self._predictions.table()
        with self._database.transaction(notify=False, durable=False) as connection:
            holder = Holder(annotator_id, tab, overlap, clock(connection))
            end_old_leases(connection, holder.now)
            _renew_cards(connection, holder, cards, table)
            if tiles is not None:
                lease_grid(connection, holder, tiles, table)


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
    """The reserve without the images of the query, each image once."""
    if scores is not None and not np.isfinite(scores).all():
        raise BadInput("A reserve needs finite scores.", "Look at the acquisition.")
    known: list[float | None] = [None] * ids.size if scores is None else scores.tolist()
    score_of: dict[int, float | None] = {}
    for image_id, score in zip(ids.tolist(), known, strict=True):
        score_of.setdefault(image_id, score)
    queried = set(query.tolist())
    left = [image_id for image_id in score_of if image_id not in queried]
    return [(image_id, "reserve", score_of[image_id], "") for image_id in left[:MOST_RESERVED]]


# The order of the queue


def _choose(
    connection: Connection,
    holder: Holder,
    count: int,
    held: Sequence[int],
    share: float,
    spent: bool,
) -> list[Assignment]:
    """The next images for a page: query, reserve, random images, last those this annotator skipped or was unsure of.

    Images of the estimate set are mixed in evenly, so that at any moment they are a fixed share of the answers. Only
    while the images of the folder are still being read and nothing is queried, they come first: they are drawn at
    random anyway.

    Args:
        connection: inside a transaction.
        holder: the page.
        count: how many images.
        held: images that are on the page already.
        share: share of the answers that go to the estimate set.
        spent: the budget is spent.
    """
    if not count:
        return []
    excluded = set(held)

    def assignments(statement: str, purpose: Purpose) -> list[Assignment]:
        values = {
            "annotator": holder.annotator_id,
            "overlap": holder.overlap,
            "spent": spent,
            "purpose": purpose,
            "count": 2 * count + len(excluded),  # some may be held, or be in the query as well
        }
        return [_assignment(*row) for row in connection.execute(statement, values) if row[0] not in excluded]

    at_random = _BEGUN_AT_RANDOM if spent else _AT_RANDOM
    stages: tuple[tuple[str, Purpose], ...] = (
        (_QUEUED, "query"),
        (_QUEUED, "reserve"),
        (at_random, "random"),
    )
    training: dict[int, Assignment] = {}
    for statement, purpose in stages:
        if len(training) < count:
            for assignment in assignments(statement, purpose):
                training.setdefault(assignment.image_id, assignment)
    estimate = assignments(at_random, "estimate")
    if is_reading(connection) and not any(each.provenance.round is not None for each in training.values()):
        share = 1.0
    mixed = mix(estimate, list(training.values()), *_given_counts(connection), share)[:count]
    if len(mixed) < count:
        mixed += assignments(_POSTPONED, "random")[: count - len(mixed)]
    return mixed


def mix(
    estimate: Sequence[Assignment],
    training: Sequence[Assignment],
    estimate_given: int,
    training_given: int,
    share: float,
) -> list[Assignment]:
    """Both lists merged, each in its order, so that in every prefix about ``share`` is for the estimate set.

    Args:
        estimate: images of the estimate set.
        training: the others.
        estimate_given: how many images of the estimate set were given out before.
        training_given: how many others were given out before.
        share: share of the estimate set, until one of the lists is used up.
    """
    first, second = list(reversed(estimate)), list(reversed(training))
    mixed = []
    while first or second:
        is_due = estimate_given < share * (estimate_given + training_given + 1)
        if first and (is_due or not second):
            mixed.append(first.pop())
            estimate_given += 1
        else:
            mixed.append(second.pop())
            training_given += 1
    return mixed


def _given_counts(connection: Connection) -> tuple[int, int]:
    """How many images of the estimate set, and how many others, are labelled or leased as cards."""
    rows = connection.execute(
        f"""SELECT estimate, sum(images) FROM (
            SELECT estimate, images FROM tally
            UNION ALL SELECT CASE WHEN purpose = 'estimate' THEN 1 ELSE 0 END, 1
            FROM leases WHERE substr(tab, 1, {len(GRID)}) <> '{GRID}') given
        GROUP BY estimate"""
    )
    given = dict(rows)
    return given.get(1, 0), given.get(0, 0)


def _estimate_share(connection: Connection, settings: ProjectSettings) -> float:
    """Share of the answers for the estimate set, such that the set and the budget are used up together."""
    if settings.budget is None and settings.estimate_size is None:
        return settings.estimate_share
    (in_set,) = connection.execute("SELECT count(*) FROM images WHERE estimate = 1").fetchone()
    return float(in_set) / (settings.budget or max(1, labelable_images(connection)))


def _card(
    connection: Connection,
    settings: ProjectSettings,
    assignment: Assignment,
    suggestion: Suggestion | None,
) -> Card:
    name, width, height = connection.execute(
        "SELECT name, width, height FROM images WHERE id = ?", (assignment.image_id,)
    ).fetchone()
    hidden = assignment.purpose == "estimate" or hides_suggestion([assignment.image_id])[0]
    return Card(
        assignment.image_id,
        os.fsdecode(name),
        width,
        height,
        assignment.purpose,
        assignment.provenance.round,
        assignment.reason,
        suggestion if settings.suggestions_on and not hidden else None,
        hidden,
    )


# Leases


def end_old_leases(connection: Connection, now: float) -> None:
    """Delete the leases that have ended."""
    connection.execute("DELETE FROM leases WHERE ends <= ?", (now,))


def end_lease(connection: Connection, image_id: int, annotator_id: int) -> None:
    """End an annotator's lease of an image, if there is one."""
    connection.execute("DELETE FROM leases WHERE image_id = ? AND annotator_id = ?", (image_id, annotator_id))


def lease(
    connection: Connection,
    holder: Holder,
    assignments: Sequence[Assignment],
    table: PredictionTable,
) -> None:
    """Lease images, each with the newest model's suggestion before it is answered."""
    (given,) = connection.execute("SELECT coalesce(max(given), 0) FROM leases").fetchone()
    connection.executemany(
        """INSERT INTO leases (image_id, annotator_id, tab, ends, purpose, round, strategy, score,
            reason, suggested_class, suggested_probability, suggested_by, given)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (image_id, annotator_id) DO UPDATE SET tab = excluded.tab, ends = excluded.ends,
            purpose = excluded.purpose, round = excluded.round, strategy = excluded.strategy,
            score = excluded.score, reason = excluded.reason, suggested_class = excluded.suggested_class,
            suggested_probability = excluded.suggested_probability, suggested_by = excluded.suggested_by,
            given = excluded.given""",
        [
            (
                assignment.image_id,
                holder.annotator_id,
                holder.tab,
                holder.now + LEASE_SECONDS,
                assignment.purpose,
                assignment.provenance.round,
                assignment.provenance.strategy,
                assignment.provenance.score,
                assignment.reason,
                *suggestion_columns(table.of(assignment.image_id)),
                given + number,
            )
            for number, assignment in enumerate(assignments, 1)
        ],
    )


def lease_grid(
    connection: Connection, holder: Holder, image_ids: Sequence[int], table: PredictionTable
) -> None:
    """Lease what a tab's grid shows to that grid, and nothing else.

    What is on one of the annotator's cards stays leased to the card.
    """
    grid = holder.of_grid()
    shown, before = set(image_ids), _leased_by_tab(connection, grid)
    for image_id in before - shown:
        end_lease(connection, image_id, grid.annotator_id)
    _renew(connection, grid, sorted(before & shown))
    lease(connection, grid, _available(connection, grid, image_ids, (_THIS, _THIS_POSTPONED)), table)


def _renew_cards(
    connection: Connection, holder: Holder, image_ids: Sequence[int], table: PredictionTable
) -> None:
    """Renew the leases of a page's cards; those that have ended are leased again unless others hold the image."""
    _renew(connection, holder, image_ids)
    lease(connection, holder, _available(connection, holder, image_ids, (_THIS,)), table)


def _renew(connection: Connection, holder: Holder, image_ids: Sequence[int]) -> None:
    connection.executemany(
        "UPDATE leases SET ends = ?, tab = ? WHERE image_id = ? AND annotator_id = ?",
        [(holder.now + LEASE_SECONDS, holder.tab, image_id, holder.annotator_id) for image_id in image_ids],
    )


def _is_renewal_due(
    connection: Connection, holder: Holder, cards: Sequence[int], tiles: Sequence[int] | None
) -> bool:
    """Whether a lease has to be renewed, made again or ended."""
    if not holder.annotator_id:
        return False  # an unknown annotator holds no leases
    rows = connection.execute(
        "SELECT image_id FROM leases WHERE annotator_id = ? AND ends < ?",
        (holder.annotator_id, holder.now + LEASE_SECONDS - RENEWED_AFTER),
    )
    old = {image_id for (image_id,) in rows}
    if old & {*cards, *(tiles or ())} or _available(connection, holder, cards, (_THIS,)):
        return True
    if tiles is None:
        return False
    return bool(
        _leased_by_tab(connection, holder.of_grid()) - set(tiles)
        or _available(connection, holder, tiles, (_THIS, _THIS_POSTPONED))
    )


def _available(
    connection: Connection, holder: Holder, image_ids: Sequence[int], statements: Sequence[str]
) -> list[Assignment]:
    """Those of the images that may be leased to the annotator and are not leased yet, each with its newest query."""
    found: dict[int, Assignment] = {}
    for start in range(0, len(image_ids), _IMAGES_AT_ONCE):
        part = {
            f"image{number}": image_id for number, image_id in enumerate(image_ids[start:][:_IMAGES_AT_ONCE])
        }
        places = ", ".join(f":{name}" for name in part)
        values = {"annotator": holder.annotator_id, "overlap": holder.overlap, **part}
        for statement in statements:
            for row in connection.execute(statement.replace(":images", places), values):
                found[row[0]] = _assignment(*row)
    return [found[image_id] for image_id in dict.fromkeys(image_ids) if image_id in found]


def _own_leases(
    connection: Connection, holder: Holder, held: Sequence[int], spent: bool, any_tab: bool = False
) -> list[tuple[Assignment, Suggestion | None]]:
    """The images leased to a tab that are not on its page, in the order of leasing.

    With ``any_tab`` those leased to any tab of the annotator.
    """
    rows = connection.execute(
        f"""SELECT l.image_id, l.purpose, l.round, l.strategy, l.score, l.reason,
            l.suggested_class, l.suggested_probability, l.suggested_by
        FROM leases l JOIN images i ON i.id = l.image_id
        WHERE l.annotator_id = :annotator AND (l.tab = :tab OR :any_tab = 1) AND i.open = 1 AND {_BEGUN}
        ORDER BY l.given""",
        {"annotator": holder.annotator_id, "tab": holder.tab, "any_tab": any_tab, "spent": spent},
    )
    excluded = set(held)
    return [(_assignment(*row[:6]), suggestion_of(*row[6:])) for row in rows if row[0] not in excluded]


def _leased_by_tab(connection: Connection, holder: Holder) -> set[int]:
    rows = connection.execute(
        "SELECT image_id FROM leases WHERE annotator_id = ? AND tab = ?", (holder.annotator_id, holder.tab)
    )
    return {image_id for (image_id,) in rows}


def _assignment(
    image_id: int, purpose: Purpose, round: int | None, strategy: str, score: float | None, reason: str
) -> Assignment:
    """Six columns as an assignment."""
    return Assignment(image_id, purpose, Provenance(round, strategy, score), reason)
