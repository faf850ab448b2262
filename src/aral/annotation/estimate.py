"""The estimate slice: images drawn at random, labelled only to measure, never to train.

Chosen images are no fair sample of the folder, so an accuracy on them says little. Every image carries a
random number from the start; the slice is the images with the smallest ones. What was answered in it stays
in it, and what was answered outside never comes in. When it grows after a model or a person has chosen images to
answer, it grows from what they have left over, which may be easier; such images are noted as late.
"""

from __future__ import annotations

import sqlite3

import numpy as np
from jaxtyping import Int64

from aral.annotation.database import Part, read_setting, write_setting
from aral.annotation.records import BY_CHANCE, ESTIMATE_SLICE

LEAST, MOST = 20, 200

_LATE = "late in the estimate slice"


def slice_size(images: int, budget: int | None, share: float) -> int:
    """How many images measure: a share of the budget, from 20 to 200, but at most half of what there is.

    Args:
        images: how many images can be labelled.
        budget: how many labels are to be given; None for all images.
        share: the part of the budget for measuring, 0 to 0.5.
    """
    if share == 0:
        return 0
    spent = images if budget is None else min(budget, images)
    return min(max(LEAST, round(share * spent)), MOST, spent // 2)


def fit_slice(connection: sqlite3.Connection, budget: int | None, share: float) -> None:
    """Draw the slice, or bring it to its size after images, budget or share have changed.

    Runs inside a transaction. Images that are still to be read count as if they were readable; when they
    turn out not to be, the next call draws others for them. What comes in after images outside were chosen and
    answered is noted as late.
    """
    usable = "status IN ('pending', 'ready') AND duplicate_of IS NULL"
    (images,) = connection.execute(f"SELECT count(*) FROM images WHERE {usable}").fetchone()
    (have,) = connection.execute(
        f"SELECT count(*) FROM images WHERE estimate = 1 AND (state IS NOT NULL OR {usable})"
    ).fetchone()
    lacking = slice_size(images, budget, share) - have
    wanted, order = (0, "shuffle") if lacking > 0 else (1, "shuffle DESC")
    rows = connection.execute(
        f"""SELECT id FROM images WHERE estimate = ? AND state IS NULL AND {usable}
            AND id NOT IN (SELECT image_id FROM leases)
        ORDER BY {order} LIMIT ?""",
        (wanted, abs(lacking)),
    ).fetchall()
    connection.executemany("UPDATE images SET estimate = 1 - estimate WHERE id = ?", rows)
    _note_late(connection, {image_id for (image_id,) in rows}, came=lacking > 0)


def _note_late(connection: sqlite3.Connection, image_ids: set[int], came: bool) -> None:
    """Keep count of what is late: images that leave the slice are no more, those that come now may be."""
    late: set[int] = set(read_setting(connection, _LATE, []))
    after = late | image_ids if came and _were_chosen(connection) else late - image_ids
    if after != late:
        write_setting(connection, _LATE, sorted(after))


def _were_chosen(connection: sqlite3.Connection) -> bool:
    """Whether images outside the slice have answers that were not asked by chance alone.

    Those by chance take no kind of image away from what is left, skipped or not.
    """
    row = connection.execute(
        """SELECT 1 FROM answers a JOIN images i ON i.id = a.image_id
        WHERE i.estimate = 0 AND i.state IS NOT NULL AND a.action <> 'undo' AND a.strategy NOT IN (?, ?) LIMIT 1""",
        (BY_CHANCE, ESTIMATE_SLICE),
    ).fetchone()
    return row is not None


class EstimatePart(Part):
    """What is measured on."""

    def estimate_slice(self) -> Int64[np.ndarray, " N"]:
        """Ids of the images that are labelled for measuring only, ascending; empty before an import.

        It may gain images when files, budget or share are added to, and lose images nobody has answered.
        """
        rows = self._database.rows(
            "SELECT id FROM images WHERE estimate = 1 AND (state IS NOT NULL OR status = 'ready') ORDER BY id"
        )
        return np.array([image_id for (image_id,) in rows], dtype=np.int64)

    def late_in_slice(self) -> Int64[np.ndarray, " n"]:
        """Those of the estimate slice that came in after other images had been chosen and answered; ascending.

        They were drawn from what those had left over, so an accuracy on them may be too high.
        """
        with self._database.moment() as connection:
            return np.array(read_setting(connection, _LATE, []), dtype=np.int64)
