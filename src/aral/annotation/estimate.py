"""The estimate set: images drawn at random and labelled only for the accuracy estimate, never for training.

Queried images are no random sample of the folder, so the accuracy on them is biased. Every
image has a random number (``images.shuffle``) from the project's seed; the estimate set holds the images with the
smallest ones. Its labelled images stay in it, and images labelled outside never enter it. When it grows after a
model or an annotator has chosen images to label, it grows from the remaining images, which may be easier; such
images are recorded as late.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from aral.annotation.database import Connection, ProjectDatabase, read_setting, write_setting
from aral.annotation.provenance import BY_CHANCE, ESTIMATE_SET
from aral.randomness import Stream

LEAST, MOST = 20, 200

_USABLE = "status IN ('pending', 'ready') AND duplicate_of IS NULL"
"""SQL: pending images count as readable."""

_LATE, _SEED = "late in the estimate slice", "seed"
"""Names of settings; the first keeps the older name of the estimate set, because projects store it."""


@dataclass(frozen=True)
class Estimate:
    """A share of right predictions on the estimate set, with its confidence interval.

    Attributes:
        accuracy: share of right predictions in 0..1.
        low: lower end of the 95 % interval.
        high: upper end.
        count: how many labels it is computed from.
        late: how many of them entered the estimate set after other images had been chosen and labelled: they
            were drawn from what was left, so the share may be too high.
    """

    accuracy: float
    low: float
    high: float
    count: int
    late: int = 0


class EstimateSet:
    """Which images are in the estimate set."""

    def __init__(self, database: ProjectDatabase) -> None:
        self._database = database

    def image_ids(self) -> Int64[np.ndarray, " N"]:
        """Ids of the images of the estimate set, ascending; empty before the first sync.

        It may gain images when files, budget or share grow, and lose images that are not labelled.
        """
        rows = self._database.rows(
            "SELECT id FROM images WHERE estimate = 1 AND (state IS NOT NULL OR status = 'ready') ORDER BY id"
        )
        return np.array([image_id for (image_id,) in rows], dtype=np.int64)

    def late_ids(self) -> Int64[np.ndarray, " n"]:
        """Those that entered the estimate set after other images had been chosen and labelled, ascending.

        They were drawn from the remaining images, so the accuracy on them may be too high.
        """
        with self._database.snapshot() as connection:
            return np.array(read_setting(connection, _LATE, []), dtype=np.int64)


def estimate_set_size(images: int, budget: int | None, share: float) -> int:
    """Size of the estimate set: a share of the budget, from 20 to 200, but at most half of the images.

    Args:
        images: how many images can be labelled.
        budget: how many labels are to be given; None for all images.
        share: share of the budget for the estimate set, 0 to 0.5.
    """
    if share == 0:
        return 0
    spent = images if budget is None else min(budget, images)
    return min(max(LEAST, round(share * spent)), MOST, spent // 2)


def estimate_images(connection: Connection) -> int:
    """How many images the estimate set has that are answered or can be."""
    (count,) = connection.execute(
        f"SELECT count(*) FROM images WHERE estimate = 1 AND (state IS NOT NULL OR {_USABLE})"
    ).fetchone()
    return int(count)


def unanswered_estimate_images(connection: Connection) -> int:
    """How many of them have no answer yet."""
    (count,) = connection.execute(
        f"SELECT count(*) FROM images WHERE estimate = 1 AND state IS NULL AND {_USABLE}"
    ).fetchone()
    return int(count)


def labelable_images(connection: Connection) -> int:
    """How many images can be labelled."""
    (count,) = connection.execute(
        "SELECT count(*) FROM images WHERE status = 'ready' AND duplicate_of IS NULL"
    ).fetchone()
    return int(count)


def labelled_images(connection: Connection) -> int:
    """How many images have a class, for training or for the estimate: what the budget counts."""
    (count,) = connection.execute(
        "SELECT coalesce(sum(images), 0) FROM tally WHERE state = 'class'"
    ).fetchone()
    return int(count)


def set_seed(connection: Connection, seed: int) -> None:
    """Set the seed of the images' random numbers; a project that has images keeps its own."""
    if connection.execute("SELECT 1 FROM images LIMIT 1").fetchone() is None:
        write_setting(connection, _SEED, seed)


def image_stream(connection: Connection) -> Stream:
    """The stream of the images' random numbers; a project without a stored seed has seed 0."""
    return Stream.root(int(read_setting(connection, _SEED, 0))).child("shuffle")


def resize_estimate_set(connection: Connection, budget: int | None, share: float, size: int | None) -> None:
    """Draw the estimate set, or adapt its size to the images, the budget and the share, or to a given size.

    Runs inside a transaction. Pending images count as readable; when they turn out not to be, the next call
    draws others instead. Images that enter after others were chosen and labelled are recorded as late.
    """
    (images,) = connection.execute(f"SELECT count(*) FROM images WHERE {_USABLE}").fetchone()
    wanted = estimate_set_size(images, budget, share) if size is None else size
    lacking = wanted - estimate_images(connection)
    current, order = (0, "shuffle") if lacking > 0 else (1, "shuffle DESC")
    rows = connection.execute(
        f"""SELECT id FROM images WHERE estimate = ? AND state IS NULL AND {_USABLE}
            AND id NOT IN (SELECT image_id FROM leases)
        ORDER BY {order} LIMIT ?""",
        (current, abs(lacking)),
    ).fetchall()
    connection.executemany("UPDATE images SET estimate = 1 - estimate WHERE id = ?", rows)
    _record_late(connection, {image_id for (image_id,) in rows}, entered=lacking > 0)


def _record_late(connection: Connection, image_ids: set[int], entered: bool) -> None:
    """Update the list of late images with those that entered or left the estimate set."""
    late: set[int] = set(read_setting(connection, _LATE, []))
    after = late | image_ids if entered and _were_chosen(connection) else late - image_ids
    if after != late:
        write_setting(connection, _LATE, sorted(after))


def _were_chosen(connection: Connection) -> bool:
    """Whether images outside the estimate set were answered that were not drawn at random.

    Answers to random images do not count: the images that remain are still a random sample.
    """
    row = connection.execute(
        """SELECT 1 FROM answers a JOIN images i ON i.id = a.image_id
        WHERE i.estimate = 0 AND i.state IS NOT NULL AND a.action <> 'undo' AND a.strategy NOT IN (?, ?) LIMIT 1""",
        (BY_CHANCE, ESTIMATE_SET),
    ).fetchone()
    return row is not None
