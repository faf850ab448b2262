"""Core-set: every image of the pool close to a labelled one (Sener & Savarese 2018), by greedy k-centre.

Greedy k-centre (Gonzalez 1985): again and again the image farthest from all labelled and chosen ones,

    next = argmax over u of min over centres c of ‖f_u − f_c‖.

The largest distance left is at most twice what the best n centres could reach. The labelled images are the
first centres; before any label the first centre is drawn at random.

Robust variant: Sener & Savarese let a few images stay uncovered and solve that by integer programming.
Ours is the greedy one for k-centre with outliers (after Ding, Yu & Wang 2019): at each step the z
farthest images pass for outliers and the farthest of the rest is chosen. An outlier can be chosen only
when it is not among the z farthest, which happens at most z times; after k + z choices all but z images
lie within twice the radius that the best k centres reach with z outliers. z = the ``outliers`` share of
the pool, rounded up (theirs: 10⁻⁴).

Features are N×F; a score is the distance to the nearest centre when chosen. Scores descend along the batch, but
not those of the robust variant: an image that passed for an outlier may be chosen later, with a greater
distance. Cost N·F·(n + L), memory N·F + N.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from aral.acquisition.distances import (
    features_of,
    labelled_features,
    nearest_squared_distances,
    squared_distances,
)
from aral.acquisition.interface import Need, PoolView
from aral.acquisition.joint import Choice, JointBatch, first_of_best
from aral.randomness import Stream


@dataclass(frozen=True)
class KCentre:
    """Greedy k-centre.

    Attributes:
        outliers: the share of the pool that may stay far from every centre, from 0 to below 1.
    """

    outliers: float = 0.0

    def __call__(self, pool: PoolView, n: int, stream: Stream) -> Choice:
        """n rows, each with its distance to the nearest centre at the time."""
        features = features_of(pool.unlabelled)
        ties = stream.child("ties").uniform(pool.unlabelled.ids)
        nearest = nearest_squared_distances(features, labelled_features(pool, features.shape[1]))
        rows: list[int] = []
        reached: list[float] = []
        for _ in range(n):
            row = first_of_best(self._without_outliers(nearest), ties)
            rows.append(row)
            reached.append(float(nearest[row]))
            nearest = np.minimum(nearest, squared_distances(features, features[[row]]))
            nearest[rows] = -np.inf
        first_is_random = not np.isfinite(reached[0])
        if first_is_random:
            # With no centre yet any first image will do; it is listed as high as the one that follows.
            reached[0] = reached[1] if n > 1 else max(0.0, float(nearest.max()))
        scores = np.sqrt(np.array(reached))
        reasons = [f"{score:.3g} away from all labelled and chosen images" for score in scores]
        if first_is_random:
            reasons[0] = "first centre, drawn at random"
        return Choice(np.array(rows, dtype=np.int64), scores, tuple(reasons))

    def _without_outliers(self, nearest: np.ndarray) -> np.ndarray:
        """The distances with those of the z farthest set to −∞; at least one candidate is left."""
        left = int((nearest > -np.inf).sum())
        outliers = min(ceil(self.outliers * nearest.size), left - 1)
        if outliers == 0:
            return nearest
        limit = np.partition(nearest, nearest.size - 1 - outliers)[nearest.size - 1 - outliers]
        return np.where(nearest > limit, -np.inf, nearest)


FEATURES = frozenset({Need.FEATURES})
CORE_SET = JointBatch("core-set", FEATURES, KCentre())
ROBUST_CORE_SET = JointBatch("robust-core-set", FEATURES, KCentre(outliers=1e-4))
