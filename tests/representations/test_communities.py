"""Communities of a neighbour graph: chains hang together, whatever the distances say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from aral.randomness import Stream
from aral.representations.communities import communities
from aral.representations.graph import affinity_matrix
from aral.representations.neighbours import nearest_neighbours

STREAM = Stream.root(0)


def rings(members: int) -> tuple[np.ndarray, np.ndarray]:
    """Two circles around one point, listed in any order, and which circle each point is on."""
    angles = np.linspace(0, 2 * np.pi, members, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = np.concatenate([circle, 3 * circle])
    points += 0.01 * Stream.root(1).numpy().normal(size=points.shape)
    order = Stream.root(2).numpy().permutation(2 * members)
    return points[order], (order >= members).astype(np.int64)


def found(points: np.ndarray, count: int, links: int = 4, stream: Stream = STREAM) -> np.ndarray:
    graph = affinity_matrix(*nearest_neighbours(torch.from_numpy(points).float(), links))
    return communities(graph, count, stream)


def same_partition(one: np.ndarray, other: np.ndarray) -> bool:
    """Equal up to the names of the parts."""
    pairs = set(zip(one.tolist(), other.tolist(), strict=True))
    return len(pairs) == len(set(one.tolist())) == len(set(other.tolist()))


@pytest.mark.parametrize("members", [40, 150])
def test_two_rings_come_apart_where_clusters_of_points_do_not(members: int) -> None:
    """80 rows are decomposed whole, 300 by Lanczos' method."""
    points, ring = rings(members)
    assert same_partition(found(points, 2), ring)
    clusters = KMeans(2, n_init=3, random_state=0).fit_predict(points)
    assert not same_partition(clusters, ring)


def test_the_same_stream_gives_the_same_communities() -> None:
    points, _ = rings(150)
    one, other = found(points, 5), found(points, 5)
    assert (one == other).all() and set(one.tolist()) == set(range(5))


def test_a_dense_and_a_thin_cloud_count_alike() -> None:
    """Distances are measured by how far a row's own neighbours are: a cloud ten times as wide is one too."""
    normal = Stream.root(4).numpy().normal(size=(60, 2))
    points = np.concatenate([0.1 * normal[:30], normal[30:] + np.array([20.0, 0.0])])
    assert same_partition(found(points, 2, links=6), (np.arange(60) >= 30).astype(np.int64))


def test_copies_and_few_rows() -> None:
    """All distances are 0, and there are fewer rows than communities: numbers below the count, no warning."""
    copies = found(np.ones((12, 2)), 3)
    assert copies.shape == (12,) and set(copies.tolist()) <= {0, 1, 2}
    few = found(np.array([[0.0], [1.0], [5.0]]), 10)
    assert few.shape == (3,) and few.min() >= 0 and few.max() < 3
