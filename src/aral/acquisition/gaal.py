"""GAAL: the pool images nearest to images that were generated to be uncertain (Zhu & Bento 2017).

In GAAL annotators label the synthesised images themselves. Where only pool images can be labelled, each synthesised
image, the most uncertain first, takes the nearest pool image in feature space that is not taken yet, as in Mayer &
Timofte (2020). When a query is larger than the number of synthesised images, they are used in turn.

Features N×F, features of synthesised images Q×F; the score is minus the Euclidean distance to the
synthesised image, 0 or less, higher = label first. Cost n·N·F, memory N·F.
"""

from __future__ import annotations

import numpy as np

from aral.acquisition.geometry import features_of, squared_distances
from aral.acquisition.interface import Choice, JointBatch, Need, PoolView, argmax_with_ties
from aral.randomness import Stream


def nearest_to_synthesised(pool: PoolView, n: int, stream: Stream) -> Choice:
    """n rows, the one closest to its synthesised image first."""
    features = features_of(pool.unlabelled)
    synthesised = features_of(pool.unlabelled, Need.SYNTHESISED)
    ties = stream.child("ties").uniform(pool.unlabelled.ids)
    taken = np.zeros(len(features), dtype=bool)
    rows: list[int] = []
    scores: list[float] = []
    for turn in range(n):
        nearness = -np.sqrt(squared_distances(features, synthesised[[turn % len(synthesised)]]))
        row = argmax_with_ties(np.where(taken, -np.inf, nearness), ties)
        taken[row] = True
        rows.append(row)
        scores.append(float(nearness[row]))
    order = np.argsort(-np.array(scores), kind="stable")
    return Choice.of(
        [rows[place] for place in order],
        [scores[place] for place in order],
        lambda score: f"distance to a synthesised uncertain image {-score:.3g}",
    )


GAAL = JointBatch("gaal", frozenset({Need.FEATURES, Need.SYNTHESISED}), nearest_to_synthesised)
