"""Images whose suggestion nobody sees before they answer: those of the estimate slice, and a random tenth."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import numpy as np

from aral.randomness import Stream

HIDDEN_SHARE = 0.1
_ANCHORING = Stream.root(0).child("anchoring")


def in_hidden_tenth(image_ids: Sequence[int]) -> list[bool]:
    """Whether suggestions for images are held back; a property of their numbers, the same for everybody."""
    hidden: list[bool] = (_ANCHORING.uniform(np.array(image_ids, dtype=np.int64)) < HIDDEN_SHARE).tolist()
    return hidden


def is_withheld(connection: sqlite3.Connection, image_id: int) -> bool:
    """Whether an image's suggestion is held back: what it measures would be biased otherwise."""
    row = connection.execute("SELECT estimate FROM images WHERE id = ?", (image_id,)).fetchone()
    return (row is not None and bool(row[0])) or in_hidden_tenth([image_id])[0]
