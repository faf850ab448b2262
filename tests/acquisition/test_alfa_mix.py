"""ALFA-Mix: at which magnitude there are enough candidates, one of each cluster of them, and what fills up."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from aral.acquisition import PoolView, Predictions
from aral.acquisition.alfa_mix import ALFA_MIX
from aral.randomness import Stream


def pool(changes: list[list[int]], directions: list[float], lengths: float = 1.0) -> PoolView:
    """Features are vectors of this length in these directions, in degrees."""
    nothing = np.empty(0, dtype=np.int64)
    angles = torch.deg2rad(torch.tensor(directions))
    found = Predictions(
        np.arange(len(changes)),
        mixing_changes=torch.tensor(changes),
        features=lengths * torch.stack([angles.cos(), angles.sin()], dim=1),
    )
    return PoolView(found, Predictions(nothing), nothing, 4)


AT_ONCE, LATER, LAST, NEVER = [1, 2, 2], [0, 1, 1], [0, 0, 3], [0, 0, 0]
VIEW = pool(
    [AT_ONCE, AT_ONCE, AT_ONCE, LATER, LAST, NEVER, NEVER],
    [0.0, 10.0, 20.0, 120.0, 180.0, 240.0, 300.0],
)


@pytest.mark.parametrize("seed", range(3))
def test_the_smallest_magnitude_with_more_candidates_than_are_queried(seed: int) -> None:
    """For two, the three candidates of the first magnitude are enough; for three, image 3 is needed too."""
    two = ALFA_MIX(VIEW, 2, Stream.root(seed))
    assert set(two.ids.tolist()) < {0, 1, 2}
    three = ALFA_MIX(VIEW, 3, Stream.root(seed))
    assert 3 in three.ids and set(three.ids.tolist()) < {0, 1, 2, 3}


@pytest.mark.parametrize("seed", range(3))
def test_the_middle_of_each_cluster_of_candidates(seed: int) -> None:
    """In directions: the candidates at 0, 10 and 20 degrees are one cluster of three, whatever their lengths."""
    found = ALFA_MIX(pool([[1], [3], [1], [1], [0]], [0.0, 10.0, 20.0, 170.0, 90.0]), 2, Stream.root(seed))
    assert found.ids.tolist() == [1, 3]
    assert found.scores.tolist() == [3, 1]
    assert "3 of the labelled classes" in found.reasons[0]
    lengths = torch.tensor([[1.0], [50.0], [9.0], [1.0], [1.0]])
    view = pool([[1], [3], [1], [1], [0]], [0.0, 10.0, 20.0, 170.0, 90.0], lengths)
    assert ALFA_MIX(view, 2, Stream.root(seed)).ids.tolist() == [1, 3]


def test_random_images_fill_up_and_the_reasons_say_so() -> None:
    firsts = set()
    for seed in range(12):
        found = ALFA_MIX(VIEW, 6, Stream.root(seed))
        assert sorted(found.ids[:5]) == [0, 1, 2, 3, 4]
        assert found.scores[5] == 0 and "at random: only 5" in found.reasons[5]
        assert not any("random" in reason for reason in found.reasons[:5])
        firsts.add(int(found.ids[5]))
    assert firsts == {5, 6}


def test_a_score_is_the_mean_count_of_classes_over_the_magnitudes() -> None:
    found = ALFA_MIX(VIEW, 6, Stream.root(0))
    scores = dict(zip(found.ids.tolist(), found.scores.tolist(), strict=True))
    assert [scores[image] for image in range(5)] == pytest.approx([5 / 3, 5 / 3, 5 / 3, 2 / 3, 1])


def test_a_class_that_changes_back_at_a_larger_magnitude_still_counts() -> None:
    view = pool([[1, 0, 0], [0, 0, 0], [0, 0, 1]], [0.0, 90.0, 180.0])
    assert set(ALFA_MIX(view, 2, Stream.root(0)).ids.tolist()) == {0, 2}


def test_copies_make_fewer_clusters_and_other_candidates_come_before_random_images() -> None:
    view = pool([[1], [1], [1], [0]], [30.0, 30.0, 30.0, 200.0])
    assert sorted(ALFA_MIX(view, 3, Stream.root(0)).ids) == [0, 1, 2]
