"""Leases: an image on somebody's screen is not given to anybody else for a while."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from aral.annotation.records import Asking, Purpose, Suggestion

LEASE_SECONDS = 600.0

GRID = "grid of "
"""Begins the name under which a tab holds what its grid shows, apart from its cards."""


@dataclass(frozen=True)
class Claim:
    """An image that somebody is to answer, and why.

    Attributes:
        image_id: the image.
        purpose: why it is shown.
        asked: what chose it.
        reason: one sentence for people.
    """

    image_id: int
    purpose: Purpose
    asked: Asking
    reason: str


def claim_of(
    image_id: int, purpose: Purpose, round: int | None, strategy: str, score: float | None, reason: str
) -> Claim:
    """Six columns as a claim."""
    return Claim(image_id, purpose, Asking(round, strategy, score), reason)


@dataclass(frozen=True)
class Holder:
    """Somebody at a page.

    Attributes:
        annotator_id: the person.
        tab: one of their browser tabs; two tabs never get the same image.
        overlap: how many people are to answer each image.
        now: the project's clock in seconds.
    """

    annotator_id: int
    tab: str
    overlap: int
    now: float


def grid_of(tab: str) -> str:
    """The name under which a tab holds what its grid shows."""
    return GRID + tab


def end_old_leases(connection: sqlite3.Connection, now: float) -> None:
    """Forget the leases whose time is over."""
    connection.execute("DELETE FROM leases WHERE ends <= ?", (now,))


def renew(connection: sqlite3.Connection, holder: Holder, image_ids: Sequence[int]) -> None:
    """Put off the end of the leases of images that are still on a page."""
    connection.executemany(
        "UPDATE leases SET ends = ?, tab = ? WHERE image_id = ? AND annotator_id = ?",
        [(holder.now + LEASE_SECONDS, holder.tab, image_id, holder.annotator_id) for image_id in image_ids],
    )


def take(
    connection: sqlite3.Connection, holder: Holder, claims: Sequence[Claim], said: Sequence[Suggestion | None]
) -> None:
    """Lease images, and keep what the newest model says of each before it is answered."""
    (given,) = connection.execute("SELECT coalesce(max(given), 0) FROM leases").fetchone()
    connection.executemany(
        """INSERT OR REPLACE INTO leases (image_id, annotator_id, tab, ends, purpose, round, strategy, score,
            reason, suggested_class, suggested_probability, suggested_by, given)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        [
            (
                claim.image_id,
                holder.annotator_id,
                holder.tab,
                holder.now + LEASE_SECONDS,
                claim.purpose,
                claim.asked.round,
                claim.asked.strategy,
                claim.asked.score,
                claim.reason,
                *suggestion_columns(suggestion),
                given + place,
            )
            for place, (claim, suggestion) in enumerate(zip(claims, said, strict=True), 1)
        ],
    )


def own_leases(
    connection: sqlite3.Connection, holder: Holder, but: Sequence[int], any_tab: bool = False
) -> list[tuple[Claim, Suggestion | None]]:
    """What a page was given and has not answered, in the order it was given; for a page loaded again.

    Args:
        connection: inside a transaction.
        holder: the page.
        but: images that are on the page.
        any_tab: take in what the person's other tabs were given.
    """
    rows = connection.execute(
        """SELECT l.image_id, l.purpose, l.round, l.strategy, l.score, l.reason,
            l.suggested_class, l.suggested_probability, l.suggested_by
        FROM leases l JOIN images i ON i.id = l.image_id
        WHERE l.annotator_id = ? AND (l.tab = ? OR ?) AND i.open = 1 ORDER BY l.given""",
        (holder.annotator_id, holder.tab, any_tab),
    )
    held = set(but)
    return [(claim_of(*row[:6]), suggestion_of(*row[6:])) for row in rows if row[0] not in held]


def leased_by_tab(connection: sqlite3.Connection, holder: Holder) -> set[int]:
    """Every image that one tab holds."""
    rows = connection.execute(
        "SELECT image_id FROM leases WHERE annotator_id = ? AND tab = ?", (holder.annotator_id, holder.tab)
    )
    return {image_id for (image_id,) in rows}


def end_lease(connection: sqlite3.Connection, image_id: int, annotator_id: int) -> None:
    """An image was answered by the person who had it."""
    connection.execute("DELETE FROM leases WHERE image_id = ? AND annotator_id = ?", (image_id, annotator_id))


def suggestion_columns(suggestion: Suggestion | None) -> tuple[int | None, float | None, int | None]:
    """A suggestion as three columns."""
    if suggestion is None:
        return None, None, None
    return suggestion.class_id, suggestion.probability, suggestion.model_number


def suggestion_of(
    class_id: int | None, probability: float | None, model_number: int | None
) -> Suggestion | None:
    """Three columns as a suggestion."""
    if class_id is None or probability is None or model_number is None:
        return None
    return Suggestion(class_id, probability, model_number)
