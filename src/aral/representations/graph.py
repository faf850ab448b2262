"""The graph of nearest neighbours, and labels that spread along it."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sparse
from jaxtyping import Float32, Float64, Int64

from aral.types import NO_IDS

SMALL = 1e-12
"""Below this a distance or a degree counts as none."""

HOLD = 0.99
"""α of Zhou et al. (2004): how much of an image's label comes from its neighbours in each turn."""

TURNS = 100
"""How often labels are passed on; what a label reaches after more turns is a hundredth of what it was."""


def affinity_matrix(
    neighbours: Int64[np.ndarray, "N k"], distances: Float64[np.ndarray, "N k"]
) -> sparse.csr_matrix:
    """Symmetric weights D^−½ W D^−½ of the graph's edges, D the sums of W's rows.

    W has exp(−4 d²/(r r')), r and r' the distances of the last neighbours of an edge's two ends (Zelnik-Manor and
    Perona 2004), so dense and thin regions count alike, and an edge between them is no stronger than its thin end
    allows. An edge is there when either end has the other among its neighbours.

    Args:
        neighbours: rows of each row's nearest other rows.
        distances: how far each of them is.
    """
    rows, each = neighbours.shape
    reach = np.maximum(distances[:, -1], SMALL)
    weights = np.exp(-4.0 * distances**2 / (reach[:, None] * reach[neighbours]))
    at = (np.repeat(np.arange(rows), each), neighbours.ravel())
    one_way = sparse.csr_matrix((weights.ravel(), at), shape=(rows, rows))
    both_ways = one_way.maximum(one_way.T)
    scale = sparse.diags(1.0 / np.sqrt(np.maximum(np.asarray(both_ways.sum(axis=1)).ravel(), SMALL)))
    return (scale @ both_ways @ scale).tocsr()


def propagate_labels(
    graph: sparse.csr_matrix,
    rows: Int64[np.ndarray, " L"],
    classes: Int64[np.ndarray, " L"],
    class_count: int,
    ood: Int64[np.ndarray, " M"] = NO_IDS,
) -> Float32[np.ndarray, "N K"]:
    """Class probabilities of every row: what reaches it from the labelled ones (Zhou et al. 2004).

    F ← α S F + (1 − α) Y, begun with F = Y and repeated :data:`TURNS` times, then each row is divided by its sum.
    A class has the same weight in Y however many labels it has: queries are no fair sample, so the counts of
    labels say nothing about how common a class is. A row that nothing reaches has equal probabilities; a class
    without labels has none anywhere else. Rows of no class count as one more class, whose share is left out
    afterwards, so rows that resemble them have a sum below 1.

    Args:
        graph: :func:`affinity_matrix`.
        rows: the labelled ones, at least one.
        classes: of these rows, 0 to K − 1.
        class_count: K.
        ood: rows that are of none of the classes.
    """
    if ood.size:
        rows = np.concatenate([rows, ood])
        classes = np.concatenate([classes, np.full(ood.size, class_count)])
        return propagate_labels(graph, rows, classes, class_count + 1)[:, :class_count]
    labels = np.zeros((graph.shape[0], class_count), dtype=np.float32)
    labels[rows, classes] = 1.0 / np.bincount(classes, minlength=class_count)[classes]
    single = graph.astype(np.float32)
    found = labels
    for _ in range(TURNS):
        found = HOLD * (single @ found) + (1.0 - HOLD) * labels
    total = found.sum(axis=1, keepdims=True)
    return np.where(total > 0, found / np.maximum(total, np.finfo(np.float32).tiny), 1.0 / class_count)
