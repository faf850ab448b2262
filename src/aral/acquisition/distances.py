"""Euclidean distances between images in a feature space, without ever an N×N matrix."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float64, Int64
from sklearn.metrics import pairwise_distances_argmin

from aral.acquisition.interface import Need, PoolView, Predictions

Features = Float64[np.ndarray, "N F"]
Centres = Float64[np.ndarray, "C F"]

BLOCK = 1 << 20
"""Numbers in one temporary array (8 MB)."""

ROUNDING = 1e-9
"""Squared distances that differ by less than this share are equal."""


def features_of(predictions: Predictions, need: Need = Need.FEATURES) -> Features:
    """Features (or latents) as float64, N×F, whatever precision the learner computed them in."""
    return predictions.get(need).detach().double().numpy()


def labelled_features(pool: PoolView, width: int, need: Need = Need.FEATURES) -> Features:
    """Features of the labelled images, L×F; 0×F before any label."""
    if pool.labelled.ids.size == 0:
        return np.empty((0, width))
    return features_of(pool.labelled, need)


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
        scale: the largest squared norm of the points, in units of which rounding is allowed for.
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
