"""Features as NumPy arrays, distances between them, and k-means: what several acquisitions share.

Distances are Euclidean and computed in blocks of rows; no N×N matrix is ever held.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from aral.acquisition.interface import Need, PoolView, Predictions, argmax_with_ties
from aral.randomness import Stream

Features = Float64[np.ndarray, "N F"]
Centres = Float64[np.ndarray, "C F"]

BLOCK = 1 << 20
"""Numbers in one temporary array (8 MB)."""

ROUNDING = 1e-9
"""Squared distances that differ by less than this share are equal."""


def features_of(predictions: Predictions, need: Need = Need.FEATURES) -> Features:
    """Features (or latents, or representations) as float64, N×F, whatever precision they were computed in."""
    return predictions.get(need).detach().double().numpy()


def labelled_features(pool: PoolView, width: int, need: Need = Need.FEATURES) -> Features:
    """Features of the labelled images, L×F; 0×F before the first label."""
    if pool.labelled.ids.size == 0:
        return np.empty((0, width))
    return features_of(pool.labelled, need)


def unit_length(features: Features) -> Features:
    """Features divided by their Euclidean norm, so that Euclidean distances order pairs as cosines do."""
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def row_blocks(rows: int, width: int) -> Iterator[slice]:
    """Consecutive slices of ``rows`` rows, each of at most ``BLOCK`` numbers when a row has ``width``."""
    size = max(1, BLOCK // max(1, width))
    for start in range(0, rows, size):
        yield slice(start, start + size)


def squared_distances(points: Features, others: Float64[np.ndarray, "#N F"]) -> Float64[np.ndarray, " N"]:
    """‖points_i − others_i‖² of each row, N; ``others`` may be one row, 1×F. Exactly 0 for equal rows."""
    result = np.empty(len(points))
    for block in row_blocks(*points.shape):
        difference = points[block] - (others if len(others) == 1 else others[block])
        result[block] = np.einsum("nf,nf->n", difference, difference)
    return result


def nearest_squared_distances(points: Features, centres: Centres) -> Float64[np.ndarray, " N"]:
    """Squared distance of each point to its nearest centre, N; ∞ when there is no centre."""
    if len(centres) == 0 or len(points) == 0:
        return np.full(len(points), np.inf)
    from sklearn.metrics import pairwise_distances_argmin

    nearest = pairwise_distances_argmin(points, centres)
    return squared_distances(points, centres[nearest])


def within(
    points: Features, centres: Centres, radius: float, scale: float
) -> Iterator[tuple[slice, Bool[np.ndarray, "n C"]]]:
    """Which centres lie within ``radius`` of which points, some rows at a time.

    Args:
        points: N×F.
        centres: C×F.
        radius: a distance; a pair at exactly this distance is within.
        scale: the largest squared norm of the points, the unit of the allowance for rounding errors.
    """
    # [−2p, ‖p‖², 1]·[c, 1, ‖c‖²] = ‖p − c‖², so one product gives the squared distances.
    ones = np.ones((len(centres), 1))
    right = np.hstack([centres, ones, np.einsum("cf,cf->c", centres, centres)[:, None]]).T
    limit = radius**2 * (1 + ROUNDING) + 1e-13 * scale
    for block in row_blocks(len(points), len(centres)):
        part = points[block]
        norms = np.einsum("nf,nf->n", part, part)[:, None]
        yield block, np.hstack([-2 * part, norms, np.ones_like(norms)]) @ right <= limit


def count_within(points: Features, centres: Centres, radius: float) -> Int64[np.ndarray, " N"]:
    """How many centres lie within ``radius`` of each point, N.

    Cost N·C·F multiplications; memory for the points and one block, not for N×C.
    """
    counts = np.zeros(len(points), dtype=np.int64)
    if len(points) == 0 or len(centres) == 0:
        return counts
    scale = float(np.einsum("nf,nf->n", points, points).max())
    for first in range(0, len(centres), 1 << 13):
        for block, inside in within(points, centres[first : first + (1 << 13)], radius, scale):
            counts[block] += np.count_nonzero(inside, axis=1)
    return counts


def k_means(points: Float[np.ndarray, "N F"], clusters: int, stream: Stream) -> Int64[np.ndarray, " N"]:
    """The cluster of each point, 0..clusters−1, from one k-means++ start that the stream decides.

    Where fewer points are distinct than clusters are asked for, as in a pool with duplicates, there are fewer
    clusters, and scikit-learn's warning of it is suppressed.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    model = KMeans(clusters, n_init=1, random_state=int(stream.numpy().integers(2**31)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit_predict(points).astype(np.int64)


def cluster_medoids(
    points: Features, clusters: int, ties: Float[np.ndarray, " N"], stream: Stream
) -> tuple[list[int], list[int]]:
    """The point nearest to the centre of each k-means cluster, and the size of the cluster, the largest first.

    Args:
        points: at least ``clusters`` of them.
        clusters: how many; duplicates may give fewer.
        ties: a random number of each point's id, for points that are equally near.
        stream: decides the start of k-means.
    """
    members = k_means(points, clusters, stream)
    sizes = np.bincount(members, minlength=clusters)
    rows: list[int] = []
    for cluster in np.argsort(-sizes, kind="stable"):
        inside = np.flatnonzero(members == cluster)
        if inside.size:
            centre = points[inside].mean(axis=0, keepdims=True)
            nearness = -squared_distances(points[inside], centre)
            rows.append(int(inside[argmax_with_ties(nearness, ties[inside])]))
    return rows, [int(size) for size in sorted(sizes[sizes > 0], reverse=True)]
