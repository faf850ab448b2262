"""Cluster-Margin: the round by hand, and a planted heap of alike images that may not fill the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from aral.acquisition import ACQUISITIONS, PoolView, Predictions
from aral.acquisition.cluster_margin import CLUSTER_MARGIN, ClusterMargin, average_linkage, round_robin
from aral.acquisition.interface import JointBatch
from aral.randomness import Stream

from .pools import id_array, view

STREAM = Stream.root(0)


def test_round_robin_by_hand() -> None:
    """Clusters of one, two and three: 5; 3; 0, then 4; 1, then 2."""
    members = id_array(1, 1, 1, 2, 2, 3)
    assert round_robin(members, np.arange(6)).tolist() == [5, 3, 0, 4, 1, 2]
    assert round_robin(members, np.arange(6)[::-1].copy()).tolist() == [5, 4, 2, 3, 1, 0]
    # Clusters of the same size: the one that the order names first.
    assert round_robin(id_array(1, 2), id_array(1, 0)).tolist() == [1, 0]


def test_average_linkage_of_three_heaps() -> None:
    features = np.array([[0.0], [0.2], [5.0], [5.1], [9.0]])
    members = average_linkage(features, 3)
    assert members[0] == members[1] and members[2] == members[3] and np.unique(members).size == 3
    assert average_linkage(features[:1], 1).tolist() == [1]


def heap_and_few() -> PoolView:
    """Ids 0–19 are one heap with the smallest margins, 20–22 lie elsewhere, 30–59 are sure."""
    ids = np.concatenate([np.arange(23), np.arange(30, 60)])
    margin = np.where(ids < 20, 0.001 * ids, np.where(ids < 23, 0.1, 0.9))
    features = np.where(ids < 20, 0.01 * ids, 50.0 + ids)
    p = torch.from_numpy(np.stack([(1 + margin) / 2, (1 - margin) / 2], axis=1)).float()
    return view(Predictions(ids, probabilities=p, features=torch.from_numpy(features).float()[:, None]))


def test_a_heap_of_alike_images_cannot_fill_the_batch() -> None:
    """Twenty-three candidates in clusters of ten: the heap, and the few apart, the smaller first."""
    strategy = JointBatch("narrow", CLUSTER_MARGIN.needs, ClusterMargin(most_candidates=23))
    assert set(ACQUISITIONS["margin"](heap_and_few(), 4, STREAM).ids.tolist()) == {0, 1, 2, 3}
    found = strategy(heap_and_few(), 4, STREAM)
    assert found.ids[0] in (20, 21, 22) and found.ids.max() < 30
    assert (found.ids < 20).sum() >= 1 and (found.ids >= 20).sum() >= 2


def test_scores_are_negative_margins_of_the_chosen() -> None:
    found = ACQUISITIONS["cluster-margin"](heap_and_few(), 53, STREAM)
    assert np.unique(found.ids).size == 53
    expected = np.where(found.ids < 20, 0.001 * found.ids, np.where(found.ids < 23, 0.1, 0.9))
    assert (-found.scores).tolist() == pytest.approx(expected.tolist(), abs=1e-6)


def test_only_the_least_sure_are_candidates() -> None:
    strategy = JointBatch("tight", CLUSTER_MARGIN.needs, ClusterMargin(candidates_each=1))
    assert sorted(strategy(heap_and_few(), 3, STREAM).ids.tolist()) == [0, 1, 2]
