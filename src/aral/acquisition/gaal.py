"""GAAL by proxy: the pool images nearest to images synthesised to be uncertain (Zhu & Bento 2017).

GAAL has people label the synthesised images themselves. Where answers exist for pool images only, each
synthesised image, the most uncertain first, takes the nearest candidate in feature space that is still free,
as Mayer & Timofte (2020) do; when there are more images to ask for than synthesised ones, they take turns.

Features N×F, features of synthesised images Q×F; the score is minus the Euclidean distance to the image it
stands for, 0 or less, higher = label first. Cost n·N·F, memory N·F.
"""

from __future__ import annotations

import numpy as np

from aral.acquisition.distances import features_of, squared_distances
from aral.acquisition.interface import Need, PoolView
from aral.acquisition.joint import Choice, JointBatch, first_of_best
from aral.randomness import Stream


def nearest_to_synthesised(pool: PoolView, n: int, stream: Stream) -> Choice:
    """n rows, the one closest to its synthesised image first."""
    features = features_of(pool.unlabelled)
    wanted = features_of(pool.unlabelled, Need.SYNTHESISED)
    ties = stream.child("ties").uniform(pool.unlabelled.ids)
    taken = np.zeros(len(features), dtype=bool)
    rows: list[int] = []
    scores: list[float] = []
    for turn in range(n):
        nearness = -np.sqrt(squared_distances(features, wanted[[turn % len(wanted)]]))
        row = first_of_best(np.where(taken, -np.inf, nearness), ties)
        taken[row] = True
        rows.append(row)
        scores.append(float(nearness[row]))
    order = np.argsort(-np.array(scores), kind="stable")
    return Choice.of(
        [rows[place] for place in order],
        [scores[place] for place in order],
        lambda score: f"stands for a synthesised uncertain image, {-score:.3g} away",
    )


GAAL = JointBatch("gaal", frozenset({Need.FEATURES, Need.SYNTHESISED}), nearest_to_synthesised)
