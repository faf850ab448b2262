"""Cluster-Margin: uncertain images from many clusters (Citovsky et al. 2021).

The images with the smallest margin p₁ − p₂, ten for each image of the batch, are clustered by average linkage
of their features. The batch takes one random image of each cluster in turn, the smallest cluster first, until
there are n, so that a large cluster of similar images cannot fill it.

The paper clusters the whole pool once, until clusters hold ten images on average; that takes N² memory. Ours
clusters the candidates only, into a tenth as many clusters: the rule for the size is the same, the clusters
are finer where the candidates are dense. As in the paper, the labelled images are not used.

Probabilities are N×K and features N×F; a score is −(p₁ − p₂), higher = label first; it does not descend
along the batch. Cost C²·F for C = min(N, 10·n, max(n, 5000)) candidates, memory 4·C² bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from aral.acquisition.geometry import Features, vectors_of
from aral.acquisition.interface import Choice, JointBatch, Need, PoolView
from aral.acquisition.uncertainty import margin_scores
from aral.randomness import Stream


@dataclass(frozen=True)
class ClusterMargin:
    """Cluster-Margin.

    Attributes:
        candidates_each: candidates for each image of the batch.
        cluster_size: how many candidates a cluster holds on average.
        most_candidates: upper limit of the candidates, unless the batch is larger.
    """

    candidates_each: int = 10
    cluster_size: int = 10
    most_candidates: int = 5000

    def candidate_count(self, n: int) -> int:
        """Among how many images with the smallest margin n are chosen, where there are so many."""
        return min(self.candidates_each * n, max(n, self.most_candidates))

    def __call__(self, pool: PoolView, n: int, stream: Stream) -> Choice:
        """n rows, the clusters in turn."""
        ids = pool.unlabelled.ids
        margins = margin_scores(pool, stream)
        count = min(ids.size, self.candidate_count(n))
        uncertain = np.sort(np.lexsort((stream.child("ties").uniform(ids), -margins))[:count])
        clusters = -(-count // self.cluster_size)
        members = average_linkage(vectors_of(pool.unlabelled, Need.FEATURES)[uncertain], clusters)
        order = round_robin(members, np.argsort(stream.child("order").uniform(ids[uncertain])))
        rows = uncertain[order[:n]]
        reasons = tuple(
            f"margin between the two best classes {-score:.3f}, from a cluster of its own"
            for score in margins[rows]
        )
        return Choice(rows, margins[rows], reasons)


def average_linkage(features: Features, clusters: int) -> Int64[np.ndarray, " N"]:
    """Cluster numbers, 1..clusters, of hierarchical clustering by mean distance."""
    if len(features) == 1:
        return np.ones(1, dtype=np.int64)
    from scipy.cluster.hierarchy import fcluster, linkage

    return fcluster(linkage(features, "average"), clusters, "maxclust").astype(np.int64)


def round_robin(members: Int64[np.ndarray, " N"], order: Int64[np.ndarray, " N"]) -> Int64[np.ndarray, " N"]:
    """All rows, one of each cluster at a time, small clusters first in every round.

    Args:
        members: the cluster of each row.
        order: a permutation of the rows: the order within a cluster, and among clusters of the same size.
    """
    names, cluster, sizes = np.unique(members[order], return_inverse=True, return_counts=True)
    first_place = np.array([np.flatnonzero(cluster == number)[0] for number in range(names.size)])
    turn = np.empty(order.size, dtype=np.int64)
    for number in range(names.size):
        turn[cluster == number] = np.arange(sizes[number])
    return order[np.lexsort((first_place[cluster], sizes[cluster], turn))]


CLUSTER_MARGIN = JointBatch("cluster-margin", frozenset({Need.PROBABILITIES, Need.FEATURES}), ClusterMargin())
