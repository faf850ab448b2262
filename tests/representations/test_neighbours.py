"""Nearest neighbours against all distances written out, copies, blocks, and the batches made of neighbours."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aral.randomness import Stream
from aral.representations import neighbours
from aral.representations.neighbours import NeighbourGraph, nearest_neighbours
from aral.types import ImageSet, LabelledSet

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
    monkeypatch.setattr(neighbours, "_CHUNK_BYTES", size)
    found = nearest_neighbours(features, 4)
    assert (found[0] == expected[0]).all()
    np.testing.assert_allclose(found[1], expected[1], atol=1e-5)


def shaded(values: list[int]) -> ImageSet:
    """Plain images, each of one grey value: the nearest are those of the nearest value."""
    grey = torch.tensor(values, dtype=torch.uint8)
    return ImageSet.of(grey[:, None, None, None].expand(-1, 1, 3, 3).contiguous())


POOL = shaded([0, 200, 10, 220, 25, 250])
# By value: images 0, 2, 4 are 0, 10, 25 and images 1, 3, 5 are 200, 220, 250.


def neighbour_graph(pool: ImageSet = POOL, count: int = 2, symmetric: bool = False) -> NeighbourGraph:
    return NeighbourGraph(pool, "pixels", 5, count, symmetric, STREAM)


def test_the_table_holds_ids_the_nearest_first() -> None:
    assert neighbour_graph().table.tolist() == [[2, 4], [3, 5], [0, 4], [1, 5], [2, 0], [3, 1]]


def test_the_table_of_a_part_of_a_pool_speaks_of_its_ids() -> None:
    part = POOL.subset(np.array([5, 4, 1, 0], dtype=np.int64))
    assert neighbour_graph(part, 1).table.tolist() == [[4], [5], [0], [1]]


def test_a_small_pool_has_fewer_neighbours() -> None:
    assert neighbour_graph(POOL.subset(np.array([0, 3], dtype=np.int64)), 5).table.tolist() == [[3], [0]]


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_batch_is_of_neighbours_with_their_own_pixels(symmetric: bool) -> None:
    known = neighbour_graph(symmetric=symmetric)
    ids = np.array([5, 0, 3, 0, 0, 4], dtype=np.int64)
    batch = known(ids, STREAM.child("draw"))
    table = known.table
    assert all(chosen in table[image] for image, chosen in zip(ids, batch.ids, strict=True))
    unit = POOL.pixels[torch.from_numpy(batch.ids)].float() / 255
    torch.testing.assert_close(batch.images, 2 * unit - 1 if symmetric else unit)


def test_the_neighbour_of_an_image_does_not_depend_on_the_rest_of_the_batch() -> None:
    known, stream = neighbour_graph(), STREAM.child("draw")
    whole = known(POOL.ids, stream)
    for image in POOL.ids:
        assert known(np.array([image]), stream).ids[0] == whole.ids[image]
    assert (known(POOL.ids[::-1].copy(), stream).ids == whole.ids[::-1]).all()
    again = neighbour_graph()(POOL.ids, stream)
    assert (again.ids == whole.ids).all()


def test_every_neighbour_has_its_turn() -> None:
    """400 copies of an id are 400 draws from its two neighbours: 200 ± 4.7 standard deviations."""
    drawn = neighbour_graph()(np.zeros(400, dtype=np.int64), STREAM.child("draw")).ids
    assert set(drawn.tolist()) == {2, 4} and 153 < (drawn == 2).sum() < 247


def test_communities_are_of_images_and_sought_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dark and light images, whatever the ids are called; half as many links as there are images of each."""
    values = [*range(0, 40, 4), *range(200, 240, 4)]
    order = Stream.root(3).numpy().permutation(len(values))
    pool = shaded([values[place] for place in order])
    known = NeighbourGraph(pool, "pixels", 5, 2, False, STREAM, links=3)
    calls = []
    sought = neighbours.communities
    monkeypatch.setattr(neighbours, "communities", lambda *given: calls.append(1) or sought(*given))
    ids = np.array([7, 0, 7, 13, 2], dtype=np.int64)
    found = known.communities(pool.ids, 2)
    assert (known.communities(ids, 2) == found[ids]).all() and len(calls) == 1
    light = order >= 10
    assert len(set(found[light])) == len(set(found[~light])) == 1 and found[light][0] != found[~light][0]


@pytest.mark.parametrize("seen_as", ["gradients", "pixels"])
def test_an_image_that_is_alone_is_its_own_neighbour(seen_as: neighbours.SeenAs) -> None:
    pool = ImageSet(torch.arange(3 * 64, dtype=torch.uint8).reshape(3, 1, 8, 8), np.array([2]))
    found = NeighbourGraph(pool, seen_as, 50, 5, False, STREAM)
    assert found.table.tolist() == [[2]]
    assert found(np.array([2, 2]), STREAM).ids.tolist() == [2, 2]
    assert found.communities(np.array([2]), 4).tolist() == [0]


def test_labels_spread_to_the_images_that_are_asked_for() -> None:
    """One dark and one light image are named; half as many links as there are images of each."""
    pool = shaded([*range(0, 40, 4), *range(200, 240, 4)])
    known = NeighbourGraph(pool, "pixels", 5, 2, False, STREAM, links=3)
    ids = np.array([2, 15], dtype=np.int64)
    spread = known.spread(LabelledSet(pool.subset(ids), np.array([1, 0]), 3))
    asked = np.array([19, 0, 11, 9], dtype=np.int64)
    assert spread(asked).argmax(dim=1).tolist() == [0, 1, 0, 1]
    assert (spread(asked)[:, 2] == 0).all() and spread.class_probs.shape == (20, 3)


def test_edges_find_the_image_that_pixels_do_not() -> None:
    """The nearest to an upright stroke: by its edges the one beside it, by its pixels the turned one."""
    upright = torch.zeros(28, 28, dtype=torch.uint8)
    upright[4:24, 12] = 255
    pool = ImageSet.of(torch.stack([upright, upright.roll(1, 1), upright.T.contiguous()])[:, None])
    by_edges, by_pixels = (
        NeighbourGraph(pool, seen_as, 2, 1, False, STREAM).table[0].tolist()
        for seen_as in ("gradients", "pixels")
    )
    assert by_edges == [1] and by_pixels == [2]
