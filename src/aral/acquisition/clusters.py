"""k-means with its random start taken from a stream, for pools that may hold many identical images."""

from __future__ import annotations

import warnings

import numpy as np
from jaxtyping import Float, Int64
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from aral.randomness import Stream


def k_means(points: Float[np.ndarray, "N F"], clusters: int, stream: Stream) -> Int64[np.ndarray, " N"]:
    """The cluster of each point, 0..clusters−1, from one k-means++ start.

    Fewer clusters come out when fewer points are distinct; that is no fault of a pool with duplicates, so
    scikit-learn's warning of it is not passed on.
    """
    model = KMeans(clusters, n_init=1, random_state=int(stream.numpy().integers(2**31)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit_predict(points).astype(np.int64)
