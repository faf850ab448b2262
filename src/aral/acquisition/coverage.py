"""Coverage of the pool in feature space: each image close to a labelled one. Needs features and no labels.

core-set (Sener & Savarese 2018), by greedy k-centre (Gonzalez 1985): again and again the image farthest from all
labelled and chosen ones,

    next = argmax over u of min over centres c of ‖f_u − f_c‖.

The largest distance left is at most twice the smallest that n centres can reach. The labelled images are the
first centres; before the first label the first centre is drawn at random. A score is the distance to the
nearest centre when chosen; scores descend along the batch.

robust-core-set: Sener & Savarese let a few images stay uncovered and solve that by integer programming. Ours
is greedy k-centre with outliers (after Ding, Yu & Wang 2019): at each step the z farthest images are taken
for outliers and the farthest of the rest is chosen. An outlier can be chosen only when it is not among the z
farthest, which happens at most z times; after k + z choices all but z images lie within twice the radius that
the best k centres reach with z outliers. z = the ``outliers`` share of the pool, rounded up (theirs: 10⁻⁴).
An image that was taken for an outlier may be chosen later, with a larger distance, so scores need not
descend.

probcover (ProbCover, Yehuda, Dekel et al. 2022), greedy maximum coverage: again and again the image whose ball of
radius δ holds the most images that no ball of a labelled or chosen image holds yet; at least 1 − 1/e of the best
coverage. When all images are covered the rest is random. A score is the number of newly covered images.

δ by the paper's rule: the pool is clustered by k-means into K clusters, which stand in for classes; a ball is pure
when all images in it are of its centre's cluster; δ is the largest radius at which at least 95 % of the balls are
pure. A ball becomes impure at the distance to the nearest image of another cluster, so δ is a quantile of those
distances; they are computed from a random sample of centres to the whole pool.

Features are N×F, as they come (ProbCover's are normalised; scale does not matter to the rule for δ). Scores are
higher = label first. Core-set costs N·F·(L + 1) for L labels and less for the batch: a distance is computed again
only while the last one is among the highest. ProbCover compares all pairs of images once, N²·F/2 multiplications
whatever n, and keeps one bit a pair. Larger pools are thinned to ``most_images``, which the reasons say, so this is at
most 450 MB.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
from jaxtyping import Bool, Float64, Int64

from aral.acquisition.geometry import (
    BLOCK,
    Centres,
    Features,
    Vectors,
    count_within,
    k_means,
    labelled_features,
    lowered,
    nearest_squared_distances,
    radius_limit,
    row_blocks,
    squared_distances,
    vectors_of,
)
from aral.acquisition.interface import Choice, JointBatch, Need, PoolView, argmax_with_ties
from aral.acquisition.lazy import LazyMaximum
from aral.randomness import Stream
from aral.types import Ids

MOST_BITS = 1 << 16
"""With more candidates ProbCover counts its balls again instead of keeping N² bits (512 MB for so many)."""


@dataclass(frozen=True)
class KCentre:
    """Greedy k-centre.

    Attributes:
        outliers: the share of the pool that may stay far from every centre, from 0 to below 1.
    """

    outliers: float = 0.0

    def __call__(self, pool: PoolView, n: int, stream: Stream) -> Choice:
        """n rows, each with its distance to the nearest centre at the time."""
        features = vectors_of(pool.unlabelled, Need.FEATURES)
        ties = stream.child("ties").uniform(pool.unlabelled.ids)
        nearest = nearest_squared_distances(features, labelled_features(pool, features.shape[1]))
        return self.farthest_first(features, nearest, ties, n)

    def farthest_first(
        self,
        features: Vectors,
        nearest: Float64[np.ndarray, " N"],
        ties: Float64[np.ndarray, " N"],
        n: int,
    ) -> Choice:
        """The same from the squared distance of each image to its nearest centre so far.

        Args:
            features: N×F.
            nearest: ∞ throughout while there is no centre; it is written to.
            ties: a random number of each image.
            n: how many.
        """
        first_is_random = not np.isfinite(nearest[0])
        rows: list[int] = []
        reached: list[float] = []
        if first_is_random:
            rows.append(int(ties.argmin()))
            nearest = squared_distances(features, features[np.array(rows)])
            # Without a centre there is no distance: the first image gets the score of the second.
            reached.append(max(0.0, float(nearest.max())))
            nearest[rows] = -np.inf
        distances = _Distances(features, len(nearest))
        lazy = LazyMaximum(nearest, distances.lowered, ties)
        while len(rows) < n:
            outliers = min(ceil(self.outliers * nearest.size), nearest.size - len(rows) - 1)
            row = lazy.highest(outliers)
            rows.append(row)
            reached.append(float(nearest[row]))
            nearest[row] = -np.inf
            distances.add(row)
        if first_is_random and n > 1:
            reached[0] = reached[1]
        scores = np.sqrt(np.array(reached))
        reasons = [f"distance {score:.3g} to the nearest labelled or chosen image" for score in scores]
        if first_is_random:
            reasons[0] = "first centre, drawn at random"
        return Choice(np.array(rows, dtype=np.int64), scores, tuple(reasons))


class _Distances:
    """Squared distances to the nearest chosen image, of the rows for which they are asked for."""

    def __init__(self, features: Vectors, rows: int) -> None:
        self._features = features
        self._nearest = np.full(rows, np.inf)
        self._seen = np.zeros(rows, dtype=np.int64)
        self._centres = np.empty((64, features.shape[1]))
        self._count = 0

    def add(self, row: int) -> None:
        """One more chosen image."""
        if self._count == len(self._centres):
            self._centres = np.concatenate([self._centres, np.empty_like(self._centres)])
        self._centres[self._count] = self._features[np.array([row])]
        self._count += 1

    def lowered(self, rows: Int64[np.ndarray, " m"]) -> Float64[np.ndarray, " m"]:
        """Of some rows; ∞ before the first image. What was chosen since a row was asked for last is compared."""
        since = int(self._seen[rows].min(initial=self._count))
        if since < self._count:
            centres = self._centres[since : self._count]
            self._nearest[rows] = lowered(self._nearest[rows], self._features[rows], centres)
            self._seen[rows] = self._count
        return self._nearest[rows]


@dataclass(frozen=True)
class ProbCover:
    """Greedy coverage by balls of one radius.

    Attributes:
        delta: the radius δ, in the unit of the features; ``None`` computes it from ``purity``.
        purity: the smallest share of pure balls.
        centres: how many balls the purity is computed from.
        most_images: of a larger pool so many candidates are drawn at random by id.
    """

    delta: float | None = None
    purity: float = 0.95
    centres: int = 2000
    most_images: int = 60_000

    def __call__(self, pool: PoolView, n: int, stream: Stream) -> Choice:
        """n rows, each with the number of images that its ball adds."""
        features = vectors_of(pool.unlabelled, Need.FEATURES)
        kept = sample_rows(pool.unlabelled.ids, max(n, self.most_images), stream.child("thin"))
        candidates = features[kept]
        labelled = labelled_features(pool, features.shape[1])
        delta = self.delta
        if delta is None:
            centres = sample_rows(pool.unlabelled.ids[kept], self.centres, stream.child("centres"))
            points = np.concatenate([candidates, labelled])
            delta = pure_radius(points, centres, pool.class_count, self.purity, stream.child("clusters"))
        ties = stream.child("ties").uniform(pool.unlabelled.ids[kept])
        rows, counts = cover(candidates, labelled, delta, n, ties)
        note = f"; of {kept.size:,} random images" if kept.size < len(features) else ""
        choice = Choice.of(rows, counts, f"covers {{:.0f}} more images within {delta:.3g}{note}".format)
        return Choice(kept[choice.rows], choice.scores, choice.reasons)


def cover(
    candidates: Features, labelled: Centres, delta: float, n: int, ties: Float64[np.ndarray, " N"]
) -> tuple[list[int], list[float]]:
    """Greedy maximum coverage: n rows of the candidates and how many candidates each newly covers."""
    covered = count_within(candidates, labelled, delta) > 0
    balls = BallBits(candidates, delta) if len(candidates) <= MOST_BITS else Balls(candidates, delta)
    gains = balls.count(np.flatnonzero(~covered)).astype(np.float64)
    rows: list[int] = []
    counts: list[float] = []
    for _ in range(n):
        row = argmax_with_ties(gains, ties)
        rows.append(row)
        counts.append(float(gains[row]))
        new = balls.inside(row) & ~covered
        gains -= balls.count(np.flatnonzero(new))
        covered |= new
        gains[rows] = -np.inf
    return rows, counts


class Balls:
    """Which points lie within a radius of which, computed when it is needed."""

    def __init__(self, points: Features, radius: float) -> None:
        self._points, self._radius = points, radius

    def inside(self, row: int) -> Bool[np.ndarray, " N"]:
        """Whether each point lies in the ball of one of them."""
        return count_within(self._points, self._points[[row]], self._radius) > 0

    def count(self, centres: Int64[np.ndarray, " C"]) -> Int64[np.ndarray, " N"]:
        """In how many of these balls each point lies."""
        return count_within(self._points, self._points[centres], self._radius)


class BallBits:
    """The same, computed once and kept as N² bits.

    Products in float32 decide all pairs but those at nearly the radius, whose distances are computed in float64.
    """

    def __init__(self, points: Features, radius: float) -> None:
        count, width = points.shape
        self._count = count
        self._bits = np.zeros((count, -(-count // 8)), dtype=np.uint8)
        moved = points - points.mean(axis=0)
        norms = np.einsum("nf,nf->n", moved, moved)
        scale = float(norms.max(initial=0.0))
        limit = radius_limit(radius, float(np.einsum("nf,nf->n", points, points).max(initial=0.0)))
        error = (width + 8) * float(np.finfo(np.float32).eps) * (scale + limit)
        single, squares = moved.astype(np.float32), norms.astype(np.float32)
        twice = -2 * single
        step = max(8, BLOCK // max(1, count) * 8)
        for start in range(0, count, step):
            rows = slice(start, min(start + step, count))
            # The matrix is symmetric: only pairs from the diagonal on are computed.
            squared = single[rows] @ twice[start:].T
            squared += squares[rows, None]
            squared += squares[start:]
            within = squared <= limit - error
            one, other = np.nonzero((squared <= limit + error) & ~within)
            for pairs in row_blocks(one.size, width):
                difference = points[start + one[pairs]] - points[start + other[pairs]]
                near = np.einsum("nf,nf->n", difference, difference) <= limit
                within[one[pairs], other[pairs]] = near
            self._bits[rows, start // 8 :] = np.packbits(within, axis=1)
            below = np.packbits(within.T, axis=1)
            self._bits[start:, start // 8 : start // 8 + below.shape[1]] |= below

    def inside(self, row: int) -> Bool[np.ndarray, " N"]:
        """Whether each point lies in the ball of one of them."""
        return np.unpackbits(self._bits[row], count=self._count).astype(bool)

    def count(self, centres: Int64[np.ndarray, " C"]) -> Int64[np.ndarray, " N"]:
        """In how many of these balls each point lies."""
        counts = np.zeros(self._count, dtype=np.int64)
        for block in row_blocks(centres.size, self._count):
            bits = np.unpackbits(self._bits[centres[block]], axis=1, count=self._count)
            counts += bits.sum(axis=0, dtype=np.int32)
        return counts


def pure_radius(
    points: Features, centres: Int64[np.ndarray, " C"], clusters: int, purity: float, stream: Stream
) -> float:
    """The largest δ at which at least this share of the centres' balls lies within one k-means cluster.

    Args:
        points: the whole pool, N×F.
        centres: rows of ``points`` whose balls are used.
        clusters: the number of classes.
        purity: above 0, at most 1.
        stream: decides the start of k-means.

    Returns:
        A number just below the distance at which one ball too many becomes impure. If there is a single cluster,
        because all points are equal or one class is expected, the largest distance from a centre.
    """
    from sklearn.metrics.pairwise import euclidean_distances

    members = k_means(points, min(clusters, len(points)), stream)
    nearest_other = np.empty(len(centres))
    farthest = 0.0
    for block in row_blocks(len(centres), len(points)):
        distances = euclidean_distances(points[centres[block]], points)
        farthest = max(farthest, float(distances.max()))
        distances[members[centres[block], None] == members[None, :]] = np.inf
        nearest_other[block] = distances.min(axis=1)
    may_be_impure = int(np.floor((1 - purity) * len(centres) + 1e-9))
    limit = float(np.partition(nearest_other, may_be_impure)[may_be_impure])
    return limit * (1 - 1e-6) if np.isfinite(limit) else farthest


def sample_rows(ids: Ids, most: int, stream: Stream) -> Int64[np.ndarray, " n"]:
    """All rows, or ``most`` of them drawn at random by id, ascending."""
    if ids.size <= most:
        return np.arange(ids.size)
    return np.sort(np.argsort(stream.uniform(ids), kind="stable")[:most])


FEATURES = frozenset({Need.FEATURES})
CORE_SET = JointBatch("core-set", FEATURES, KCentre())
ROBUST_CORE_SET = JointBatch("robust-core-set", FEATURES, KCentre(outliers=1e-4))
PROBCOVER = JointBatch("probcover", FEATURES, ProbCover())
