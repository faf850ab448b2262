"""Nearest neighbours: exact against all distances, approximate by the recall that was asked for."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aral import neighbours as module
from aral.errors import BadInput
from aral.neighbours import find_neighbours, nearest_neighbours
from aral.randomness import Stream

STREAM = Stream.root(0)


def points(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(Stream.root(seed).numpy().normal(size=(rows, columns))).float()


def all_distances(features: torch.Tensor) -> np.ndarray:
    """N×N in float64, infinity on the diagonal."""
    array = features.double().numpy()
    distances = np.linalg.norm(array[:, None] - array[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    return distances


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 40), st.integers(1, 5), st.integers(1, 12), st.integers(0, 9))
def test_the_same_as_all_distances(rows: int, columns: int, count: int, seed: int) -> None:
    features = points(rows, columns, seed)
    found, lengths = nearest_neighbours(features, count)
    expected = all_distances(features)
    assert found.shape == lengths.shape == (rows, min(count, rows - 1))
    taken = np.take_along_axis(expected, found, axis=1)
    # Two rows at nearly one distance may change places; the distances may not.
    np.testing.assert_allclose(taken, np.sort(expected, axis=1)[:, : found.shape[1]], atol=2e-3)
    np.testing.assert_allclose(lengths, taken, atol=5e-3)
    assert all(len(set(row)) == len(row) for row in found.tolist())


def test_a_line_by_hand() -> None:
    features = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    found, lengths = nearest_neighbours(features, 2)
    assert found.tolist() == [[1, 2], [0, 2], [1, 0], [2, 1]]
    np.testing.assert_allclose(lengths, [[1, 3], [1, 2], [2, 3], [4, 6]], atol=1e-5)


def test_a_row_is_not_its_own_neighbour_but_its_copies_are() -> None:
    features = torch.tensor([[5.0, 1.0], [5.0, 1.0], [9.0, 1.0], [5.0, 1.0]])
    found, lengths = nearest_neighbours(features, 3)
    assert [sorted(found[row, :2].tolist()) for row in (0, 1, 3)] == [[1, 3], [0, 3], [0, 1]]
    assert found[[0, 1, 3], 2].tolist() == [2, 2, 2] and sorted(found[2].tolist()) == [0, 1, 3]
    np.testing.assert_allclose(lengths[[0, 1, 3]], [[0, 0, 4]] * 3, atol=1e-5)


@pytest.mark.parametrize("size", [1, 4 * 23 * 2, 4 * 23 * 7, 4 * 23 * 23])
def test_blocks_change_nothing(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One row at a time, two, seven with a rest of two, and all 23 at once."""
    features = points(23, 3)
    expected = nearest_neighbours(features, 4)
    monkeypatch.setattr(module, "_CHUNK_BYTES", size)
    found = nearest_neighbours(features, 4)
    assert (found[0] == expected[0]).all()
    np.testing.assert_allclose(found[1], expected[1], atol=1e-5)


def clustered(rows: int = 3000) -> torch.Tensor:
    """Thirty clusters in sixteen dimensions."""
    numbers = np.random.default_rng(4)
    centres = 4 * numbers.normal(size=(30, 16))
    return torch.from_numpy(centres[np.arange(rows) % 30] + numbers.normal(size=(rows, 16))).float()


@pytest.mark.parametrize("recall", [0.5, 0.9, 0.99])
def test_an_index_finds_the_share_that_was_asked_for(recall: float) -> None:
    """Of all rows, not of its own sample only; rows and distances belong together."""
    features = clustered()
    found = find_neighbours(features, 10, recall, STREAM)
    true, lengths = nearest_neighbours(features, 10)
    share = np.mean([np.isin(mine, best).mean() for mine, best in zip(found.rows, true, strict=True)])
    assert share >= recall - 0.03 and found.recall >= recall
    assert abs(share - found.recall) < 0.03
    assert (found.rows != np.arange(len(features))[:, None]).all()
    between = (features[:, None] - features[torch.from_numpy(found.rows)]).norm(dim=2).double().numpy()
    np.testing.assert_allclose(found.distances, between, atol=1e-2)
    assert (np.diff(found.distances, axis=1) >= 0).all()
    assert (found.distances >= lengths - 1e-2).all()


def test_the_stream_decides_the_index() -> None:
    features = clustered()
    one, again, other = (find_neighbours(features, 5, 0.5, Stream.root(seed)) for seed in (1, 1, 2))
    assert (one.rows == again.rows).all() and one.recall == again.recall
    assert (one.rows != other.rows).any()


def test_more_copies_than_neighbours() -> None:
    """None of them is its own neighbour, and all distances are zero."""
    features = clustered(1500)
    features[:40] = features[0]
    found = find_neighbours(features, 10, 0.9, STREAM)
    assert (found.rows[:40] != np.arange(40)[:, None]).all()
    np.testing.assert_allclose(found.distances[:40], 0, atol=1e-2)


def test_cells_that_hold_too_few_are_filled_up_by_an_exact_search() -> None:
    """A hundred pairs far apart: a cell has no twelve neighbours."""
    features = clustered(1200)
    features[:200] += 1000 * torch.arange(200)[:, None] // 2
    found = find_neighbours(features, 12, 0.5, STREAM)
    assert (found.rows >= 0).all() and np.isfinite(found.distances).all()


def test_a_recall_of_one_is_the_exact_search() -> None:
    features = clustered(300)
    exact = nearest_neighbours(features, 5)
    for recall in (1.0, 0.9):  # a pool as small as the sample is searched exactly
        found = find_neighbours(features, 5, recall, STREAM)
        assert (found.rows == exact[0]).all() and (found.distances == exact[1]).all() and found.recall == 1.0


def test_without_the_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert find_neighbours(clustered(300), 5, 1.0, STREAM).recall == 1.0
    for rows in (300, 1500):  # whatever the size of the pool
        with pytest.raises(BadInput, match="FAISS") as caught:
            find_neighbours(clustered(rows), 5, 0.9, STREAM)
        assert "pip install 'aral[neighbours]'" in caught.value.hint
