"""Communities of a pool: parts of its neighbour graph that hang together, found without labels or training.

Spectral clustering (Ng, Jordan and Weiss 2002) on the graph of nearest neighbours: images that are far apart
but linked by a chain of near ones fall together, which no clustering of the pixels themselves can see.
"""

from __future__ import annotations

import warnings

import numpy as np
import scipy.sparse as sparse
from jaxtyping import Float64, Int64
from scipy.sparse.linalg import ArpackNoConvergence, eigsh
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from aral.randomness import Stream
from aral.representations.graph import SMALL

_TOLERANCE = 1e-4
_SMALLEST_FOR_LANCZOS = 200


def communities(graph: sparse.csr_matrix, count: int, stream: Stream) -> Int64[np.ndarray, " N"]:
    """The community of each row, 0 to ``count`` − 1.

    Args:
        graph: :func:`aral.representations.graph.affinity_matrix`.
        count: communities wanted; fewer come out when the graph has fewer different places.
        stream: decides the start of the decomposition and of k-means.
    """
    count = min(count, graph.shape[0])
    places = _embedding(graph, count, stream)
    model = KMeans(count, n_init=3, random_state=int(stream.child("k-means").numpy().integers(2**31)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # exact copies make fewer clusters
        return model.fit_predict(places).astype(np.int64)


def _embedding(graph: sparse.csr_matrix, count: int, stream: Stream) -> Float64[np.ndarray, "N c"]:
    """The leading eigenvectors, each row brought to length one."""
    if graph.shape[0] < max(_SMALLEST_FOR_LANCZOS, 2 * count):
        vectors = np.linalg.eigh(graph.toarray())[1][:, ::-1][:, :count]
    else:
        start = stream.child("start").numpy().normal(size=graph.shape[0])
        try:
            _, vectors = eigsh(graph, k=count, which="LA", v0=start, tol=_TOLERANCE)
        except ArpackNoConvergence as some:  # those that were found are still the leading ones
            vectors = some.eigenvectors
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), SMALL)
