"""A test set drawn from the images of each class, where data have none of their own."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray

from aral.randomness import Stream


def drawn_by_class(classes: Int64[np.ndarray, " N"], share: float, stream: Stream) -> NDArray[np.bool_]:
    """Which images are in the test set: this share of each class, but at least one and not all; none of a single image.

    Args:
        classes: of all images.
        share: of each class, between 0 and 1.
        stream: draws them, by a random number of the position.

    Returns:
        N truth values; all are false where every class has a single image.
    """
    drawn = stream.uniform(np.arange(classes.size))
    chosen = np.zeros(classes.size, dtype=np.bool_)
    for number in np.unique(classes):
        rows = np.flatnonzero(classes == number)
        count = min(max(round(share * rows.size), 1), rows.size - 1)
        chosen[rows[np.argsort(drawn[rows], kind="stable")[:count]]] = True
    return chosen


def single_images(classes: Int64[np.ndarray, " N"]) -> int:
    """How many classes have a single image, and therefore none in the test set."""
    return int((np.bincount(classes) == 1).sum())
