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
from jaxtyping import Float32, Float64

from aral.acquisition.geometry import Vectors, features_of, row_blocks, squared_distances, vectors_of
from aral.acquisition.interface import Choice, JointBatch, Need, PoolView
from aral.randomness import Stream

_MOST_DISTANCES = 1 << 27
"""Distances held at a time (512 MB)."""


def nearest_to_synthesised(pool: PoolView, n: int, stream: Stream) -> Choice:
    """n rows, the one closest to its synthesised image first."""
    features = vectors_of(pool.unlabelled, Need.FEATURES)
    synthesised = features_of(pool.unlabelled, Need.SYNTHESISED)
    ties = stream.child("ties").uniform(pool.unlabelled.ids)
    orders = list(_nearest_first(features, synthesised[:n], ties, n))
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
    features: Vectors, images: Float64[np.ndarray, "Q F"], ties: Float64[np.ndarray, " N"], n: int
) -> Iterator[Iterator[tuple[int, float]]]:
    """For each image the n rows nearest to it and their distances, the nearest first."""
    together = max(1, _MOST_DISTANCES // len(features))
    for start in range(0, len(images), together):
        squared, error = _rough_squared_distances(features, images[start : start + together])
        for image, rough in zip(images[start : start + together, None], squared, strict=True):
            near = np.flatnonzero(rough <= np.partition(rough, n - 1)[n - 1] + 2 * error)
            distances = np.sqrt(squared_distances(features.subset(near), image))
            order = np.lexsort((ties[near], distances))[:n]
            yield zip(near[order].tolist(), distances[order].tolist(), strict=True)


def _rough_squared_distances(
    features: Vectors, images: Float64[np.ndarray, "q F"]
) -> tuple[Float32[np.ndarray, "q N"], float]:
    """Squared distances by products of matrices, and the largest error of one."""
    norms = np.einsum("qf,qf->q", images, images)[:, None]
    found = np.empty((len(images), len(features)), dtype=np.float32)
    for block in row_blocks(*features.shape):
        part = features[block]
        found[:, block] = norms + np.einsum("nf,nf->n", part, part) - 2 * images @ part.T
    return found, 1e-6 * (float(found.max()) + 2 * float(norms.max()))


GAAL = JointBatch("gaal", frozenset({Need.FEATURES, Need.SYNTHESISED}), nearest_to_synthesised)
