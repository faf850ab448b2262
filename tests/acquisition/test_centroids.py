"""Centroids: the image nearest to each k-means centre, clusters without labels first."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from aral.acquisition import JointBatch, PoolView, Predictions
from aral.acquisition.typicality import CENTROIDS, Centroids
from aral.randomness import Stream

STREAM = Stream.root(0)
PLACES = np.array([0.0, 100.0, 200.0])
OFFSETS = np.array([-3.0, -1.0, 0.5, 4.0])
"""Four images around each place; the mean is 0.125 beyond it, so the third is nearest to the centre."""
POINTS = (PLACES[:, None] + OFFSETS).ravel()


def pool(labelled: tuple[int, ...] = ()) -> PoolView:
    """Twelve images on a line; ids are rows."""
    known = np.array(labelled, dtype=np.int64)
    free = np.setdiff1d(np.arange(POINTS.size), known)

    def images(ids: np.ndarray) -> Predictions:
        return Predictions(ids, representation=torch.from_numpy(POINTS[ids])[:, None])

    return PoolView(images(free), images(known), np.zeros(known.size, dtype=np.int64), 2)


@pytest.mark.parametrize("seed", range(4))
def test_the_image_nearest_to_each_centre(seed: int) -> None:
    found = CENTROIDS(pool(), 3, Stream.root(seed))
    assert sorted(found.ids) == [2, 6, 10]
    assert found.scores.tolist() == pytest.approx([-0.375] * 3)
    assert all("cluster of 4 images" in reason for reason in found.reasons)


def test_clusters_with_labels_are_passed_over() -> None:
    """One label at 0 and two at 100, three clusters for one query and three labels would split them: k = 4."""
    centroids = JointBatch("test", CENTROIDS.needs, Centroids())
    found = centroids(pool((1, 5)), 1, STREAM)
    assert found.ids[0] in (8, 9, 10, 11)


def test_more_queries_than_clusters_take_the_next_nearest() -> None:
    points = torch.tensor([[0.0], [0.0], [0.0], [9.0]])
    nothing = np.empty(0, dtype=np.int64)
    view = PoolView(Predictions(np.arange(4), representation=points), Predictions(nothing), nothing, 2)
    found = CENTROIDS(view, 4, STREAM)
    assert sorted(found.ids) == [0, 1, 2, 3]
    assert 3 in found.ids[:2]  # three copies are one cluster


def test_a_large_pool_is_clustered_by_a_part_of_it_and_the_reasons_say_so() -> None:
    numbers = np.random.default_rng(3)
    group = np.repeat(np.arange(4), 500)
    points = torch.from_numpy(100.0 * np.eye(4)[group] + numbers.normal(size=(2000, 4)))
    nothing = np.empty(0, dtype=np.int64)
    view = PoolView(Predictions(np.arange(2000), representation=points), Predictions(nothing), nothing, 2)
    found = JointBatch("test", CENTROIDS.needs, Centroids(most_fitted=200))(view, 4, STREAM)
    assert sorted(group[found.ids]) == [0, 1, 2, 3]
    assert all(reason.endswith("centres from 200 random images") for reason in found.reasons)
    assert not any("random" in reason for reason in CENTROIDS(view, 4, STREAM).reasons)
