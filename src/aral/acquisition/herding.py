"""Herding: greedy maximisation of a smooth coverage of the pool by labelled images.

maxherding (Bae, Noh & Sutherland 2024, "Generalized Coverage for More Robust Low-Budget Active Learning"):

    C(L) = mean over x of max over x' in L of k(x, x'),   k(x, x') = exp(−‖x − x'‖² / σ²),

over representations x of length 1, σ = 1. Again and again the image that increases C most is added to L. C is
monotone and submodular, so n greedy steps reach at least 1 − 1/e of the best increase. ProbCover is the same with a
kernel that is 1 within a radius and 0 outside. Needs no labels.

uncertainty-herding (Bae, Oliveira & Sutherland 2025, "Uncertainty Herding: One Active Learning Method for All Label
Budgets"): each image counts by its uncertainty,

    U(L) = mean over x of u(x) · max over x' in L of k(x, x'),   u = 1 − (p₁ − p₂),

p₁ and p₂ being the two highest class probabilities; labelled images have u = 0. σ is the smallest distance between two
labelled images, as in the authors' code; copies (closer than :data:`COPY`) do not count, and with fewer than two
distinct labelled images σ = 1. With few labels σ is large and U is close to a coverage; with many it is small and U
is close to the sum of uncertainties. The authors scale the logits by a temperature that calibrates them; here the
probabilities are used as the learner gives them. Give calibrated ones: the learner ``linear`` does.

linear-herding: the same with p from logistic regression on the representations of the labelled images, with a
temperature calibrated by cross-validation, whatever the learner predicts. For learners whose probabilities are not
calibrated, and for selection without any learner. With labels of fewer than two classes all images are equally
uncertain.

The mean is over the unlabelled images: what is added for labelled ones is 0 in both. In a pool of more than
``most_compared`` images it is over so many random ones, drawn by id, which the reasons say; every image remains a
candidate. A score is the increase of C or U when the image was chosen, between 0 and 1, higher = label first; scores
descend along the batch. Gains only shrink along the batch, so an image is compared again only while its last known gain
is above the best one (lazy greedy, Minoux 1978), which changes no result. Cost N·R·F for R images compared with, and
less for each further image; memory for one block, never N×R.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64, Int64

from aral.acquisition.coverage import sample_rows
from aral.acquisition.geometry import (
    Centres,
    Features,
    Vectors,
    labelled_features,
    mean_and_spread,
    row_blocks,
    unit_length,
    vectors_of,
)
from aral.acquisition.interface import Choice, Describe, JointBatch, Need, PoolView
from aral.acquisition.lazy import LazyMaximum
from aral.acquisition.uncertainty import margin_scores
from aral.logistic import calibrated_logistic, class_probabilities
from aral.randomness import Stream
from aral.types import Ids

COPY = 1e-4
"""Vectors of length 1 that are closer than this are copies."""

EQUAL = 1e-12
"""Gains that differ by less are equal."""

SINGLE = 1e-5
"""More than the rounding error of a squared distance of vectors of length 1, and of a mean, in float32."""

Moments: TypeAlias = tuple[Float64[np.ndarray, " F"], Float64[np.ndarray, " F"]]
"""Mean and standard deviation of each of the F numbers of a representation."""


@dataclass(frozen=True)
class Herding:
    """Greedy maximisation of a coverage by a Gaussian kernel.

    Attributes:
        weighted: by the uncertainty of each image, with the kernel's width from the labelled images.
        linear: the uncertainty is that of logistic regression on the representations, not of the learner.
        most_compared: in a larger pool, coverage is the mean over so many random images.
    """

    weighted: bool = False
    linear: bool = False
    most_compared: int = 5000

    def __call__(self, pool: PoolView, n: int, stream: Stream) -> Choice:
        """n rows, each with the increase of the coverage when it was chosen."""
        candidates = vectors_of(pool.unlabelled, Need.REPRESENTATION, unit=True)
        ids = pool.unlabelled.ids
        compared = self.compared(ids, stream)
        vectors = vectors_of(pool.unlabelled, Need.REPRESENTATION)
        moments = mean_and_spread(vectors) if self.needs_moments(pool) else None
        part = PoolView(
            pool.unlabelled.rows(compared), pool.labelled, pool.labelled_classes, pool.class_count
        )
        target = self.target(part, moments, stream)
        labelled = unit_length(labelled_features(pool, candidates.shape[1], Need.REPRESENTATION))
        rows, gains = herd(candidates, labelled, target, n, stream.child("ties").uniform(ids))
        return Choice.of(rows, gains, self.reason(compared.size < ids.size))

    def needs_moments(self, pool: PoolView) -> bool:
        """Whether weights are those of a regression: ``linear``, with labels of two classes."""
        return self.linear and np.unique(pool.labelled_classes).size >= 2

    def compared(self, ids: Ids, stream: Stream) -> Int64[np.ndarray, " R"]:
        """The rows that coverage is the mean over."""
        return sample_rows(ids, self.most_compared, stream.child("compared"))

    def target(self, part: PoolView, moments: Moments | None, stream: Stream) -> Target:
        """What is to be covered.

        Args:
            part: the pool; of the unlabelled images only those that are compared with.
            moments: of the representations of all unlabelled images, where :meth:`needs_moments`.
            stream: that of the acquisition.
        """
        vectors = vectors_of(part.unlabelled, Need.REPRESENTATION)
        known = labelled_features(part, vectors.shape[1], Need.REPRESENTATION)
        width = labelled_width(unit_length(known)) if self.weighted else 1.0
        points = vectors_of(part.unlabelled, Need.REPRESENTATION, unit=True)[:]
        return Target(points, self._weights(part, known, moments, stream) / len(points), width)

    def reason(self, of_a_part: bool) -> Describe:
        """What a gain is, given whether coverage is that of a part of the pool."""
        what = "the uncertain part of the pool" if self.weighted else "the pool"
        note = f" (of {self.most_compared:,} random images)" if of_a_part else ""
        return lambda gain: f"adds {gain:.2g} to the coverage of {what}{note}"

    def _weights(
        self, pool: PoolView, known: Float64[np.ndarray, "L F"], moments: Moments | None, stream: Stream
    ) -> Float64[np.ndarray, " N"]:
        vectors = vectors_of(pool.unlabelled, Need.REPRESENTATION)
        if not self.weighted or (self.linear and moments is None):
            return np.ones(len(vectors))
        if moments is None:
            return 1 + margin_scores(pool, stream)
        # So that the penalty of the regression does not depend on the unit of the representation.
        mean, spread = moments
        scale = max(float(spread.mean()), 1e-12)
        weights, bias = calibrated_logistic((known - mean) / scale, pool.labelled_classes, pool.class_count)
        found = np.empty(len(vectors))
        for block in row_blocks(*vectors.shape):
            probabilities = class_probabilities((vectors[block] - mean) / scale, weights, bias)
            highest = np.sort(probabilities, axis=1)[:, -2:]
            found[block] = 1 - (highest[:, 1] - highest[:, 0])
        return found


@dataclass(frozen=True, eq=False)
class Target:
    """What is to be covered: images, the weight of each, and the width σ of the kernel."""

    points: Features
    weights: Float64[np.ndarray, " R"]
    width: float

    @cached_property
    def _squares(self) -> Float64[np.ndarray, " R"]:
        return (self.points**2).sum(axis=1)

    def similarities(self, others: Features) -> Float64[np.ndarray, "m R"]:
        """k of each of some images with each point."""
        squared = (others**2).sum(axis=1)[:, None] + self._squares - 2 * others @ self.points.T
        # The product leaves rounding errors where the exact distance is 0.
        squared[squared < COPY**2] = 0.0
        with np.errstate(under="ignore"):
            return np.exp(squared / -(self.width**2))

    def gains(self, others: Features, covered: Float64[np.ndarray, " R"]) -> Float64[np.ndarray, " m"]:
        """By how much each of some images would increase the coverage."""
        found = np.empty(len(others))
        for block in row_blocks(len(others), len(self.points)):
            found[block] = np.maximum(self.similarities(others[block]) - covered, 0.0) @ self.weights
        return found

    def upper_limits(self, others: Vectors, covered: Float64[np.ndarray, " R"]) -> Float64[np.ndarray, " N"]:
        """Upper limits of the gains of all images, by products in float32; at most a little above them.

        The squared distance of vectors of length 1 is wrong by at most :data:`SINGLE`, which is subtracted from it.
        """
        factor, points = -1.0 / self.width**2, self.points.astype(np.float32).T
        weights, limit = self.weights.astype(np.float32), covered.astype(np.float32)
        shift = np.float32(factor * (2.0 - SINGLE))
        found = np.empty(len(others))
        for block in row_blocks(len(others), len(self.points) // 8):
            similar = others.single(block) @ points
            similar *= np.float32(-2.0 * factor)
            similar += shift
            np.minimum(similar, 0.0, out=similar)
            with np.errstate(under="ignore"):
                np.exp(similar, out=similar)
            similar -= limit
            np.maximum(similar, 0.0, out=similar)
            found[block] = similar @ weights
        return found + SINGLE * float(self.weights.sum())


def herd(
    candidates: Vectors, labelled: Centres, target: Target, n: int, ties: Float64[np.ndarray, " N"]
) -> tuple[list[int], list[float]]:
    """n rows of the candidates by lazy greedy maximisation, and the increase of each."""
    covered = np.zeros(len(target.points))
    for block in row_blocks(len(labelled), len(target.points)):
        covered = np.maximum(covered, target.similarities(labelled[block]).max(axis=0))
    bounds = target.upper_limits(candidates, covered)
    lazy = LazyMaximum(
        bounds, lambda rows: target.gains(candidates[rows], covered), ties, EQUAL, EQUAL, block=8
    )
    rows: list[int] = []
    gains: list[float] = []
    for _ in range(n):
        row = lazy.highest()
        rows.append(row)
        gains.append(max(0.0, float(bounds[row])))
        covered = np.maximum(covered, target.similarities(candidates[np.array([row])])[0])
        bounds[row] = -np.inf
    return rows, gains


def labelled_width(labelled: Centres) -> float:
    """The smallest distance between two labelled images that are no copies; 1 where there are no two."""
    smallest = np.inf
    for block in row_blocks(len(labelled), len(labelled)):
        squared = np.maximum(2 - 2 * labelled[block] @ labelled.T, 0.0)
        smallest = min(smallest, float(squared[squared > COPY**2].min(initial=np.inf)))
    return float(np.sqrt(smallest)) if np.isfinite(smallest) else 1.0


MAXHERDING = JointBatch("maxherding", frozenset({Need.REPRESENTATION}), Herding())
UNCERTAINTY_HERDING = JointBatch(
    "uncertainty-herding", frozenset({Need.PROBABILITIES, Need.REPRESENTATION}), Herding(weighted=True)
)
LINEAR_HERDING = JointBatch(
    "linear-herding", frozenset({Need.REPRESENTATION}), Herding(weighted=True, linear=True)
)
