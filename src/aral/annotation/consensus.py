"""Consensus: the majority of the annotators' current answers to an image, and whether it needs more answers.

An annotator's current answer is their newest one that was not undone (table ``standing``). The majority of the
decisive ones is the consensus; it is stored in the image's row (``state``, ``verdicts``, ``open``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from aral.annotation.database import Connection
from aral.annotation.settings import read_settings

Action = Literal["class", "skip", "unsure", "bad image", "none of these", "undo"]
"""What an annotator did with an image. Skip and unsure leave it open; 'bad image' and 'none of these' exclude it
from training."""

DECISIVE = ("class", "bad image", "none of these")
"""The actions that decide on an image; skip and unsure do not."""

State = Literal["class", "bad image", "none of these", "conflict", "skip", "unsure"]
"""``conflict``: the annotators disagree, without a majority."""

Vote: TypeAlias = tuple[Action, int | None]
"""An action and, for ``class``, the class."""


@dataclass(frozen=True)
class Consensus:
    """The majority of the answers to one image.

    Attributes:
        state: None without any answer.
        class_id: for the state ``class`` the live class.
        votes: how many annotators gave a decisive answer.
        agreement: share of the decisive answers that equal the consensus; 0 without one.
    """

    state: State | None
    class_id: int | None
    votes: int
    agreement: float


def consensus_of(votes: Sequence[Vote], merges: Mapping[int, int]) -> Consensus:
    """The majority of the decisive answers; a tie for the most is a conflict.

    Args:
        votes: one per annotator, their current answer.
        merges: live class by class.
    """
    decisive = [with_live_class(vote, merges) for vote in votes if vote[0] in DECISIVE]
    if not decisive:
        actions = {action for action, _ in votes}
        undecided: State | None = "unsure" if "unsure" in actions else "skip" if actions else None
        return Consensus(undecided, None, 0, 0.0)
    ((winner, most), *others) = Counter(decisive).most_common(2)
    if others and others[0][1] == most:
        return Consensus("conflict", None, len(decisive), most / len(decisive))
    action, class_id = winner
    state: State = "class" if action == "class" else "bad image" if action == "bad image" else "none of these"
    return Consensus(state, class_id, len(decisive), most / len(decisive))


def with_live_class(vote: Vote, merges: Mapping[int, int]) -> Vote:
    """The vote for the live class that its class was merged into."""
    action, class_id = vote
    return vote if class_id is None else (action, merges[class_id])


def live_class_of(connection: Connection) -> dict[int, int]:
    """For every class that ever existed the live class it was merged into, or itself."""
    into = dict(connection.execute("SELECT id, merged_into FROM classes"))
    merges = {}
    for start in into:
        class_id = start
        while into[class_id] is not None:
            class_id = into[class_id]
        merges[start] = class_id
    return merges


def update_consensus(connection: Connection, image_ids: Iterable[int]) -> None:
    """Recompute the consensus of images, and whether they are open for more answers.

    Runs inside the transaction that has changed the answers, the classes or the images.
    """
    merges = live_class_of(connection)
    overlap = read_settings(connection).overlap
    for image_id in image_ids:
        votes = connection.execute(
            "SELECT action, class_id FROM standing WHERE image_id = ?", (image_id,)
        ).fetchall()
        result = consensus_of(votes, merges)
        connection.execute(
            "UPDATE images SET state = ?2, verdicts = ?3, "
            "open = CASE WHEN status = 'ready' AND duplicate_of IS NULL AND ?3 < ?4 THEN 1 ELSE 0 END WHERE id = ?1",
            (image_id, result.state, result.votes, overlap),
        )


def update_consensus_after_merge(connection: Connection) -> None:
    """Recompute the consensus of images with several decisive answers: different ones may now be equal."""
    rows = connection.execute("SELECT id FROM images WHERE verdicts > 1").fetchall()
    update_consensus(connection, [image_id for (image_id,) in rows])
