"""DropQuery: which images are candidates, one of each cluster of them, and what fills up."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from aral.acquisition import PoolView, Predictions
from aral.acquisition.dropquery import DROPQUERY, changed_shares
from aral.randomness import Stream

STREAM = Stream.root(0)


def pool(dropped: list[list[int]], probabilities: list[list[float]], places: list[float]) -> PoolView:
    nothing = np.empty(0, dtype=np.int64)
    found = Predictions(
        np.arange(len(dropped)),
        probabilities=torch.tensor(probabilities),
        dropped_classes=torch.tensor(dropped),
        representation=torch.tensor(places)[:, None],
    )
    return PoolView(found, Predictions(nothing), nothing, 2)


SURE = [0.9, 0.1]
CHANGED, ONCE, NEVER = [1, 1, 0], [0, 1, 0], [0, 0, 0]
VIEW = pool(
    [CHANGED, CHANGED, CHANGED, CHANGED, ONCE, NEVER, NEVER],
    [SURE, SURE, SURE, SURE, [0.51, 0.49], [0.6, 0.4], [0.8, 0.2]],
    [0.0, 1.0, 2.0, 100.0, 50.0, 60.0, 70.0],
)


def test_shares_of_changed_classes() -> None:
    assert changed_shares(VIEW).tolist() == pytest.approx([2 / 3] * 4 + [1 / 3, 0, 0])


@pytest.mark.parametrize("seed", range(3))
def test_the_middle_of_each_cluster_of_candidates(seed: int) -> None:
    """Images 0, 1, 2 are one cluster and 3 another; one pass of three is no reason, whatever the margin."""
    found = DROPQUERY(VIEW, 2, Stream.root(seed))
    assert found.ids.tolist() == [1, 3]
    assert found.scores.tolist() == pytest.approx([5 / 3, 5 / 3])
    assert all("changed in 2 of 3 passes" in reason for reason in found.reasons)


def test_the_smallest_margins_fill_up_and_the_reasons_say_so() -> None:
    found = DROPQUERY(VIEW, 6, STREAM)
    assert sorted(found.ids[:4]) == [0, 1, 2, 3]
    assert found.ids[4:].tolist() == [4, 5]
    assert found.scores[4:].tolist() == pytest.approx([-0.02, -0.2], abs=1e-6)
    assert all("only 4 changed" in reason for reason in found.reasons[4:])
    assert not any("only" in reason for reason in found.reasons[:4])


def test_without_candidates_it_is_the_margin() -> None:
    view = pool([NEVER] * 3, [[0.8, 0.2], [0.55, 0.45], [0.7, 0.3]], [0.0, 1.0, 2.0])
    assert DROPQUERY(view, 3, STREAM).ids.tolist() == [1, 2, 0]


def test_copies_make_fewer_clusters_and_other_candidates_come_before_margins() -> None:
    view = pool([CHANGED] * 3 + [NEVER], [SURE] * 3 + [[0.5, 0.5]], [1.0, 1.0, 1.0, 5.0])
    assert sorted(DROPQUERY(view, 3, STREAM).ids) == [0, 1, 2]
