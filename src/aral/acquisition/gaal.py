"""GAAL: the pool images nearest to images that were generated to be uncertain (Zhu & Bento 2017).

In GAAL annotators label the synthesised images themselves. Where only pool images can be labelled, each synthesised
image, the most uncertain first, takes the nearest pool image in feature space that is not taken yet, as in Mayer &
Timofte (2020). When a query is larger than the number of synthesised images, they are used in turn.

Features N×F, features of synthesised images Q×F; the score is minus the Euclidean distance to the
synthesised image, 0 or less, higher = label first. Cost min(n, Q)·N·F.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64

from aral.acquisition.geometry import Vectors, features_of, squared_distances, vectors_of
from aral.acquisition.interface import Choice, JointBatch, Need, PoolView
from aral.randomness import Stream


def nearest_to_synthesised(pool: PoolView, n: int, stream: Stream) -> Choice:
    """n rows, the one closest to its synthesised image first."""
    features = vectors_of(pool.unlabelled, Need.FEATURES)
    synthesised = features_of(pool.unlabelled, Need.SYNTHESISED)
    ties = stream.child("ties").uniform(pool.unlabelled.ids)
    orders = [_nearest_first(features, image, ties, n) for image in synthesised[:n, None]]
    taken: set[int] = set()
    rows: list[int] = []
    scores: list[float] = []
    for turn in range(n):
        # The n nearest are enough: at most n − 1 of them are taken.
        row, distance = next(pair for pair in orders[turn % len(orders)] if pair[0] not in taken)
        taken.add(row)
        rows.append(row)
        scores.append(-distance)
    order = np.argsort(-np.array(scores), kind="stable")
    return Choice.of(
        [rows[place] for place in order],
        [scores[place] for place in order],
        lambda score: f"distance to a synthesised uncertain image {-score:.3g}",
    )


def _nearest_first(
    features: Vectors, image: Float64[np.ndarray, "1 F"], ties: Float64[np.ndarray, " N"], n: int
) -> Iterator[tuple[int, float]]:
    """The n rows nearest to an image and their distances, the nearest first."""
    distances = np.sqrt(squared_distances(features, image))
    near = np.flatnonzero(distances <= np.partition(distances, n - 1)[n - 1])
    order = near[np.lexsort((ties[near], distances[near]))][:n]
    return zip(order.tolist(), distances[order].tolist(), strict=True)


GAAL = JointBatch("gaal", frozenset({Need.FEATURES, Need.SYNTHESISED}), nearest_to_synthesised)
