"""Typical images: from the middle of clusters of similar images, so that each label stands for many images.

    typiclust           one dense image of each cluster of the features     TypiClust, Hacohen et al. 2022
    centroids           the image nearest to each centre of the representation    Gupte et al. 2024; Zhdanov 2019
    typical-clusters    the same with the clusters of pretraining
    typical-entropy     the same among the images with the highest entropy of the prediction
    typical-graph       the same among the images with the highest graph margin

The first three need no labels, so they can make the first query. The other two combine typicality with
uncertainty: the most uncertain image of a pool is often an outlier whose label teaches nothing else. A share
of the pool with the highest uncertainty is grouped into n clusters of the features, and the image nearest to
each centre is queried. While there are few labels the clusters are large and typicality counts most; later
few images are uncertain.

Features are N×F, probabilities of the clusters of pretraining N×G, class probabilities and propagated labels
N×K, representations N×C. Scores are higher = label first: typicality, the probability of the image's cluster,
the size of its cluster, or minus the distance to the centre; only those of the last two acquisitions descend along
the batch. The cost is that of one k-means.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int64

from aral.acquisition.geometry import (
    MOST_FITTED,
    Stacked,
    Vectors,
    cluster_medoids,
    clusters_of,
    filled_up,
    fitted_note,
    labelled_features,
    mean_of,
    row_blocks,
    rows_by_cluster,
    squared_distances,
    vectors_of,
)
from aral.acquisition.interface import Choice, JointBatch, Need, PoolView, Scores
from aral.acquisition.uncertainty import entropy_scores, graph_margin_scores
from aral.neighbours import find_neighbours
from aral.plural import counted
from aral.randomness import Stream

Ranked: TypeAlias = tuple[Int64[np.ndarray, " m"], Float[np.ndarray, " m"]]
"""Rows of one cluster and the score of each, the highest first."""

# typiclust and centroids


def fewest_labels_first(
    members: Int64[np.ndarray, " N"],
    labelled_members: Int64[np.ndarray, " L"],
    n: int,
    ranked: Callable[[int, Int64[np.ndarray, " m"]], Ranked],
) -> tuple[list[int], list[float]]:
    """n rows and their scores: again and again the best row left in the cluster with the fewest labels.

    A chosen row counts as a label. Among clusters with equally many labels the largest comes first.

    Args:
        members: the cluster of each unlabelled image.
        labelled_members: the cluster of each labelled image.
        n: how many.
        ranked: the rows of a cluster by their score, given the cluster and its rows.
    """
    inside = rows_by_cluster(members)
    labels = np.bincount(labelled_members, minlength=len(inside))
    turns = [
        (int(labels[cluster]), -rows.size, cluster, 0) for cluster, rows in enumerate(inside) if rows.size
    ]
    heapify(turns)
    found: dict[int, Ranked] = {}
    chosen, scores = [], []
    for _ in range(n):
        count, size, cluster, place = heappop(turns)
        if cluster not in found:
            found[cluster] = ranked(cluster, inside[cluster])
        chosen.append(int(found[cluster][0][place]))
        scores.append(float(found[cluster][1][place]))
        if place + 1 < -size:
            heappush(turns, (count + 1, size, cluster, place + 1))
    return chosen, scores


@dataclass(frozen=True)
class TypiClust:
    """k-means into as many clusters as there will be labels; then the most typical image of n clusters.

    Clusters with the fewest labels come first, among them the largest. The typicality of an image is
    1 / (mean distance to its nearest images of the same cluster); it is the score.

    Attributes:
        neighbours: how many nearest images the typicality is computed from.
        most_clusters: upper limit of the number of clusters.
        most_fitted: with more images than this, the centres are computed from so many random ones, and each image
            belongs to the nearest centre.
        most_compared: in a cluster of more images, neighbours are searched among so many random ones of them.
        recall: below 1, neighbours in such a cluster are searched among all its images instead, by an index that finds
            at least this share of them (:func:`aral.neighbours.find_neighbours`).
    """

    neighbours: int = 20
    most_clusters: int = 500
    most_fitted: int = MOST_FITTED
    most_compared: int = 5000
    recall: float = 1.0

    def __call__(self, pool: PoolView, n: int, stream: Stream) -> Choice:
        """n rows of different clusters, as long as there are enough."""
        unlabelled = vectors_of(pool.unlabelled, Need.FEATURES)
        labelled = labelled_features(pool, unlabelled.shape[1])
        clusters = min(n + len(labelled), self.most_clusters, len(unlabelled))
        points = Stacked(unlabelled, labelled)
        members, fitted = clusters_of(points, clusters, self.most_fitted, stream)
        drawn = stream.child("compared").uniform(pool.unlabelled.ids)
        count = len(unlabelled)

        recalls: list[float] = []

        def ranked(cluster: int, inside: Int64[np.ndarray, " m"]) -> Ranked:
            if inside.size > self.most_compared and self.recall < 1:
                single = torch.from_numpy(unlabelled.single(inside))
                near = find_neighbours(single, self.neighbours, self.recall, stream.child("search", cluster))
                recalls.append(near.recall)
                return _most_typical_first(inside, near.distances)
            compared = inside[np.argsort(drawn[inside])[: self.most_compared]]
            return self._by_typicality(unlabelled, inside, np.sort(compared))

        rows, scores = fewest_labels_first(members[:count], members[count:], n, ranked)
        compared = int(np.bincount(members[:count])[members[rows]].max()) > self.most_compared
        parts = [f"centres from {fitted:,} random images"] if fitted < len(members) else []
        if recalls:
            parts += [f"neighbours by an index with a recall of {min(recalls):.2f}"]
        elif compared:
            parts += [f"neighbours among {self.most_compared:,} random images"]
        note = f"; {', '.join(parts)}" if parts else ""
        return Choice.of(rows, scores, lambda score: f"typical of its cluster ({score:.2f}){note}")

    def _by_typicality(
        self, features: Vectors, rows: Int64[np.ndarray, " m"], compared: Int64[np.ndarray, " c"]
    ) -> Ranked:
        """Rows of one cluster and their typicality, highest first; neighbours are among the rows ``compared``."""
        if rows.size == 1:
            return rows, np.zeros(1)
        from sklearn.neighbors import NearestNeighbors

        count = min(self.neighbours, compared.size - 1)
        finder = NearestNeighbors(n_neighbors=count + 1).fit(features[compared])
        distances = np.concatenate(
            [
                finder.kneighbors(features[rows[block]])[0]
                for block in row_blocks(rows.size, features.shape[1])
            ]
        )
        # The first neighbour of a compared image is the image itself; the others have none to leave out.
        own = np.isin(rows, compared)[:, None]
        return _most_typical_first(rows, np.where(own, distances[:, 1:], distances[:, :-1]))


def _most_typical_first(rows: Int64[np.ndarray, " m"], distances: Float[np.ndarray, "m k"]) -> Ranked:
    """Rows by their typicality, given the distances of their neighbours."""
    typicality = 1.0 / np.maximum(distances.mean(axis=1), 1e-12)
    best = np.argsort(-typicality, kind="stable")
    return rows[best], typicality[best]


@dataclass(frozen=True)
class Centroids:
    """k-means into as many clusters as there will be labels; then the image nearest to the centre of n clusters.

    Clusters with the fewest labels come first, among them the largest. A score is minus the distance to the centre.
    Gupte et al. (2024) found this first query the best on features of large backbones; in later rounds clusters that
    hold labelled images are passed over, which is this package's rule.

    Attributes:
        most_fitted: with more images than this, the centres are computed from so many random ones, and each image
            belongs to the nearest centre.
    """

    most_fitted: int = MOST_FITTED

    def __call__(self, pool: PoolView, n: int, stream: Stream) -> Choice:
        """n rows of different clusters, as long as there are enough."""
        unlabelled = vectors_of(pool.unlabelled, Need.REPRESENTATION)
        labelled = labelled_features(pool, unlabelled.shape[1], Need.REPRESENTATION)
        points, count = Stacked(unlabelled, labelled), len(unlabelled)
        clusters = min(n + len(labelled), len(points), self.most_fitted)
        members, fitted = clusters_of(points, clusters, self.most_fitted, stream)
        ties = stream.child("ties").uniform(pool.unlabelled.ids)
        with_labelled = rows_by_cluster(members)

        def ranked(cluster: int, inside: Int64[np.ndarray, " m"]) -> Ranked:
            centre = mean_of(points, with_labelled[cluster])
            distances = np.sqrt(squared_distances(unlabelled.subset(inside), centre))
            best = np.lexsort((ties[inside], distances))
            return inside[best], -distances[best]

        rows, scores = fewest_labels_first(members[:count], members[count:], n, ranked)
        sizes = np.bincount(members)[members[rows]]
        note = fitted_note(fitted, len(points))
        reasons = tuple(
            f"near the centre of a cluster of {counted(int(size), 'image')}{note}" for size in sizes
        )
        return Choice(np.array(rows, dtype=np.int64), np.array(scores), reasons)


# typical-clusters


def typical_of_clusters(pool: PoolView, n: int, stream: Stream) -> Choice:
    """n rows, the clusters in turn, larger clusters first.

    The queries are shared out among the clusters of pretraining (:func:`quotas`). A cluster with k queries is
    cut into k parts by k-means, and the image nearest to the centre of each part is taken. Only the half of a
    cluster with the highest probabilities is used: the rest may belong to another cluster.
    """
    probabilities = pool.unlabelled.get(Need.CLUSTERS).double().numpy()
    clusters, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    features = vectors_of(pool.unlabelled, Need.FEATURES, unit=True)
    ties = stream.child("ties").uniform(pool.unlabelled.ids)
    sizes = np.bincount(clusters, minlength=probabilities.shape[1]).astype(np.int64)
    chosen = {
        cluster: _typical_of_one(
            features, confidence, ties, np.flatnonzero(clusters == cluster), quota, stream.child(cluster)
        )
        for cluster, quota in enumerate(quotas(sizes, n).tolist())
        if quota
    }
    turns = [
        (turn, -sizes[cluster], cluster) for cluster, (rows, _) in chosen.items() for turn in range(len(rows))
    ]
    rows = np.array([chosen[cluster][0][turn] for turn, _, cluster in sorted(turns)], dtype=np.int64)
    reasons = tuple(_reason(int(sizes[clusters[row]])) + chosen[int(clusters[row])][1] for row in rows)
    return Choice(rows, confidence[rows], reasons)


def quotas(sizes: Int64[np.ndarray, " G"], n: int) -> Int64[np.ndarray, " G"]:
    """How many of n queries each cluster gets: equal numbers as far as it has images, larger clusters first."""
    found = np.zeros_like(sizes)
    turns = [(0, -int(size), cluster) for cluster, size in enumerate(sizes) if size]
    heapify(turns)
    for _ in range(n):
        count, size, cluster = heappop(turns)
        found[cluster] = count + 1
        if count + 1 < -size:
            heappush(turns, (count + 1, size, cluster))
    return found


def _typical_of_one(
    features: Vectors,
    confidence: Float[np.ndarray, " N"],
    ties: Float[np.ndarray, " N"],
    members: Int64[np.ndarray, " m"],
    count: int,
    stream: Stream,
) -> tuple[list[int], str]:
    """``count`` rows of one cluster, that of the largest part first, and what reasons say of the clustering."""
    order = np.lexsort((ties[members], -confidence[members]))
    kept = members[np.sort(order[: max(count, members.size // 2)])]
    medoids, _, note = cluster_medoids(features.subset(kept), count, ties[kept], stream)
    # Duplicates make fewer parts than were asked for; other images of the cluster fill up.
    return filled_up(kept[medoids], members[order], count), note


def _reason(size: int) -> str:
    return f"typical of a cluster of {size} images" if size > 1 else "the only image of its cluster"


# typical-entropy and typical-graph


@dataclass(frozen=True)
class Candidates:
    """Which images are uncertain enough to be queried, and by which vectors they are clustered.

    Attributes:
        share: of the pool with the highest scores.
        spaces: outputs whose vectors are used, each brought to length 1, side by side.
    """

    share: float = 0.05
    spaces: tuple[Need, ...] = (Need.FEATURES,)


FEW_LABELS = Candidates(0.2, (Need.FEATURES, Need.REPRESENTATION))
"""Features learned from a few labels do not separate the classes without labels yet; the representation does."""


@dataclass(frozen=True)
class TypicalUncertain:
    """The images nearest to the centres of n clusters of uncertain images; a score is the size of the cluster.

    Attributes:
        score: uncertainty, higher = label first.
        candidates: which images are clustered.
        with_few_labels: the same while there are fewer than ``few`` labels a class; ``None``: as later.
        few: labels a class.
    """

    score: Callable[[PoolView, Stream], Scores]
    candidates: Candidates = Candidates()
    with_few_labels: Candidates | None = None
    few: int = 4

    def __call__(self, pool: PoolView, n: int, stream: Stream) -> Choice:
        """n rows, those of the largest clusters first."""
        scores = self.score(pool, stream.child("scores"))
        ties = stream.child("ties").uniform(pool.unlabelled.ids)
        candidates = self._candidates(pool)
        count = min(len(scores), max(n, round(candidates.share * len(scores))))
        order = np.lexsort((ties, -scores))[:count]
        uncertain = np.sort(order)
        vectors = vectors_of(pool.unlabelled, *candidates.spaces, unit=True).subset(uncertain)
        medoids, sizes, note = cluster_medoids(vectors, n, ties[uncertain], stream.child("clusters"))
        # Duplicates make fewer clusters than were asked for; the most uncertain of the rest fill up.
        return Choice.of(
            filled_up(uncertain[medoids], order, n),
            ([float(size) for size in sizes] + [1.0] * n)[:n],
            lambda size: f"represents {counted(round(size), 'uncertain image')}{note}",
        )

    def _candidates(self, pool: PoolView) -> Candidates:
        few = pool.labelled_classes.size < self.few * pool.class_count
        return self.with_few_labels if few and self.with_few_labels is not None else self.candidates


def typiclust(recall: float) -> JointBatch:
    """TypiClust whose neighbours in large clusters are searched with at least this recall; 1: as by its name."""
    return JointBatch("typiclust", frozenset({Need.FEATURES}), TypiClust(recall=recall))


ENTROPY_NEEDS = frozenset({Need.PROBABILITIES, Need.FEATURES})
GRAPH_NEEDS = ENTROPY_NEEDS | {Need.PROPAGATED, Need.REPRESENTATION}
TYPICLUST = typiclust(recall=1.0)
CENTROIDS = JointBatch("centroids", frozenset({Need.REPRESENTATION}), Centroids())
TYPICAL_CLUSTERS = JointBatch(
    "typical-clusters", frozenset({Need.CLUSTERS, Need.FEATURES}), typical_of_clusters
)
TYPICAL_ENTROPY = JointBatch("typical-entropy", ENTROPY_NEEDS, TypicalUncertain(entropy_scores))
TYPICAL_GRAPH = JointBatch(
    "typical-graph", GRAPH_NEEDS, TypicalUncertain(graph_margin_scores, with_few_labels=FEW_LABELS)
)
