"""Typical and diverse images: one dense point of each cluster (TypiClust, Hacohen et al. 2022).

Needs features and no labels, so it can make the first query. The clusters that hold the fewest labels are
served first, the largest of them before smaller ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64
from sklearn.neighbors import NearestNeighbors

from aral.acquisition.clusters import k_means
from aral.acquisition.distances import features_of, labelled_features
from aral.acquisition.interface import Need, PoolView, check_query_size
from aral.acquisition.joint import in_order_of_id
from aral.randomness import Stream
from aral.types import Selection


@dataclass(frozen=True)
class TypiClust:
    """Cluster the features into as many clusters as there will be labels, then take each one's densest image.

    Attributes:
        name: the strategy's name.
        neighbours: typicality is 1 / mean distance to this many nearest images of the same cluster.
        most_clusters: no more clusters than this, whatever the budget.
    """

    name: str = "typiclust"
    neighbours: int = 20
    most_clusters: int = 500

    @property
    def needs(self) -> frozenset[Need]:
        """Features only."""
        return frozenset({Need.FEATURES})

    def __call__(self, pool: PoolView, n: int, stream: Stream) -> Selection:
        """n images from different clusters, fewest labels first."""
        check_query_size(n, pool.unlabelled.ids.size)
        pool = in_order_of_id(pool)
        ids = pool.unlabelled.ids
        unlabelled = features_of(pool.unlabelled)
        labelled = labelled_features(pool, unlabelled.shape[1])
        clusters = min(n + len(labelled), self.most_clusters, len(unlabelled))
        members = k_means(np.concatenate([unlabelled, labelled]), clusters, stream)
        chosen, scores = self._choose(unlabelled, members[: len(unlabelled)], members[len(unlabelled) :], n)
        reasons = tuple(f"typical of its cluster ({score:.2f})" for score in scores)
        return Selection(ids[chosen], scores, self.name, reasons)

    def _choose(
        self,
        features: Float[np.ndarray, "N F"],
        members: np.ndarray,
        labelled_members: np.ndarray,
        n: int,
    ) -> tuple[Int64[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        size = np.bincount(members, minlength=int(max(members.max(), labelled_members.max(initial=0))) + 1)
        labels = np.bincount(labelled_members, minlength=size.size)
        free = size.copy()
        ranked: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        chosen, scores = [], []
        for _ in range(n):
            # Fewest labels first, then the largest; a cluster with nothing left comes last.
            cluster = min(range(size.size), key=lambda c: (free[c] == 0, labels[c], -size[c], c))
            if cluster not in ranked:
                ranked[cluster] = self._by_typicality(features, np.flatnonzero(members == cluster))
            place = size[cluster] - free[cluster]
            chosen.append(ranked[cluster][0][place])
            scores.append(ranked[cluster][1][place])
            labels[cluster] += 1
            free[cluster] -= 1
        return np.array(chosen, dtype=np.int64), np.array(scores, dtype=np.float64)

    def _by_typicality(
        self, features: Float[np.ndarray, "N F"], rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows of one cluster and their typicality, highest first."""
        if rows.size == 1:
            return rows, np.zeros(1)
        count = min(self.neighbours, rows.size - 1)
        finder = NearestNeighbors(n_neighbors=count + 1).fit(features[rows])
        distances, _ = finder.kneighbors(features[rows])
        typicality = 1.0 / np.maximum(distances[:, 1:].mean(axis=1), 1e-12)
        best = np.argsort(-typicality, kind="stable")
        return rows[best], typicality[best]


TYPICLUST = TypiClust()
