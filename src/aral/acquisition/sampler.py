"""The score of the sampler S, alone (ARAL, VAAL) and combined with uncertainty.

    aral, vaal     −S(E(x, C(x)))     Algorithm 1; VAAL, Sinha et al. 2019
    aral-diverse   r(−S)·r(H[p]), without near-duplicates
    aral-typical   r(−S)·r(H[p]), then typical images among the highest (:class:`TypicalUncertain`)
    aral-graph     r(−S)·r(graph margin), then the same

S(z) is a logit of 'labelled', so the score is −S: the images that look least like the labelled ones come
first. Scores are higher = label first. ``aral`` and ``vaal`` are one acquisition: the encoder differs, which
is conditional on the classes in ARAL and unconditional in VAAL.

S does not know whether the classifier is uncertain of an image. The combinations multiply it with the
uncertainty, as ranks r(v) = share of the pool whose value is at most v, because the scale of a logit drifts
during training. They are this package's own; Ash et al. 2020 and Citovsky et al. 2021 combine uncertainty and
diversity likewise.

Sampler logits N, probabilities N×K, features N×F. Cost of aral-diverse n²·F and what near-duplicates
add to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from torch import sigmoid, tensor

from aral.acquisition.geometry import Points, Vectors, filled_up, lowered, squared_distances, vectors_of
from aral.acquisition.interface import (
    Choice,
    JointBatch,
    Need,
    PoolView,
    Scores,
    TopScores,
    as_scores,
)
from aral.acquisition.typicality import ENTROPY_NEEDS, FEW_LABELS, GRAPH_NEEDS, TypicalUncertain
from aral.acquisition.uncertainty import entropy_scores, graph_margin_scores
from aral.randomness import Stream
from aral.types import Ids


def unlabelled_scores(pool: PoolView, stream: Stream) -> Scores:
    """−S(μ), the logit of 'unlabelled'."""
    return as_scores(-pool.unlabelled.get(Need.SAMPLER_LOGITS))


def with_sampler(
    uncertainty: Callable[[PoolView, Stream], Scores],
) -> Callable[[PoolView, Stream], Scores]:
    """r(−S)·r(uncertainty), the product of two ranks, each a share of the pool: above 0, at most 1."""

    def combined(pool: PoolView, stream: Stream) -> Scores:
        from scipy.stats import rankdata

        sampler, uncertain = unlabelled_scores(pool, stream), uncertainty(pool, stream)
        return rankdata(sampler, "max") * rankdata(uncertain, "max") / float(sampler.size) ** 2

    return combined


@dataclass(frozen=True)
class WithoutNearDuplicates:
    """The highest r(−S)·r(H[p]), passing over images closer than a radius to one that is chosen already.

    Passed-over images come last, when no others are left; the scores descend but for them.

    Attributes:
        space: features or latents, in which distances are measured.
        radius: closer images are near-duplicates; ``None``: ``share`` of the median distance.
        share: of the median distance between two random images of the pool.
        pairs: how many random pairs the median is computed from.
    """

    space: Need = Need.FEATURES
    radius: float | None = None
    share: float = 0.2
    pairs: int = 10_000

    def __call__(self, pool: PoolView, n: int, stream: Stream) -> Choice:
        """n rows, highest score first."""
        ids = pool.unlabelled.ids
        points = vectors_of(pool.unlabelled, self.space)
        radius = self.radius
        if radius is None:
            radius = self.share * median_distance(points, ids, self.pairs, stream.child("pairs"))
        scores = with_sampler(entropy_scores)(pool, stream)
        ties = stream.child("ties").uniform(ids)
        rows = self._apart(points, np.lexsort((ties, -(scores + 1.0))), radius, n)
        reasons = ["looks unlabelled to the sampler and is uncertain"] * len(rows)
        reasons += ["near-duplicate of another image of the batch"] * (n - len(rows))
        chosen = np.array(filled_up(np.array(rows), np.lexsort((ties, -(scores - 1.0))), n), dtype=np.int64)
        return Choice(chosen, scores[chosen], tuple(reasons))

    def _apart(self, points: Vectors, order: Int64[np.ndarray, " N"], radius: float, n: int) -> list[int]:
        """Up to n rows in this order, passing over those within the radius of one that is taken."""
        rows: list[int] = []
        for start in range(0, order.size, _EXAMINED):
            block = order[start : start + _EXAMINED]
            part = points[block]
            nearest = np.full(block.size, np.inf)
            if rows:
                nearest = lowered(nearest, part, points[np.array(rows)])
            for place in range(block.size):
                if nearest[place] <= radius**2:
                    continue
                rows.append(int(block[place]))
                if len(rows) == n:
                    return rows
                nearest = np.minimum(nearest, squared_distances(part, part[[place]]))
        return rows


_EXAMINED = 256
"""Images whose distances are computed at a time."""


def median_distance(points: Points, ids: Ids, pairs: int, stream: Stream) -> float:
    """The median distance between two different rows, over random pairs; 0 for a single row."""
    if len(points) < 2:
        return 0.0
    shuffled = np.argsort(stream.uniform(ids))
    count = min(pairs, len(points))
    one, other = shuffled[:count], np.roll(shuffled, -1)[:count]
    distances: Float64[np.ndarray, " P"] = np.sqrt(squared_distances(points[one], points[other]))
    return float(np.median(distances))


def _describe(score: float) -> str:
    return f"sampler: labelled with probability {float(sigmoid(tensor(-score))):.3f}"


SAMPLER = frozenset({Need.SAMPLER_LOGITS})
ARAL = TopScores("aral", SAMPLER, unlabelled_scores, _describe)
VAAL = TopScores("vaal", SAMPLER, unlabelled_scores, _describe)
ARAL_DIVERSE = JointBatch("aral-diverse", ENTROPY_NEEDS | SAMPLER, WithoutNearDuplicates())
ARAL_TYPICAL = JointBatch(
    "aral-typical", ENTROPY_NEEDS | SAMPLER, TypicalUncertain(with_sampler(entropy_scores))
)
ARAL_GRAPH = JointBatch(
    "aral-graph",
    GRAPH_NEEDS | SAMPLER,
    TypicalUncertain(with_sampler(graph_margin_scores), with_few_labels=FEW_LABELS),
)
