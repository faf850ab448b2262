"""ProbCover on a line by hand, its coverage against a neighbour matrix, its radius against the definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aral.acquisition import ACQUISITIONS, PoolView, Predictions
from aral.acquisition.distances import count_within
from aral.acquisition.joint import JointBatch, first_of_best
from aral.acquisition.prob_cover import PROBCOVER, Coverage, cover, pure_radius, sample_rows
from aral.randomness import Stream

from .pools import id_array

STREAM = Stream.root(0)
LINE = {1: 0.0, 2: 1.0, 3: 2.0, 4: 10.0, 5: 11.0, 6: 20.0}


def on_a_line(unlabelled: dict[int, float], labelled: dict[int, float]) -> PoolView:
    def images(places: dict[int, float]) -> Predictions:
        return Predictions(id_array(*places), features=torch.tensor(list(places.values())).reshape(-1, 1))

    return PoolView(images(unlabelled), images(labelled), id_array(*[0] * len(labelled)), 2)


UNIT = JointBatch("unit", PROBCOVER.needs, Coverage(delta=1.0))


def test_largest_balls_first() -> None:
    """The ball of 1 holds three images, those of 10 and 11 two, that of 20 one; then all is covered."""
    found = UNIT(on_a_line(LINE, {}), 6, STREAM)
    assert found.ids[0] == 2 and found.ids[1] in (4, 5) and found.ids[2] == 6
    assert found.scores.tolist() == [3, 2, 1, 0, 0, 0]
    assert found.reasons[0] == "covers 3 more images within 1"


def test_what_a_label_covers_is_not_covered_again() -> None:
    found = UNIT(on_a_line(LINE, {8: 1.5}), 4, STREAM)
    # 1.5 covers 1 and 2: only 0 is left there, and it counts as much as 20 does.
    assert found.ids[0] in (4, 5) and set(found.ids[1:3].tolist()) <= {1, 2, 6}
    assert found.scores.tolist() == [2, 1, 1, 0]


@settings(max_examples=40, deadline=None)
@given(
    places=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=25),
    data=st.data(),
)
def test_greedy_coverage_against_the_whole_neighbour_matrix(
    places: list[tuple[int, int]], data: st.DataObject
) -> None:
    points = np.array(places, dtype=np.float64)
    known = np.array(data.draw(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=3)))
    known = known.reshape(-1, 2).astype(np.float64)
    delta = data.draw(st.sampled_from([0.0, 1.0, 1.5, 5.0]))
    ties = np.linspace(0, 0.9, len(points))
    edges = np.linalg.norm(points[:, None] - points[None], axis=2) <= delta
    covered = (np.linalg.norm(points[:, None] - known[None], axis=2) <= delta).any(axis=1)
    rows, counts = cover(points, known, delta, len(points), ties)
    left = np.zeros(len(points))
    for row, count in zip(rows, counts, strict=True):
        gains = (edges & ~covered).sum(axis=1) + left
        assert (row, count) == (first_of_best(gains, ties), gains[row])
        covered |= edges[row]
        left[row] = -np.inf


HEAPS = np.array([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]])


@pytest.mark.parametrize(
    ("purity", "expected"), [(1.0, 8.0), (0.7, 8.0), (0.6, 9.0), (0.3, 10.0), (0.01, 10.0)]
)
def test_the_largest_pure_radius(purity: float, expected: float) -> None:
    """Distances to the other heap: 10, 9, 8, 8, 9, 10. With δ below 9, four of six balls are pure."""
    found = pure_radius(HEAPS, np.arange(6), 2, purity, STREAM)
    assert found == pytest.approx(expected, rel=1e-5) and found < expected


def test_at_the_radius_the_balls_are_pure_and_beyond_it_they_are_not() -> None:
    random = np.random.default_rng(0)
    members = np.repeat([0, 1, 2], 40)
    points = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])[members] + random.normal(size=(120, 2))
    delta = pure_radius(points, np.arange(120), 3, 0.95, STREAM)

    def purity(radius: float) -> float:
        same = sum((members == c) * count_within(points, points[members == c], radius) for c in range(3))
        return float((same == count_within(points, points, radius)).mean())

    assert purity(delta) >= 0.95 > purity(delta * 1.001)


def test_copies_have_radius_zero_and_the_default_finds_one_image_of_each_heap() -> None:
    assert pure_radius(np.ones((5, 2)), np.arange(5), 3, 0.95, STREAM) == 0.0
    points = {10 * heap + i: 100.0 * heap + i for heap in range(2) for i in range(5)}
    found = ACQUISITIONS["probcover"](on_a_line(points, {}), 2, STREAM)
    assert sorted(image // 10 for image in found.ids) == [0, 1] and found.scores.tolist() == [5, 5]


def test_large_pools_are_thinned_by_id() -> None:
    ids = np.arange(0, 1000, 7, dtype=np.int64)
    kept = ids[sample_rows(ids, 20, STREAM)]
    assert kept.size == 20 and (np.diff(kept) > 0).all()
    fewer = ids[ids != kept[3]]
    assert set(fewer[sample_rows(fewer, 20, STREAM)].tolist()) >= set(kept.tolist()) - {int(kept[3])}
    thin = JointBatch("thin", PROBCOVER.needs, Coverage(delta=1.0, most_images=2))
    kept = np.arange(1, 7)[sample_rows(np.arange(1, 7), 2, STREAM.child("thin"))]
    assert set(thin(on_a_line(LINE, {}), 2, STREAM).ids.tolist()) == set(kept.tolist())
    assert np.unique(thin(on_a_line(LINE, {}), 6, STREAM).ids).size == 6
