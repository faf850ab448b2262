"""Distances in blocks against the plain definition."""

from __future__ import annotations

import numpy as np
import pytest

from aral.acquisition import geometry
from aral.acquisition.geometry import (
    count_within,
    features_of,
    k_means,
    labelled_features,
    nearest_squared_distances,
    row_blocks,
    squared_distances,
)
from aral.randomness import Stream

from .pools import view_of

RANDOM = np.random.default_rng(0)
POINTS, CENTRES = RANDOM.normal(size=(50, 3)) + 100, RANDOM.normal(size=(7, 3)) + 100
ALL = np.linalg.norm(POINTS[:, None] - CENTRES[None], axis=2)


@pytest.fixture(params=[geometry.BLOCK, 10])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual size of a block, and one so small that there are many."""
    monkeypatch.setattr(geometry, "BLOCK", request.param)


@pytest.mark.usefixtures("block")
def test_squared_distances() -> None:
    np.testing.assert_allclose(squared_distances(POINTS, CENTRES[[2]]), ALL[:, 2] ** 2)
    np.testing.assert_allclose(squared_distances(POINTS[:7], CENTRES), np.diag(ALL[:7]) ** 2)
    assert squared_distances(POINTS, POINTS[[4]])[4] == 0.0


@pytest.mark.usefixtures("block")
def test_nearest() -> None:
    np.testing.assert_allclose(nearest_squared_distances(POINTS, CENTRES), ALL.min(axis=1) ** 2)
    assert np.isinf(nearest_squared_distances(POINTS, CENTRES[:0])).all()
    assert nearest_squared_distances(POINTS[:3], POINTS).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("radius", [0.5, 1.0, 2.0, 9.0])
def test_count_within(radius: float) -> None:
    assert count_within(POINTS, CENTRES, radius).tolist() == (ALL <= radius).sum(axis=1).tolist()


def test_count_within_holds_its_edge_and_copies() -> None:
    line = np.array([[0.1], [0.3], [0.5], [0.5], [1.1]])
    assert count_within(line, line, 0.2).tolist() == [2, 4, 3, 3, 1]
    assert count_within(line, line, 0.0).tolist() == [1, 1, 2, 2, 1]
    assert count_within(line, line[:0], 0.2).tolist() == [0] * 5


def test_row_blocks_cover_all_rows_once() -> None:
    found = [row for block in row_blocks(11, geometry.BLOCK // 4) for row in range(11)[block]]
    assert found == list(range(11))
    assert [len(range(11)[block]) for block in row_blocks(11, geometry.BLOCK // 4)] == [4, 4, 3]


def test_features_are_doubles_and_may_be_missing_before_any_label() -> None:
    pool = view_of([4, 2], [])
    assert features_of(pool.unlabelled).dtype == np.float64
    assert labelled_features(pool, 3).shape == (0, 3)
    assert labelled_features(view_of([4, 2], [1]), 3).shape == (1, 3)


def test_k_means_of_two_heaps_and_of_copies() -> None:
    heaps = np.array([[0.0], [0.1], [9.0], [9.1], [0.2]])
    members = k_means(heaps, 2, Stream.root(0))
    assert members[0] == members[1] == members[4] != members[2] == members[3]
    assert np.unique(k_means(np.ones((6, 2)), 3, Stream.root(0))).size == 1
