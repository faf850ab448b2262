"""Core-set and ProbCover: by hand, and against brute force."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aral.acquisition import ACQUISITIONS, PoolView, Predictions
from aral.acquisition.coverage import FEATURES, PROBCOVER, KCentre, ProbCover, cover, pure_radius, sample_rows
from aral.acquisition.geometry import count_within
from aral.acquisition.interface import JointBatch, argmax_with_ties
from aral.randomness import Stream

from .pools import id_array, view

STREAM = Stream.root(0)


def on_a_line(unlabelled: dict[int, float], labelled: dict[int, float]) -> PoolView:
    def images(places: dict[int, float]) -> Predictions:
        return Predictions(id_array(*places), features=torch.tensor(list(places.values())).reshape(-1, 1))

    return PoolView(images(unlabelled), images(labelled), id_array(*[0] * len(labelled)), 2)


LINE = on_a_line({1: 1.0, 2: 4.0, 3: 10.0, 4: 0.5}, {9: 0.0})


def test_farthest_first() -> None:
    """From 0: 10 is farthest; then 4, four from 0; then 1; then 0.5."""
    found = ACQUISITIONS["core-set"](LINE, 4, STREAM)
    assert found.ids.tolist() == [3, 2, 1, 4]
    assert found.scores.tolist() == pytest.approx([10, 4, 1, 0.5])


def test_robust_leaves_the_farthest_to_the_end() -> None:
    """One of four may be an outlier: 10 is passed over, then 10 again at six from 4, and so on."""
    found = JointBatch("robust", FEATURES, KCentre(outliers=0.25))(LINE, 4, STREAM)
    assert found.ids.tolist() == [2, 1, 4, 3]
    assert found.scores.tolist() == pytest.approx([4, 1, 0.5, 6])
    # 10⁻⁴ of four images is rounded up to one.
    assert ACQUISITIONS["robust-core-set"](LINE, 4, STREAM).ids.tolist() == [2, 1, 4, 3]


def test_without_labels_the_first_is_random_and_the_second_farthest_from_it() -> None:
    pool = on_a_line({1: 1.0, 2: 4.0, 3: 10.0, 4: 0.0}, {})
    firsts = set()
    for seed in range(20):
        found = ACQUISITIONS["core-set"](pool, 2, Stream.root(seed))
        firsts.add(int(found.ids[0]))
        assert found.ids[1] == (4 if found.ids[0] in (3,) else 3)
        assert found.reasons[0] == "first centre, drawn at random" != found.reasons[1]
    assert firsts == {1, 2, 3, 4}
    assert ACQUISITIONS["core-set"](on_a_line({7: 3.0}, {}), 1, STREAM).scores.tolist() == [0.0]


def test_copies_of_labelled_images_come_last() -> None:
    pool = on_a_line({1: 5.0, 2: 7.0, 3: 5.0, 4: 6.0}, {9: 5.0})
    assert set(ACQUISITIONS["core-set"](pool, 4, STREAM).ids[2:].tolist()) == {1, 3}


PLACES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=7, max_size=9, unique=True)


def radius(points: np.ndarray, centres: np.ndarray, outliers: int) -> float:
    """The distance within which all but the ``outliers`` farthest points have a centre."""
    distances = np.linalg.norm(points[:, None] - centres[None], axis=2).min(axis=1)
    return float(np.sort(distances)[len(points) - 1 - outliers])


def as_pool(points: np.ndarray) -> PoolView:
    """The first point is labelled and has id 0."""
    features = torch.from_numpy(points).float()
    ids = np.arange(len(points), dtype=np.int64)
    return view(Predictions(ids[1:], features=features[1:]), Predictions(ids[:1], features=features[:1]))


@settings(max_examples=30, deadline=None)
@given(places=PLACES)
def test_at_most_twice_the_best_radius(places: list[tuple[int, int]]) -> None:
    points = np.array(places, dtype=np.float64)
    chosen = ACQUISITIONS["core-set"](as_pool(points), 2, STREAM).ids
    best = min(radius(points, points[[0, *pair]], 0) for pair in combinations(range(1, len(points)), 2))
    assert radius(points, points[[0, *chosen]], 0) <= 2 * best + 1e-9


@settings(max_examples=30, deadline=None)
@given(places=PLACES)
def test_robust_within_twice_the_best_radius_after_as_many_more_as_outliers(
    places: list[tuple[int, int]],
) -> None:
    points = np.array(places, dtype=np.float64)
    strategy = JointBatch("robust", FEATURES, KCentre(outliers=1 / len(points)))
    chosen = strategy(as_pool(points), 2 + 1, STREAM).ids
    best = min(radius(points, points[[0, *pair]], 1) for pair in combinations(range(1, len(points)), 2))
    assert radius(points, points[[0, *chosen]], 1) <= 2 * best + 1e-9


PLACES_ON_A_LINE = {1: 0.0, 2: 1.0, 3: 2.0, 4: 10.0, 5: 11.0, 6: 20.0}


UNIT = JointBatch("unit", PROBCOVER.needs, ProbCover(delta=1.0))


def test_largest_balls_first() -> None:
    """The ball of 1 holds three images, those of 10 and 11 two, that of 20 one; then all is covered."""
    found = UNIT(on_a_line(PLACES_ON_A_LINE, {}), 6, STREAM)
    assert found.ids[0] == 2 and found.ids[1] in (4, 5) and found.ids[2] == 6
    assert found.scores.tolist() == [3, 2, 1, 0, 0, 0]
    assert found.reasons[0] == "covers 3 more images within 1"


def test_what_a_label_covers_is_not_covered_again() -> None:
    found = UNIT(on_a_line(PLACES_ON_A_LINE, {8: 1.5}), 4, STREAM)
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
        assert (row, count) == (argmax_with_ties(gains, ties), gains[row])
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
    thin = JointBatch("thin", PROBCOVER.needs, ProbCover(delta=1.0, most_images=2))
    kept = np.arange(1, 7)[sample_rows(np.arange(1, 7), 2, STREAM.child("thin"))]
    assert set(thin(on_a_line(PLACES_ON_A_LINE, {}), 2, STREAM).ids.tolist()) == set(kept.tolist())
    assert np.unique(thin(on_a_line(PLACES_ON_A_LINE, {}), 6, STREAM).ids).size == 6
