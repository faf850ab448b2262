"""ARAL combined with uncertainty and diversity: what the sampler's score alone cannot see.

The sampler says how unlike the labelled images each image is; it does not say whether the classifier
needs it, nor what the batch already holds. So images are ranked by

    r(−S)·r(H[p]),   r(v) = share of the pool whose value is at most v, between 0 and 1,

the sampler score and the entropy of the prediction, as ranks because S is a logit whose scale drifts
while it is trained. Then the batch is filled from the top, passing over near-duplicates: images that lie
within ``radius`` of one already in the batch. Passed-over images fill the last places when nothing else
is left.

The default radius is a fifth of the median distance between two random images of the pool. This
combination is this package's own; of a piece with it are Ash et al. 2020 and Citovsky et al. 2021.

Sampler logits N, probabilities N×K, features N×F; a score is the product of ranks, higher = label first,
descending but for the passed-over images at the end. Cost n·N·F, memory N·F.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.stats import rankdata

from aral.acquisition.confidence import entropy_scores
from aral.acquisition.distances import Features, features_of, squared_distances
from aral.acquisition.interface import Need, PoolView, Scores
from aral.acquisition.joint import Choice, JointBatch, first_of_best
from aral.acquisition.sampler import unlabelled_scores
from aral.randomness import Stream
from aral.types import Ids


@dataclass(frozen=True)
class WithoutNearDuplicates:
    """The best images by sampler and uncertainty, no two of them near-duplicates.

    Attributes:
        space: features or latents, where closeness is measured.
        radius: closer images are near-duplicates; ``None``: ``share`` of the typical distance.
        share: of the median distance between two random images of the pool.
        pairs: how many random pairs the median is taken of.
    """

    space: Need = Need.FEATURES
    radius: float | None = None
    share: float = 0.2
    pairs: int = 10_000

    def __call__(self, pool: PoolView, n: int, stream: Stream) -> Choice:
        """n rows, best first."""
        ids = pool.unlabelled.ids
        points = features_of(pool.unlabelled, self.space)
        radius = self.radius
        if radius is None:
            radius = self.share * typical_distance(points, ids, self.pairs, stream.child("pairs"))
        values = with_sampler(entropy_scores)(pool, stream)
        ties = stream.child("ties").uniform(ids)
        # One more than any value keeps images that are no near-duplicates ahead of all that are.
        places = values + 1.0
        rows: list[int] = []
        reasons = []
        for _ in range(n):
            row = first_of_best(places, ties)
            reasons.append("unlike the labelled images, and unsure" if places[row] >= 1 else "near-duplicate")
            rows.append(row)
            near = squared_distances(points, points[[row]]) <= radius**2
            places[near] = values[near] - 1.0
            places[rows] = -np.inf
        chosen = np.array(rows, dtype=np.int64)
        return Choice(chosen, values[chosen], tuple(reasons))


def with_sampler(doubts: Callable[[PoolView, Stream], Scores]) -> Callable[[PoolView, Stream], Scores]:
    """Product of an image's ranks by −S and by its doubt, each a share of the pool: above 0, at most 1."""

    def combined(pool: PoolView, stream: Stream) -> Scores:
        sampler, doubt = unlabelled_scores(pool, stream), doubts(pool, stream)
        return rankdata(sampler, "max") * rankdata(doubt, "max") / float(sampler.size) ** 2

    return combined


def typical_distance(points: Features, ids: Ids, pairs: int, stream: Stream) -> float:
    """The median distance between two different rows, over random pairs; 0 for a single row."""
    if len(points) < 2:
        return 0.0
    shuffled = np.argsort(stream.uniform(ids))
    count = min(pairs, len(points))
    one, other = shuffled[:count], np.roll(shuffled, -1)[:count]
    distances: Float64[np.ndarray, " P"] = np.sqrt(squared_distances(points[one], points[other]))
    return float(np.median(distances))


ARAL_DIVERSE = JointBatch(
    "aral-diverse",
    frozenset({Need.SAMPLER_LOGITS, Need.PROBABILITIES, Need.FEATURES}),
    WithoutNearDuplicates(),
)
