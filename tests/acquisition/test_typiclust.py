"""TypiClust on planted clusters: one dense image of each, clusters without labels first."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from aral.acquisition import JointBatch, PoolView, Predictions
from aral.acquisition.typicality import TYPICLUST, TypiClust
from aral.randomness import Stream

from .pools import id_array, view

STREAM = Stream.root(0)


def typiclust(**options: int) -> JointBatch:
    return JointBatch("test", TYPICLUST.needs, TypiClust(**options))


CENTRES = np.array([[0.0, 0.0], [100.0, 0.0], [0.0, 100.0], [100.0, 100.0], [50.0, 200.0]])
SIZES = (40, 30, 20, 15, 10)
# Cluster c holds the ids 100·c to 100·c + size − 1, at a distance from the centre that grows with the id's last
# two digits: 100·c is the centre.


def planted(sizes: tuple[int, ...] = SIZES) -> tuple[np.ndarray, np.ndarray]:
    ids, points = [], []
    for cluster, size in enumerate(sizes):
        for member in range(size):
            angle = 2.4 * member
            reach = 5 * (member / size) ** 0.5
            ids.append(100 * cluster + member)
            points.append(CENTRES[cluster] + reach * np.array([np.cos(angle), np.sin(angle)]))
    return np.array(ids, dtype=np.int64), np.array(points)


def pool(labelled: np.ndarray | None = None, order: np.ndarray | None = None) -> PoolView:
    """The planted pool, the points at ``labelled`` being labelled already."""
    ids, points = planted()
    if order is not None:
        ids, points = ids[order], points[order]
    free = np.ones(ids.size, dtype=bool) if labelled is None else ~np.isin(ids, labelled)
    features = torch.from_numpy(points).float()
    known = Predictions(ids[~free], features=features[torch.from_numpy(~free)])
    return view(Predictions(ids[free], features=features[torch.from_numpy(free)]), known)


@pytest.mark.parametrize("seed", range(5))
def test_one_image_of_each_cluster_and_the_largest_first(seed: int) -> None:
    found = typiclust(neighbours=5)(pool(), 5, Stream.root(seed))
    assert (found.ids // 100).tolist() == [0, 1, 2, 3, 4]


def test_the_densest_image_of_each_cluster() -> None:
    """Against a direct reckoning of the mean distance to the five nearest of the same cluster."""
    ids, points = planted()
    found = typiclust(neighbours=5)(pool(), 5, STREAM)
    for image, score in zip(found.ids, found.scores, strict=True):
        members = ids // 100 == image // 100
        distances = np.linalg.norm(points[members][:, None] - points[members][None], axis=2)
        typicality = 1 / np.sort(distances, axis=1)[:, 1:6].mean(axis=1)
        assert score == pytest.approx(typicality.max(), rel=1e-4)
        assert typicality[ids[members] == image][0] == pytest.approx(typicality.max(), rel=1e-4)


def test_a_planted_dense_spot_beats_the_middle() -> None:
    """Density decides, not closeness to the centre."""
    ids = np.arange(40, dtype=np.int64)
    angle = np.linspace(0, 2 * np.pi, 30, endpoint=False)
    ring = 10 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    spot = np.array([8.0, 0.0]) + 0.01 * np.arange(9)[:, None]
    points = np.concatenate([ring, np.zeros((1, 2)), spot])
    found = typiclust(neighbours=8)(
        view(Predictions(ids, features=torch.from_numpy(points).float())), 1, STREAM
    )
    assert found.ids[0] == 35  # the middle of the nine on the spot


def test_clusters_without_labels_come_first() -> None:
    """Clusters 0 and 1, the largest, are labelled: with as many clusters as there are, 2, 3 and 4 are asked."""
    found = typiclust(neighbours=5)(pool(id_array(7, 107)), 3, STREAM)
    assert (found.ids // 100).tolist() == [2, 3, 4]


def test_fewest_labels_first_when_all_have_some() -> None:
    """Six images of five clusters at most: two labels in 0 and 1, one in 2 and 3, none in 4."""
    known = id_array(7, 8, 107, 108, 207, 307)
    found = typiclust(neighbours=5, most_clusters=5)(pool(known), 5, STREAM)
    # 4 has none; then one each in 2, 3, 4, the largest first; then two everywhere and 0 is the largest.
    assert (found.ids // 100).tolist() == [4, 2, 3, 4, 0]
    assert not set(found.ids.tolist()) & set(known.tolist())


def test_a_cluster_that_is_used_up_is_passed_over() -> None:
    features = torch.tensor([[0.0], [50.0], [50.1], [50.2]])
    pool = view(Predictions(id_array(9, 1, 2, 3), features=features))
    found = typiclust(most_clusters=2)(pool, 4, STREAM)
    assert sorted(found.ids.tolist()) == [1, 2, 3, 9]
    assert found.ids[1] == 9  # one of the three, then the lone one, then the others
    assert found.ids[0] == 2  # the middle one


def test_more_images_than_clusters_are_still_all_different() -> None:
    found = typiclust(most_clusters=3)(pool(), 40, STREAM)
    assert np.unique(found.ids).size == 40
    counts = np.bincount(found.ids // 100)
    assert counts.sum() == 40


def test_copies_of_one_image_are_all_available() -> None:
    """A folder may hold the same picture many times."""
    copies = view(Predictions(id_array(*range(6)), features=torch.ones(6, 2)))
    assert np.unique(typiclust(most_clusters=1)(copies, 4, STREAM).ids).size == 4
    assert np.unique(typiclust()(copies, 4, STREAM).ids).size == 4


def test_a_large_pool_is_clustered_by_a_part_of_it_and_the_reasons_say_so() -> None:
    """Ten thousand points around five centres: as without a limit, one dense image of each cluster."""
    numbers = np.random.Generator(np.random.Philox(3))
    cluster = np.repeat(np.arange(5), [3000, 2500, 2000, 1500, 1000])
    points = CENTRES[cluster] + numbers.normal(size=(cluster.size, 2))
    pool = view(Predictions(np.arange(cluster.size), features=torch.from_numpy(points).float()))
    whole = typiclust()(pool, 5, STREAM)
    assert not any("random" in reason for reason in whole.reasons)
    found = typiclust(most_fitted=500, most_compared=400)(pool, 5, STREAM)
    assert cluster[found.ids].tolist() == cluster[whole.ids].tolist() == [0, 1, 2, 3, 4]
    assert np.linalg.norm(points[found.ids] - CENTRES[cluster[found.ids]], axis=1).max() < 1
    note = "; centres from 500 random images, neighbours among 400 random images"
    assert all(reason.endswith(note) for reason in found.reasons)


def test_the_part_does_not_depend_on_the_order_of_the_pool() -> None:
    shuffled = np.random.Generator(np.random.Philox(4)).permutation(sum(SIZES))
    limited = typiclust(neighbours=3, most_fitted=60, most_compared=12)
    found = limited(pool(), 7, STREAM)
    again = limited(pool(order=shuffled), 7, STREAM)
    assert found.ids.tolist() == again.ids.tolist()
    assert found.scores.tolist() == again.scores.tolist()


def test_an_index_searches_all_images_of_a_large_cluster_and_the_reasons_state_its_recall() -> None:
    """One cluster of 2,000 images, a tenth of which may be compared: the most typical of all is found by the index."""
    points = np.random.default_rng(5).normal(size=(2000, 6))
    pool = view(Predictions(np.arange(2000), features=torch.from_numpy(points)))
    limited = {"most_compared": 200, "most_clusters": 1}
    exact = JointBatch("exact", TYPICLUST.needs, TypiClust(most_clusters=1))(pool, 5, STREAM)
    by_index = JointBatch("index", TYPICLUST.needs, TypiClust(recall=0.99, **limited))(pool, 5, STREAM)
    by_part = JointBatch("part", TYPICLUST.needs, TypiClust(**limited))(pool, 5, STREAM)
    assert set(by_index.ids) == set(exact.ids) != set(by_part.ids)
    np.testing.assert_allclose(by_index.scores, exact.scores, rtol=1e-2)
    assert all("by an index with a recall of 0.99" in why or "of 1.00" in why for why in by_index.reasons)
    assert all("among 200 random images" in why for why in by_part.reasons)
