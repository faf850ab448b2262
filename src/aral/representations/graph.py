"""The neighbour graph of a pool: nearest neighbours, label propagation along it, and clusters of it.

Which images are probably of one class, before any label is known: those whose vectors are near each other, directly
or through a chain of neighbours. No network is trained.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
import scipy.sparse as sparse
import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

from aral.data.augmentation import occurrences
from aral.data.batches import gather
from aral.margins import margin_of
from aral.neighbours import Neighbours, find_neighbours
from aral.randomness import Stream
from aral.representations.components import half_whitened, leading_components, principal_components
from aral.representations.gradients import gradient_features
from aral.types import NO_IDS, Ids, ImageSet, LabelledSet, UnlabelledBatch

Representation = Literal["gradients", "pixels"]
"""What is compared: oriented gradients (:mod:`aral.representations.gradients`) or pixels; of features, themselves."""

SMALL = 1e-12
"""Smaller distances and degrees are raised to this."""

ALPHA = 0.99
"""α of Zhou et al. (2004): the share of a row that comes from its neighbours in each iteration."""

ITERATIONS = 100
"""Iterations of label propagation; what takes more has lost all but a hundredth of its weight."""

_EIGENVECTOR_TOLERANCE = 1e-4
_SMALLEST_FOR_LANCZOS = 200


class NeighbourGraph:
    """The images of a pool and the nearest neighbours of each, computed when they are first needed.

    Args:
        pool: the images; a single image is its own neighbour.
        representation: what is compared, oriented gradients or pixels; features are compared as they are.
        components: distances are measured between this many principal components of it, half whitened.
        neighbours: how many neighbours :meth:`neighbour_batch` draws from; 0: an image stands for itself.
        symmetric: the range of its batches, [-1, 1] or [0, 1].
        stream: decides the randomised decompositions and k-means.
        links: how many neighbours an image is linked to for clustering and label propagation.
        recall: 1: neighbours are searched exactly; below 1 approximately, so many of them being found
            (:func:`aral.neighbours.find_neighbours`).
    """

    def __init__(
        self,
        pool: ImageSet,
        representation: Representation,
        components: int,
        neighbours: int,
        symmetric: bool,
        stream: Stream,
        links: int = 10,
        recall: float = 1.0,
    ) -> None:
        self._pool = pool
        self._representation: Representation = representation
        self._components = components
        self._neighbours = neighbours
        self._symmetric = symmetric
        self._stream = stream
        self._links = links
        self._recall = recall
        self._cluster = lru_cache(maxsize=1)(self._cluster_uncached)
        self._propagate = lru_cache(maxsize=1)(self._propagate_uncached)

    def vectors(self, ids: Ids) -> Float[Tensor, "n c"]:
        """The vectors between which distances are measured, of some images of the pool, in the order of ``ids``."""
        return self._vectors[self._rows(ids)]

    @cached_property
    def neighbour_ids(self) -> Int64[np.ndarray, "N k"]:
        """Ids of the neighbours of each image of the pool, in order of id, the nearest first."""
        return self._pool.ids[self._nearest.rows[:, : self._neighbours]]

    @property
    def recall(self) -> float:
        """The share of the true neighbours that were found; 1 of an exact search."""
        return self._nearest.recall

    def neighbour_batch(self, ids: Ids, stream: Stream) -> UnlabelledBatch:
        """For each image one of its neighbours, all with equal probability.

        Args:
            ids: images of the pool; one that occurs twice may be given two neighbours.
            stream: decides which.
        """
        chosen = ids
        if self._neighbours:
            keys = ids + (occurrences(ids) << 40)
            columns = (stream.uniform(keys) * self.neighbour_ids.shape[1]).astype(np.int64)
            chosen = self.neighbour_ids[self._rows(ids), columns]
        return UnlabelledBatch(chosen, gather(self._pool, chosen, self._symmetric))

    def clusters(self, ids: Ids, count: int) -> Int64[np.ndarray, " n"]:
        """The cluster of each image, by :func:`spectral_clusters` of the whole pool into ``count``."""
        return self._cluster(count)[self._rows(ids)]

    def propagate(self, labelled: LabelledSet, ood: Ids = NO_IDS) -> PropagatedLabels:
        """The labels of some images propagated to the whole pool: :func:`propagate_labels`.

        Args:
            labelled: images of the pool and their classes.
            ood: ids of images of the pool that are out of distribution, of none of the classes.
        """
        rows, others = (self._rows(ids) for ids in (labelled.images.ids, ood))
        classes = labelled.classes.astype(np.int64)
        return self._propagate(rows.tobytes(), classes.tobytes(), labelled.class_count, others.tobytes())

    def _rows(self, ids: Ids) -> Int64[np.ndarray, " n"]:
        return np.searchsorted(self._pool.ids, ids)

    @cached_property
    def _vectors(self) -> Float[Tensor, "N c"]:
        if self._pool.is_features or self._representation == "pixels":
            found = principal_components(self._pool, self._components, self._stream)
        else:
            found = leading_components(gradient_features(self._pool), self._components, self._stream)
        return half_whitened(found)

    @cached_property
    def _nearest(self) -> Neighbours:
        if len(self._pool) == 1:
            return Neighbours(np.zeros((1, 1), dtype=np.int64), np.zeros((1, 1)), 1.0)
        count = max(self._neighbours, self._links)
        return find_neighbours(self._vectors, count, self._recall, self._stream.child("search"))

    @cached_property
    def _affinity(self) -> sparse.csr_matrix:
        nearest = self._nearest
        return affinity_matrix(nearest.rows[:, : self._links], nearest.distances[:, : self._links])

    def _cluster_uncached(self, count: int) -> Int64[np.ndarray, " N"]:
        return spectral_clusters(self._affinity, count, self._stream.child("communities"))

    def _propagate_uncached(
        self, rows: bytes, classes: bytes, class_count: int, ood: bytes
    ) -> PropagatedLabels:
        # Bytes can be keys of the cache: training and query ask for the labels of one round.
        labelled, classes_of, others = (np.frombuffer(each, np.int64) for each in (rows, classes, ood))
        found = propagate_labels(self._affinity, labelled, classes_of, class_count, others)
        return PropagatedLabels(self._pool.ids, found)


@dataclass(frozen=True)
class PropagatedLabels:
    """Class probabilities of the images of a pool, from the labels of a few of them.

    Attributes:
        ids: of the pool, ascending.
        class_probs: rows in the same order; one minus the sum of a row is the probability that the image is out of
            distribution.
    """

    ids: Ids
    class_probs: Float32[np.ndarray, "N K"]

    def __call__(self, ids: Ids) -> Float[Tensor, "n K"]:
        """The rows of some images, in the order of ``ids``."""
        return torch.from_numpy(self.class_probs[np.searchsorted(self.ids, ids)])

    @cached_property
    def _margins(self) -> Float[Tensor, " N"]:
        return margin_of(torch.from_numpy(self.class_probs))

    def share_confident(self, margin: float) -> float:
        """The share of the pool whose :func:`aral.margins.margin_of` is at least ``margin``."""
        return float((self._margins >= margin).double().mean())


def affinity_matrix(
    neighbours: Int64[np.ndarray, "N k"], distances: Float64[np.ndarray, "N k"]
) -> sparse.csr_matrix:
    """S = D^−½ W D^−½, the normalised symmetric weights of the graph's edges; D holds the sums of W's rows.

    W has exp(−4 d²/(r r')), where r and r' are the distances of the last neighbours of the two ends of an
    edge (Zelnik-Manor and Perona 2004), so dense and sparse regions count alike. There is an edge when either
    end has the other among its neighbours.

    Args:
        neighbours: rows of each row's nearest other rows.
        distances: to each of them.
    """
    rows, each = neighbours.shape
    reach = np.maximum(distances[:, -1], SMALL)
    weights = np.exp(-4.0 * distances**2 / (reach[:, None] * reach[neighbours]))
    at = (np.repeat(np.arange(rows), each), neighbours.ravel())
    directed = sparse.csr_matrix((weights.ravel(), at), shape=(rows, rows))
    symmetric = directed.maximum(directed.T)
    scale = sparse.diags(1.0 / np.sqrt(np.maximum(np.asarray(symmetric.sum(axis=1)).ravel(), SMALL)))
    return (scale @ symmetric @ scale).tocsr()


def propagate_labels(
    affinity: sparse.csr_matrix,
    rows: Int64[np.ndarray, " L"],
    classes: Int64[np.ndarray, " L"],
    class_count: int,
    ood: Int64[np.ndarray, " M"] = NO_IDS,
) -> Float32[np.ndarray, "N K"]:
    """Class probabilities of every row by label propagation (Zhou et al. 2004, 'local and global consistency').

    F ← α S F + (1 − α) Y, from F = Y, :data:`ITERATIONS` times; then each row is divided by its sum. In Y the
    labels of a class share the weight 1: queries are not a random sample, so the number of labels of a class
    does not tell how frequent it is. A row without a path to a label has equal probabilities; a class without
    labels has 0 everywhere else. Rows that are out of distribution are one more class, whose column is
    dropped afterwards, so the rows near them have a sum below 1.

    Args:
        affinity: S, from :func:`affinity_matrix`.
        rows: the labelled ones, at least one.
        classes: of these rows, 0 to K − 1.
        class_count: K.
        ood: rows that are of none of the classes.
    """
    if ood.size:
        rows = np.concatenate([rows, ood])
        classes = np.concatenate([classes, np.full(ood.size, class_count)])
        return propagate_labels(affinity, rows, classes, class_count + 1)[:, :class_count]
    labels = np.zeros((affinity.shape[0], class_count), dtype=np.float32)
    labels[rows, classes] = 1.0 / np.bincount(classes, minlength=class_count)[classes]
    single = affinity.astype(np.float32)
    found = labels
    for _ in range(ITERATIONS):
        found = ALPHA * (single @ found) + (1.0 - ALPHA) * labels
    total = found.sum(axis=1, keepdims=True)
    return np.where(total > 0, found / np.maximum(total, np.finfo(np.float32).tiny), 1.0 / class_count)


def spectral_clusters(affinity: sparse.csr_matrix, count: int, stream: Stream) -> Int64[np.ndarray, " N"]:
    """The cluster of each row, 0 to ``count`` − 1, by spectral clustering (Ng, Jordan and Weiss 2002).

    Images that are far apart but linked by a chain of neighbours fall into one cluster, which no clustering of the
    vectors themselves achieves.

    Args:
        affinity: S, from :func:`affinity_matrix`.
        count: how many; there are fewer when the graph has fewer distinct rows.
        stream: decides the start of the decomposition and of k-means.
    """
    count = min(count, affinity.shape[0])
    embedding = _spectral_embedding(affinity, count, stream)
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    model = KMeans(count, n_init=3, random_state=int(stream.child("k-means").numpy().integers(2**31)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # exact duplicates make fewer clusters
        return model.fit_predict(embedding).astype(np.int64)


def _spectral_embedding(
    affinity: sparse.csr_matrix, count: int, stream: Stream
) -> Float64[np.ndarray, "N c"]:
    """The leading eigenvectors of S, each row divided by its length."""
    if affinity.shape[0] < max(_SMALLEST_FOR_LANCZOS, 2 * count):
        vectors = np.linalg.eigh(affinity.toarray())[1][:, ::-1][:, :count]
    else:
        start = stream.child("start").numpy().normal(size=affinity.shape[0])
        from scipy.sparse.linalg import ArpackNoConvergence, eigsh

        try:
            _, vectors = eigsh(affinity, k=count, which="LA", v0=start, tol=_EIGENVECTOR_TOLERANCE)
        except ArpackNoConvergence as partial:  # those that converged are still the leading ones
            vectors = partial.eigenvectors
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), SMALL)
