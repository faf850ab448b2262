"""k-centre on a line by hand, and its guarantees against all possible centres."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aral.acquisition import ACQUISITIONS, PoolView, Predictions
from aral.acquisition.core_set import FEATURES, KCentre
from aral.acquisition.joint import JointBatch
from aral.randomness import Stream

from .pools import id_array, view

STREAM = Stream.root(0)


def on_a_line(unlabelled: dict[int, float], labelled: dict[int, float]) -> PoolView:
    def images(places: dict[int, float]) -> Predictions:
        return Predictions(id_array(*places), features=torch.tensor(list(places.values())).reshape(-1, 1))

    return view(images(unlabelled), images(labelled))


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
