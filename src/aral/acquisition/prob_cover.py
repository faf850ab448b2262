"""ProbCover: as much of the pool as possible within δ of a labelled image (Yehuda, Dekel et al. 2022).

Greedy maximum coverage: again and again the image whose ball of radius δ holds the most images that no
ball of a labelled or chosen image holds yet; at least 1 − 1/e of the best coverage. When all is covered
the rest is random.

δ by the paper's rule: the pool is clustered by k-means into K clusters, which stand in for classes; a
ball is pure when all images in it are of its centre's cluster; δ is the largest radius at which at least
95 % of balls are pure. A ball turns impure at the distance to the nearest image of another cluster, so δ
is a quantile of those distances, found without a grid; they are computed from a random sample of centres
to the whole pool.

Features are N×F, as they come (the paper's are normalised; scale does not matter to the rule for δ). A
score is the number of images newly covered, higher = label first, descending. No neighbour graph is kept:
neighbours are counted in blocks, once at the start and once more when they become covered. Cost at most
2·N²·F multiplications, whatever n (about a minute for 60,000 × 250 on one core); memory N·F. Pools above
``most_images`` are thinned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from sklearn.metrics.pairwise import euclidean_distances

from aral.acquisition.clusters import k_means
from aral.acquisition.distances import (
    Centres,
    Features,
    count_within,
    features_of,
    labelled_features,
    row_blocks,
)
from aral.acquisition.interface import Need, PoolView
from aral.acquisition.joint import Choice, JointBatch, first_of_best
from aral.randomness import Stream
from aral.types import Ids


@dataclass(frozen=True)
class Coverage:
    """Greedy coverage by balls of one radius.

    Attributes:
        delta: the radius δ, in the unit of the features; ``None`` finds it by purity.
        purity: the least share of pure balls, when δ is to be found.
        centres: how many balls the purity is measured on.
        most_images: candidates beyond this number are left out, at random by id.
    """

    delta: float | None = None
    purity: float = 0.95
    centres: int = 2000
    most_images: int = 60_000

    def __call__(self, pool: PoolView, n: int, stream: Stream) -> Choice:
        """n rows, each with the number of images that its ball adds."""
        features = features_of(pool.unlabelled)
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
        choice = Choice.of(rows, counts, f"covers {{:.0f}} more images within {delta:.3g}".format)
        return Choice(kept[choice.rows], choice.scores, choice.reasons)


def cover(
    candidates: Features, labelled: Centres, delta: float, n: int, ties: Float64[np.ndarray, " N"]
) -> tuple[list[int], list[float]]:
    """Greedy maximum coverage: n rows of the candidates and how many candidates each newly covers."""
    covered = count_within(candidates, labelled, delta) > 0
    gains = count_within(candidates, candidates[~covered], delta).astype(np.float64)
    rows: list[int] = []
    counts: list[float] = []
    for _ in range(n):
        row = first_of_best(gains, ties)
        rows.append(row)
        counts.append(float(gains[row]))
        new = (count_within(candidates, candidates[[row]], delta) > 0) & ~covered
        gains -= count_within(candidates, candidates[new], delta)
        covered |= new
        gains[rows] = -np.inf
    return rows, counts


def pure_radius(
    points: Features, centres: Int64[np.ndarray, " C"], clusters: int, purity: float, stream: Stream
) -> float:
    """The largest δ at which at least this share of the centres' balls lies within one k-means cluster.

    Args:
        points: the whole pool, N×F.
        centres: rows of ``points`` whose balls are looked at.
        clusters: the number of classes.
        purity: above 0, at most 1.
        stream: the start of k-means.

    Returns:
        just below the distance at which one ball too many becomes impure; if there is a single cluster,
        because all points are equal or one class is expected, the largest distance from a centre.
    """
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


PROBCOVER = JointBatch("probcover", frozenset({Need.FEATURES}), Coverage())
