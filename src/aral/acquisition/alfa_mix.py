"""ALFA-Mix: images whose predicted class changes when their features are mixed with those of labelled images.

From Parvaneh, Abbasnejad, Teney, Haffari, van den Hengel & Shi 2022, "Active Learning by Feature Mixing". The
features of an image, the classifier's last hidden layer, are mixed with the mean features of each labelled class,
feature by feature, in the proportions that increase the classifier's loss most (:mod:`aral.learners.feature_mixing`).
Candidates are the images whose class changes for at least one class's mean. The magnitude of mixing is the smallest
of five, 0.2/√F to 1/√F, with more than n candidates; 1/√F if there is none. The candidates' features, divided by
their length, are grouped by k-means into n clusters, and the image nearest to each centre is chosen, the largest
cluster first. Where this gives fewer than n images, other candidates and then other images of the pool are drawn at
random, and the reasons say so.

Mixing changes are N×E counts, features N×F. The score is the number of classes whose mean changes the prediction,
averaged over the E magnitudes: higher = label first, not descending among candidates; 0 for images that are no
candidate at any magnitude. The cost is that of one k-means.
"""

from __future__ import annotations

import numpy as np

from aral.acquisition.geometry import cluster_medoids, filled_up, vectors_of
from aral.acquisition.interface import Choice, JointBatch, Need, PoolView
from aral.randomness import Stream


def choose(pool: PoolView, n: int, stream: Stream) -> Choice:
    """n rows: medoids of the candidates, then random images."""
    changes = pool.unlabelled.get(Need.MIXING_CHANGES).numpy()
    vectors = vectors_of(pool.unlabelled, Need.FEATURES, unit=True)
    ties = stream.child("ties").uniform(pool.unlabelled.ids)
    changed = np.logical_or.accumulate(changes > 0, axis=1)  # once a candidate, always a candidate
    enough = np.flatnonzero(changed.sum(axis=0) > n)
    level = int(enough[0]) if enough.size else changes.shape[1] - 1
    candidates = np.flatnonzero(changed[:, level])
    medoids, note = candidates[:0], ""
    if candidates.size:
        clusters = min(n, candidates.size)
        found, _, note = cluster_medoids(
            vectors.subset(candidates), clusters, ties[candidates], stream.child("clusters")
        )
        medoids = candidates[found]
    # Candidates that are left over come first: where there are copies there are fewer clusters than were asked for.
    order = np.lexsort((ties, ~changed[:, level]))
    rows = filled_up(medoids, order, n)
    reasons = tuple(
        f"class changed when its features were mixed with those of {counts.max()} of the labelled classes{note}"
        if counts.any()
        else f"drawn at random: only {candidates.size} changed their class when their features were mixed"
        for counts in changes[rows, : level + 1]
    )
    return Choice(np.array(rows, dtype=np.int64), changes[rows].mean(axis=1), reasons)


ALFA_MIX = JointBatch("alfa-mix", frozenset({Need.MIXING_CHANGES, Need.FEATURES}), choose)
