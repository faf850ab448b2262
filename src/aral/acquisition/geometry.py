"""Features, distances between them, and k-means: what several acquisitions share.

Distances are Euclidean and computed in blocks of rows; no N×N matrix is ever held, nor the features of a whole pool in
another precision than they came in: :class:`Vectors` converts the rows that are read.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64
from torch import Tensor

from aral.acquisition.interface import Need, PoolView, Predictions, argmax_with_ties
from aral.randomness import Stream

Features = Float64[np.ndarray, "N F"]
Centres = Float64[np.ndarray, "C F"]

BLOCK = 1 << 20
"""Numbers in one temporary array (8 MB)."""

ROUNDING = 1e-9
"""Squared distances that differ by less than this share are equal."""


class Vectors:
    """Vectors of images, N×F, of any precision and in any place; rows are converted to float64 when they are read.

    Args:
        parts: tensors and which of their rows are meant (``None``: all), one row an image; a file that is mapped into
            memory will do. Several are read side by side.
        unit: each part of a row is divided by its Euclidean norm, so that Euclidean distances order pairs as cosines
            do.
    """

    def __init__(
        self, parts: Sequence[tuple[Tensor, Int64[np.ndarray, " N"] | None]], unit: bool = False
    ) -> None:
        self._parts = tuple((values.detach(), at) for values, at in parts)
        self._unit = unit
        values, at = self._parts[0]
        self.shape = (len(values) if at is None else at.size, sum(part.shape[1] for part, _ in self._parts))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | Int64[np.ndarray, " n"]) -> Float64[np.ndarray, "n F"]:
        """Some rows as float64."""
        return self._read(rows, torch.float64)

    def single(self, rows: slice | Int64[np.ndarray, " n"]) -> Float32[np.ndarray, "n F"]:
        """Some rows as float32, for clustering and for bounds."""
        return self._read(rows, torch.float32)

    def subset(self, rows: Int64[np.ndarray, " n"]) -> Vectors:
        """Some of the vectors; nothing is read."""
        return Vectors([(values, rows if at is None else at[rows]) for values, at in self._parts], self._unit)

    def _read(self, rows: slice | Int64[np.ndarray, " n"], dtype: torch.dtype) -> np.ndarray:
        found = []
        for values, at in self._parts:
            where = rows if at is None else at[rows]
            chosen = values[where if isinstance(where, slice) else torch.from_numpy(where)]
            part = chosen.to(dtype).numpy()
            found.append(unit_length(part) if self._unit else part)
        return found[0] if len(found) == 1 else np.hstack(found)


class Stacked:
    """Vectors of unlabelled images and below them those of labelled ones, (N+L)×F; read as :class:`Vectors` are."""

    def __init__(self, unlabelled: Vectors, labelled: Centres) -> None:
        self._unlabelled, self._labelled = unlabelled, labelled
        self.shape = (len(unlabelled) + len(labelled), unlabelled.shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | Int64[np.ndarray, " n"]) -> Float64[np.ndarray, "n F"]:
        """Some rows as float64."""
        at = np.arange(len(self))[rows]
        above = at < len(self._unlabelled)
        found = np.empty((at.size, self.shape[1]))
        found[above] = self._unlabelled[at[above]]
        found[~above] = self._labelled[at[~above] - len(self._unlabelled)]
        return found

    def single(self, rows: slice | Int64[np.ndarray, " n"]) -> Float32[np.ndarray, "n F"]:
        """Some rows as float32."""
        return self[rows].astype(np.float32)

    def subset(self, rows: Int64[np.ndarray, " n"]) -> Vectors:
        """Some of the vectors, in memory."""
        return Vectors([(torch.from_numpy(self[rows]), None)])


Points: TypeAlias = Features | Vectors | Stacked
"""Vectors of images, read by rows."""


def vectors_of(predictions: Predictions, *needs: Need, unit: bool = False) -> Vectors:
    """Features, latents or representations of images, N×F, side by side; nothing is read yet."""
    return Vectors([predictions.source(need) for need in needs], unit)


def features_of(predictions: Predictions, need: Need = Need.FEATURES) -> Features:
    """Features (or latents, or representations) of all images in memory as float64, N×F: for a few images."""
    return predictions.get(need).detach().double().numpy()


def labelled_features(pool: PoolView, width: int, need: Need = Need.FEATURES) -> Features:
    """Features of the labelled images, L×F; 0×F before the first label."""
    if pool.labelled.ids.size == 0:
        return np.empty((0, width))
    return features_of(pool.labelled, need)


def unit_length(features: Float[np.ndarray, "N F"]) -> Float[np.ndarray, "N F"]:
    """Features divided by their Euclidean norm, so that Euclidean distances order pairs as cosines do."""
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def row_blocks(rows: int, width: int) -> Iterator[slice]:
    """Consecutive slices of ``rows`` rows, each of at most ``BLOCK`` numbers when a row has ``width``."""
    size = max(1, BLOCK // max(1, width))
    for start in range(0, rows, size):
        yield slice(start, start + size)


def squared_distances(points: Points, others: Float64[np.ndarray, "#N F"]) -> Float64[np.ndarray, " N"]:
    """‖points_i − others_i‖² of each row, N; ``others`` may be one row, 1×F. Exactly 0 for equal rows."""
    result = np.empty(len(points))
    for block in row_blocks(*points.shape):
        difference = points[block] - (others if len(others) == 1 else others[block])
        result[block] = np.einsum("nf,nf->n", difference, difference)
    return result


def nearest_squared_distances(points: Points, centres: Centres) -> Float64[np.ndarray, " N"]:
    """Squared distance of each point to its nearest centre, N; ∞ when there is no centre."""
    found = np.full(len(points), np.inf)
    if len(centres):
        for block in row_blocks(*points.shape):
            found[block] = lowered(found[block], points[block], centres)
    return found


def lowered(
    bounds: Float64[np.ndarray, " n"], points: Float64[np.ndarray, "n F"], centres: Centres
) -> Float64[np.ndarray, " n"]:
    """The smaller of each bound and the squared distance of the point to its nearest centre.

    Distances are those of :func:`squared_distances`, so copies have exactly the same; a product of matrices finds the
    pairs that may be nearest.
    """
    result = bounds.copy()
    centre_norms = np.einsum("cf,cf->c", centres, centres)
    for rows in row_blocks(len(points), max(len(centres), points.shape[1])):
        part = points[rows]
        norms = np.einsum("nf,nf->n", part, part)
        squared = norms[:, None] + centre_norms - 2 * (part @ centres.T)
        error = ROUNDING * (norms + centre_norms.max())
        limit = np.minimum(squared.min(axis=1) + error, bounds[rows]) + error
        point, centre = np.nonzero(squared <= limit[:, None])
        for pairs in row_blocks(point.size, points.shape[1]):
            difference = part[point[pairs]] - centres[centre[pairs]]
            exact = np.einsum("nf,nf->n", difference, difference)
            np.minimum.at(result, rows.start + point[pairs], exact)
    return result


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
    limit = radius_limit(radius, scale)
    for block in row_blocks(len(points), len(centres)):
        part = points[block]
        norms = np.einsum("nf,nf->n", part, part)[:, None]
        yield block, np.hstack([-2 * part, norms, np.ones_like(norms)]) @ right <= limit


def radius_limit(radius: float, scale: float) -> float:
    """The largest squared distance that counts as within the radius, with an allowance for rounding errors."""
    return radius**2 * (1 + ROUNDING) + 1e-13 * scale


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


MOST_FITTED = 20_000
"""With more points than this, the centres of k-means are computed from so many random ones."""


def clusters_of(
    points: Vectors | Stacked, clusters: int, most_fitted: int, stream: Stream
) -> tuple[Int64[np.ndarray, " P"], int]:
    """The cluster of each point by k-means, and from how many points the centres were computed.

    With more points than ``most_fitted`` the centres are computed from so many random ones, and each point belongs to
    the nearest centre. There are no more clusters than points that centres are computed from.
    """
    if len(points) <= most_fitted:
        return k_means(points[:], clusters, stream), len(points)
    from sklearn.metrics import pairwise_distances_argmin

    fitted = np.sort(stream.child("fitted").numpy().permutation(len(points))[:most_fitted])
    part = points.single(fitted)
    found = k_means(part, clusters, stream)
    centres = np.stack([part[found == cluster].mean(axis=0) for cluster in np.unique(found)])
    members = np.empty(len(points), dtype=np.int64)
    for block in row_blocks(*points.shape):
        members[block] = pairwise_distances_argmin(points.single(block), centres)
    return members, len(fitted)


def rows_by_cluster(members: Int64[np.ndarray, " N"]) -> list[Int64[np.ndarray, " m"]]:
    """The rows of each cluster 0, 1, …, ascending; empty for a number that no row has."""
    order = np.argsort(members, kind="stable")
    return np.split(order, np.cumsum(np.bincount(members))[:-1])


def mean_of(points: Points, rows: Int64[np.ndarray, " m"]) -> Float64[np.ndarray, "1 F"]:
    """The mean of some rows, of which a block is in memory at a time."""
    blocks = [rows[block] for block in row_blocks(rows.size, points.shape[1])]
    if len(blocks) == 1:
        return points[rows].mean(axis=0, keepdims=True)
    total = np.zeros((1, points.shape[1]))
    for block in blocks:
        total += points[block].sum(axis=0, keepdims=True)
    return total / rows.size


def mean_and_spread(points: Points) -> tuple[Float64[np.ndarray, " F"], Float64[np.ndarray, " F"]]:
    """Mean and standard deviation of each of the F numbers over all points."""
    mean = mean_of(points, np.arange(len(points)))[0]
    squares = np.zeros(points.shape[1])
    for block in row_blocks(*points.shape):
        squares += ((points[block] - mean) ** 2).sum(axis=0)
    return mean, np.sqrt(squares / len(points))


def cluster_medoids(
    points: Vectors, clusters: int, ties: Float[np.ndarray, " N"], stream: Stream
) -> tuple[list[int], list[int], str]:
    """The point nearest to the centre of each k-means cluster, and the size of the cluster, the largest first.

    Args:
        points: at least ``clusters`` of them; of more than :data:`MOST_FITTED` a part is clustered
            (:func:`clusters_of`).
        clusters: how many; duplicates may give fewer.
        ties: a random number of each point's id, for points that are equally near.
        stream: decides the start of k-means.

    Returns:
        rows, sizes, and what reasons say of a part: empty when all points were clustered.
    """
    members, fitted = clusters_of(points, clusters, max(clusters, MOST_FITTED), stream)
    inside_of = rows_by_cluster(members)
    rows: list[int] = []
    sizes = np.array([inside.size for inside in inside_of])
    for cluster in np.argsort(-sizes, kind="stable"):
        inside = inside_of[cluster]
        if inside.size:
            part = points.subset(inside)
            nearness = -squared_distances(part, mean_of(points, inside))
            rows.append(int(inside[argmax_with_ties(nearness, ties[inside])]))
    note = fitted_note(fitted, len(points))
    return rows, [int(size) for size in sorted(sizes[sizes > 0], reverse=True)], note


def fitted_note(fitted: int, points: int) -> str:
    """What reasons say where the centres were computed from a part of the points; empty otherwise."""
    return f"; centres from {fitted:,} random images" if fitted < points else ""


def filled_up(rows: Int64[np.ndarray, " m"], others: Int64[np.ndarray, " o"], n: int) -> list[int]:
    """The first n of some rows and, where they are fewer, of others after them; each row once."""
    missing = max(0, n - rows.size)
    more = others[~np.isin(others, rows)][:missing] if missing else others[:0]
    return [int(row) for row in (*rows[:n], *more)]
