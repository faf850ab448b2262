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

Sampler logits N, probabilities N×K, features N×F. Cost of aral-diverse n·N·F, memory N·F.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from torch import sigmoid, tensor

from aral.acquisition.geometry import Features, features_of, squared_distances
from aral.acquisition.interface import (
    Choice,
    JointBatch,
    Need,
    PoolView,
    Scores,
    TopScores,
    argmax_with_ties,
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
        points = features_of(pool.unlabelled, self.space)
        radius = self.radius
        if radius is None:
            radius = self.share * median_distance(points, ids, self.pairs, stream.child("pairs"))
        scores = with_sampler(entropy_scores)(pool, stream)
        ties = stream.child("ties").uniform(ids)
        # Scores lie in (0, 1]: with 1 added, all images that are no near-duplicates stay ahead of those that are.
        priorities = scores + 1.0
        rows: list[int] = []
        reasons = []
        for _ in range(n):
            row = argmax_with_ties(priorities, ties)
            reasons.append(
                "looks unlabelled to the sampler and is uncertain"
                if priorities[row] >= 1
                else "near-duplicate of another image of the batch"
            )
            rows.append(row)
            near = squared_distances(points, points[[row]]) <= radius**2
            priorities[near] = scores[near] - 1.0
            priorities[rows] = -np.inf
        chosen = np.array(rows, dtype=np.int64)
        return Choice(chosen, scores[chosen], tuple(reasons))


def median_distance(points: Features, ids: Ids, pairs: int, stream: Stream) -> float:
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
