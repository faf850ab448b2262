"""What an image's answers come to: a class, an exclusion, a conflict, or nothing yet."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from aral.annotation.answer_records import Action
from aral.annotation.settings import read_settings

VERDICTS = ("class", "bad image", "none of these")
"""The answers that settle something; skip and unsure do not."""

State = Literal["class", "bad image", "none of these", "conflict", "skip", "unsure"]

Vote: TypeAlias = tuple[Action, int | None]
"""An action and, for ``class``, the class."""


@dataclass(frozen=True)
class Outcome:
    """What several people's answers to one image come to.

    Attributes:
        state: None without any answer.
        class_id: for the state ``class`` the live class.
        verdicts: how many people gave a verdict.
        agreement: the share of the verdicts that say the same as the outcome; 0 without one.
    """

    state: State | None
    class_id: int | None
    verdicts: int
    agreement: float


def outcome(votes: Sequence[Vote], merges: Mapping[int, int]) -> Outcome:
    """The majority of the verdicts; a tie for the most is a conflict.

    Args:
        votes: one for each person, their newest.
        merges: live class by class.
    """
    verdicts = [followed(vote, merges) for vote in votes if vote[0] in VERDICTS]
    if not verdicts:
        actions = {action for action, _ in votes}
        unsettled: State | None = "unsure" if "unsure" in actions else "skip" if actions else None
        return Outcome(unsettled, None, 0, 0.0)
    ((verdict, most), *others) = Counter(verdicts).most_common(2)
    if others and others[0][1] == most:
        return Outcome("conflict", None, len(verdicts), most / len(verdicts))
    action, class_id = verdict
    state: State = "class" if action == "class" else "bad image" if action == "bad image" else "none of these"
    return Outcome(state, class_id, len(verdicts), most / len(verdicts))


def followed(vote: Vote, merges: Mapping[int, int]) -> Vote:
    """The same vote with the class that its class has become part of."""
    action, class_id = vote
    return vote if class_id is None else (action, merges[class_id])


def live_class_of(connection: sqlite3.Connection) -> dict[int, int]:
    """For every class there ever was the live class it is part of now."""
    into = dict(connection.execute("SELECT id, merged_into FROM classes"))
    merges = {}
    for start in into:
        class_id = start
        while into[class_id] is not None:
            class_id = into[class_id]
        merges[start] = class_id
    return merges


def refresh(connection: sqlite3.Connection, image_ids: Iterable[int]) -> None:
    """Work out anew what these images' answers come to, and whether the images are open for more.

    Runs inside the transaction that has changed the answers, the classes or the images.
    """
    merges = live_class_of(connection)
    overlap = read_settings(connection).overlap
    for image_id in image_ids:
        votes = connection.execute(
            "SELECT action, class_id FROM standing WHERE image_id = ?", (image_id,)
        ).fetchall()
        result = outcome(votes, merges)
        connection.execute(
            "UPDATE images SET state = ?2, verdicts = ?3, "
            "open = (status = 'ready' AND duplicate_of IS NULL AND ?3 < ?4) WHERE id = ?1",
            (image_id, result.state, result.verdicts, overlap),
        )


def refresh_answered_by_several(connection: sqlite3.Connection) -> None:
    """After a merge: answers that differed may now be the same."""
    rows = connection.execute("SELECT id FROM images WHERE verdicts > 1").fetchall()
    refresh(connection, [image_id for (image_id,) in rows])
