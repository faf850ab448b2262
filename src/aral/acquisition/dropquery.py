"""DropQuery: images whose predicted class changes when features are dropped (Gupte, Aklilu, Nirschl & Yeung-Levy 2024).

From "Revisiting Active Learning in the Era of Vision Foundation Models". In each of M passes a share of the features
that the classifier reads is set to 0 (M = 3, rate 0.75: :mod:`aral.learners.feature_dropout`). Candidates are the
images whose class differs from that of the plain prediction in more than half of the passes. They are grouped by
k-means of their representation into n clusters, and the image nearest to each centre is chosen, the largest cluster
first. With fewer candidates than n all of them are chosen, and the images with the smallest margin p₁ − p₂ after them;
the reasons say so. The authors take random images there.

Probabilities are N×K, dropped classes N×M, representations N×C. The score is the share of passes in which the class
changed, plus 1 for a candidate, minus the margin for the others: higher = label first, not descending among candidates.
The cost is that of one k-means.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from aral.acquisition.geometry import cluster_medoids, filled_up, vectors_of
from aral.acquisition.interface import Choice, JointBatch, Need, PoolView
from aral.acquisition.uncertainty import margin_scores
from aral.randomness import Stream


def changed_shares(pool: PoolView) -> Float64[np.ndarray, " N"]:
    """The share of passes in which the class of an image is not that of its plain prediction, N, in [0, 1]."""
    plain = pool.unlabelled.get(Need.PROBABILITIES).argmax(dim=1, keepdim=True)
    found = (pool.unlabelled.get(Need.DROPPED_CLASSES) != plain).double().mean(dim=1)
    return found.numpy()


def choose(pool: PoolView, n: int, stream: Stream) -> Choice:
    """n rows: medoids of the candidates, then images with a small margin."""
    changed, margins = changed_shares(pool), margin_scores(pool, stream)
    vectors = vectors_of(pool.unlabelled, Need.REPRESENTATION)
    ties = stream.child("ties").uniform(pool.unlabelled.ids)
    candidates = np.flatnonzero(changed > 0.5)
    medoids, note = candidates[:0], ""
    if candidates.size:
        clusters = min(n, candidates.size)
        found, _, note = cluster_medoids(
            vectors.subset(candidates), clusters, ties[candidates], stream.child("clusters")
        )
        medoids = candidates[found]
    # Candidates that are left over come first: where there are copies there are fewer clusters than were asked for.
    order = np.lexsort((ties, -margins, changed <= 0.5))
    rows = filled_up(medoids, order, n)
    is_candidate = changed[rows] > 0.5
    scores = np.where(is_candidate, 1 + changed[rows], margins[rows])
    passes = pool.unlabelled.get(Need.DROPPED_CLASSES).shape[1]
    reasons = tuple(
        f"class changed in {round(changed[row] * passes)} of {passes} passes without most features{note}"
        if chosen
        else f"margin between the two best classes {-margins[row]:.3f}; only {candidates.size} changed their class"
        for row, chosen in zip(rows, is_candidate, strict=True)
    )
    return Choice(np.array(rows, dtype=np.int64), scores, reasons)


DROPQUERY = JointBatch(
    "dropquery", frozenset({Need.PROBABILITIES, Need.DROPPED_CLASSES, Need.REPRESENTATION}), choose
)
