"""The neighbour graph: neighbours against all distances, label propagation by hand, spectral clusters of rings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from aral.neighbours import nearest_neighbours
from aral.randomness import Stream
from aral.representations import graph as module
from aral.representations.graph import (
    ALPHA,
    ITERATIONS,
    NeighbourGraph,
    Representation,
    affinity_matrix,
    propagate_labels,
    spectral_clusters,
)
from aral.types import ImageSet, LabelledSet

STREAM = Stream.root(0)


def shaded(values: list[int]) -> ImageSet:
    """Plain images, each of one grey value: the nearest are those of the nearest value."""
    grey = torch.tensor(values, dtype=torch.uint8)
    return ImageSet.of(grey[:, None, None, None].expand(-1, 1, 3, 3).contiguous())


POOL = shaded([0, 200, 10, 220, 25, 250])
# By value: images 0, 2, 4 are 0, 10, 25 and images 1, 3, 5 are 200, 220, 250.


def neighbour_graph(pool: ImageSet = POOL, count: int = 2, symmetric: bool = False) -> NeighbourGraph:
    return NeighbourGraph(pool, "pixels", 5, count, symmetric, STREAM)


def test_the_table_holds_ids_the_nearest_first() -> None:
    assert neighbour_graph().neighbour_ids.tolist() == [[2, 4], [3, 5], [0, 4], [1, 5], [2, 0], [3, 1]]


def test_the_table_of_a_part_of_a_pool_has_its_ids() -> None:
    part = POOL.subset(np.array([5, 4, 1, 0], dtype=np.int64))
    assert neighbour_graph(part, 1).neighbour_ids.tolist() == [[4], [5], [0], [1]]


def test_a_small_pool_has_fewer_neighbours() -> None:
    assert neighbour_graph(POOL.subset(np.array([0, 3], dtype=np.int64)), 5).neighbour_ids.tolist() == [
        [3],
        [0],
    ]


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_batch_is_of_neighbours_with_their_own_pixels(symmetric: bool) -> None:
    known = neighbour_graph(symmetric=symmetric)
    ids = np.array([5, 0, 3, 0, 0, 4], dtype=np.int64)
    batch = known.neighbour_batch(ids, STREAM.child("draw"))
    table = known.neighbour_ids
    assert all(chosen in table[image] for image, chosen in zip(ids, batch.ids, strict=True))
    unit = POOL.pixels[torch.from_numpy(batch.ids)].float() / 255
    torch.testing.assert_close(batch.images, 2 * unit - 1 if symmetric else unit)


def test_the_neighbour_of_an_image_does_not_depend_on_the_rest_of_the_batch() -> None:
    known, stream = neighbour_graph(), STREAM.child("draw")
    whole = known.neighbour_batch(POOL.ids, stream)
    for image in POOL.ids:
        assert known.neighbour_batch(np.array([image]), stream).ids[0] == whole.ids[image]
    assert (known.neighbour_batch(POOL.ids[::-1].copy(), stream).ids == whole.ids[::-1]).all()
    again = neighbour_graph().neighbour_batch(POOL.ids, stream)
    assert (again.ids == whole.ids).all()


def test_every_neighbour_is_drawn_equally_often() -> None:
    """400 copies of an id are 400 draws from its two neighbours: 200 ± 4.7 standard deviations."""
    drawn = neighbour_graph().neighbour_batch(np.zeros(400, dtype=np.int64), STREAM.child("draw")).ids
    assert set(drawn.tolist()) == {2, 4} and 153 < (drawn == 2).sum() < 247


def test_a_recall_below_one_searches_approximately_and_is_measured() -> None:
    """Exact neighbours by default; with a recall of a half some are missed in a pool without structure."""
    pixels = torch.from_numpy(Stream.root(1).numpy().integers(0, 256, (1500, 1, 3, 3), dtype=np.uint8))
    pool = ImageSet.of(pixels)
    exact, rough = (
        NeighbourGraph(pool, "pixels", 9, 5, False, STREAM, recall=recall) for recall in (1.0, 0.5)
    )
    same = np.mean(
        [np.isin(a, b).mean() for a, b in zip(rough.neighbour_ids, exact.neighbour_ids, strict=True)]
    )
    assert exact.recall == 1.0 and 0.5 <= rough.recall < 1.0
    assert same == pytest.approx(rough.recall, abs=0.08)


def test_clusters_are_of_images_and_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dark and light images, whatever their ids; half as many links as there are images of each."""
    values = [*range(0, 40, 4), *range(200, 240, 4)]
    order = Stream.root(3).numpy().permutation(len(values))
    pool = shaded([values[place] for place in order])
    known = NeighbourGraph(pool, "pixels", 5, 2, False, STREAM, links=3)
    calls = []
    sought = module.spectral_clusters
    monkeypatch.setattr(module, "spectral_clusters", lambda *given: calls.append(1) or sought(*given))
    ids = np.array([7, 0, 7, 13, 2], dtype=np.int64)
    found = known.clusters(pool.ids, 2)
    assert (known.clusters(ids, 2) == found[ids]).all() and len(calls) == 1
    light = order >= 10
    assert len(set(found[light])) == len(set(found[~light])) == 1 and found[light][0] != found[~light][0]


@pytest.mark.parametrize("representation", ["gradients", "pixels"])
def test_an_image_that_is_alone_is_its_own_neighbour(representation: Representation) -> None:
    pool = ImageSet(torch.arange(3 * 64, dtype=torch.uint8).reshape(3, 1, 8, 8), np.array([2]))
    found = NeighbourGraph(pool, representation, 50, 5, False, STREAM)
    assert found.neighbour_ids.tolist() == [[2]]
    assert found.neighbour_batch(np.array([2, 2]), STREAM).ids.tolist() == [2, 2]
    assert found.clusters(np.array([2]), 4).tolist() == [0]


def test_labels_are_propagated_to_the_images_that_are_given() -> None:
    """One dark and one light image are labelled; half as many links as there are images of each."""
    pool = shaded([*range(0, 40, 4), *range(200, 240, 4)])
    known = NeighbourGraph(pool, "pixels", 5, 2, False, STREAM, links=3)
    ids = np.array([2, 15], dtype=np.int64)
    spread = known.propagate(LabelledSet(pool.subset(ids), np.array([1, 0]), 3))
    asked = np.array([19, 0, 11, 9], dtype=np.int64)
    assert spread(asked).argmax(dim=1).tolist() == [0, 1, 0, 1]
    assert (spread(asked)[:, 2] == 0).all() and spread.class_probs.shape == (20, 3)


def test_edges_find_the_image_that_pixels_do_not() -> None:
    """The nearest to an upright stroke: by its edges the one beside it, by its pixels the turned one."""
    upright = torch.zeros(28, 28, dtype=torch.uint8)
    upright[4:24, 12] = 255
    pool = ImageSet.of(torch.stack([upright, upright.roll(1, 1), upright.T.contiguous()])[:, None])
    by_edges, by_pixels = (
        NeighbourGraph(pool, representation, 2, 1, False, STREAM).neighbour_ids[0].tolist()
        for representation in ("gradients", "pixels")
    )
    assert by_edges == [1] and by_pixels == [2]


LINE = np.array([[1, 2], [0, 2], [1, 3], [2, 4], [3, 5], [4, 3]])
STEPS = np.ones((6, 2))


def test_weights_by_hand() -> None:
    """Reaches are 2, 3 and 8; 0 and 1 are 1 apart: exp(−4·1/6). Row 2 is no row's neighbour, yet it has an edge."""
    neighbours, distances = np.array([[1], [0], [1]]), np.array([[2.0], [2.0], [4.0]])
    reached, far = np.exp(-4.0 * 4 / 4), np.exp(-4.0 * 16 / 8)
    plain = np.array([[0, reached, 0], [reached, 0, far], [0, far, 0]])
    sums = plain.sum(axis=1)
    assert affinity_matrix(neighbours, distances).toarray() == pytest.approx(
        plain / np.sqrt(np.outer(sums, sums))
    )


def test_copies_are_linked_with_full_weight() -> None:
    graph = affinity_matrix(np.array([[1], [0]]), np.zeros((2, 1)))
    assert graph.toarray() == pytest.approx(np.array([[0, 1], [1, 0]]))


def test_spreading_against_its_limit() -> None:
    """The turns approach (1 − α)(I − αS)⁻¹ Y; on six rows a hundred are near enough for two digits."""
    graph = affinity_matrix(LINE, STEPS)
    labels = np.zeros((6, 2))
    labels[[0, 5], [0, 1]] = 1
    limit = np.linalg.solve(np.eye(6) - ALPHA * graph.toarray(), labels)
    limit /= limit.sum(axis=1, keepdims=True)
    found = propagate_labels(graph, np.array([0, 5]), np.array([0, 1]), 2)
    assert found == pytest.approx(limit, abs=0.02)
    assert found.argmax(axis=1).tolist() == [0, 0, 0, 1, 1, 1]
    assert (np.diff(found[:, 0]) < 0).all(), "less of class 0 with every step away from its label"


def test_the_turns_by_hand() -> None:
    """Two rows that see only each other: what was put into one is found in both by turns."""
    graph = affinity_matrix(np.array([[1], [0]]), np.ones((2, 1)))
    own = other = 0.0
    for turn in range(ITERATIONS):
        here, there = (1.0, 0.0) if turn == 0 else (own, other)
        own, other = ALPHA * there + (1 - ALPHA), ALPHA * here
    found = propagate_labels(graph, np.array([0, 1]), np.array([0, 1]), 2)
    assert found == pytest.approx(np.array([[own, other], [other, own]]) / (own + other), rel=1e-4)


def test_a_class_with_many_labels_weighs_no_more() -> None:
    """A star: its middle sees three rows of class 0 and three of class 1 alike, however many were labelled."""
    neighbours = np.array([[1, 4], [0, 0], [0, 0], [0, 0], [0, 0], [0, 0], [0, 0]])
    graph = affinity_matrix(neighbours[:, :1], np.ones((7, 1)))
    few = propagate_labels(graph, np.array([1, 4]), np.array([0, 1]), 2)
    many = propagate_labels(graph, np.array([1, 2, 3, 4]), np.array([0, 0, 0, 1]), 2)
    assert few[0] == pytest.approx([0.5, 0.5]) and many[0] == pytest.approx([0.5, 0.5])
    assert (many[[1, 2, 3], 0] > 0.5).all() and many[4, 1] > 0.5


def test_what_nothing_reaches_has_no_opinion_and_a_class_without_labels_no_chance() -> None:
    apart = affinity_matrix(np.array([[1], [0], [3], [2]]), np.ones((4, 1)))
    found = propagate_labels(apart, np.array([0]), np.array([2]), 3)
    assert found.tolist() == [[0, 0, 1], [0, 0, 1], [pytest.approx(1 / 3)] * 3, [pytest.approx(1 / 3)] * 3]


def test_rows_like_foreign_ones_lack_what_a_further_class_would_have() -> None:
    """Six rows on a line, the last one of no class: the columns are those of three classes without the third."""
    graph = affinity_matrix(LINE, STEPS)
    ood = propagate_labels(graph, np.array([0, 2]), np.array([0, 1]), 2, np.array([5]))
    classes = propagate_labels(graph, np.array([0, 2, 5]), np.array([0, 1, 2]), 3)
    assert ood == pytest.approx(classes[:, :2])
    lacking = 1 - ood.sum(axis=1)
    assert (np.diff(lacking) > 0).all(), "more of it with every step towards the foreign row"


@given(st.integers(0, 10**6), st.integers(2, 4))
def test_rows_are_probabilities_and_names_of_rows_do_not_matter(seed: int, classes: int) -> None:
    draw = np.random.default_rng(seed)
    total = 12
    neighbours = np.stack([draw.choice(np.delete(np.arange(total), row), 3, False) for row in range(total)])
    distances = np.sort(draw.uniform(0.1, 2, (total, 3)), axis=1)
    rows, named = draw.choice(total, 4, False), draw.integers(0, classes, 4)
    found = propagate_labels(affinity_matrix(neighbours, distances), rows, named, classes)
    assert (found >= 0).all() and found.sum(axis=1) == pytest.approx(np.ones(total), rel=1e-5)
    order = draw.permutation(total)
    place = np.argsort(order)
    moved = affinity_matrix(place[neighbours[order]], distances[order])
    assert propagate_labels(moved, place[rows], named, classes) == pytest.approx(found[order], abs=1e-5)


def rings(members: int) -> tuple[np.ndarray, np.ndarray]:
    """Two circles around one point, listed in any order, and which circle each point is on."""
    angles = np.linspace(0, 2 * np.pi, members, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = np.concatenate([circle, 3 * circle])
    points += 0.01 * Stream.root(1).numpy().normal(size=points.shape)
    order = Stream.root(2).numpy().permutation(2 * members)
    return points[order], (order >= members).astype(np.int64)


def clustered(points: np.ndarray, count: int, links: int = 4, stream: Stream = STREAM) -> np.ndarray:
    graph = affinity_matrix(*nearest_neighbours(torch.from_numpy(points).float(), links))
    return spectral_clusters(graph, count, stream)


def same_partition(one: np.ndarray, other: np.ndarray) -> bool:
    """Equal up to the names of the parts."""
    pairs = set(zip(one.tolist(), other.tolist(), strict=True))
    return len(pairs) == len(set(one.tolist())) == len(set(other.tolist()))


@pytest.mark.parametrize("members", [40, 150])
def test_two_rings_are_separated_where_k_means_fails(members: int) -> None:
    """80 rows are decomposed whole, 300 by Lanczos' method."""
    points, ring = rings(members)
    assert same_partition(clustered(points, 2), ring)
    clusters = KMeans(2, n_init=3, random_state=0).fit_predict(points)
    assert not same_partition(clusters, ring)


def test_the_same_stream_gives_the_same_clusters() -> None:
    points, _ = rings(150)
    one, other = clustered(points, 5), clustered(points, 5)
    assert (one == other).all() and set(one.tolist()) == set(range(5))


def test_a_dense_and_a_thin_cloud_count_alike() -> None:
    """Distances are measured by how far a row's own neighbours are: a cloud ten times as wide is one too."""
    normal = Stream.root(4).numpy().normal(size=(60, 2))
    points = np.concatenate([0.1 * normal[:30], normal[30:] + np.array([20.0, 0.0])])
    assert same_partition(clustered(points, 2, links=6), (np.arange(60) >= 30).astype(np.int64))


def test_copies_and_few_rows() -> None:
    """All distances are 0, and there are fewer rows than clusters: numbers below the count, no warning."""
    copies = clustered(np.ones((12, 2)), 3)
    assert copies.shape == (12,) and set(copies.tolist()) <= {0, 1, 2}
    few = clustered(np.array([[0.0], [1.0], [5.0]]), 10)
    assert few.shape == (3,) and few.min() >= 0 and few.max() < 3
