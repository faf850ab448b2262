"""Labels that spread along a graph of neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aral.representations.graph import HOLD, TURNS, affinity_matrix, propagate_labels

LINE = np.array([[1, 2], [0, 2], [1, 3], [2, 4], [3, 5], [4, 3]])
STEPS = np.ones((6, 2))


def test_weights_by_hand() -> None:
    """Reaches are 2, 3 and 8; 0 and 1 are 1 apart: exp(−4·1/6). Row 2 is nobody's neighbour, yet it is linked."""
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
    limit = np.linalg.solve(np.eye(6) - HOLD * graph.toarray(), labels)
    limit /= limit.sum(axis=1, keepdims=True)
    found = propagate_labels(graph, np.array([0, 5]), np.array([0, 1]), 2)
    assert found == pytest.approx(limit, abs=0.02)
    assert found.argmax(axis=1).tolist() == [0, 0, 0, 1, 1, 1]
    assert (np.diff(found[:, 0]) < 0).all(), "less of class 0 with every step away from its label"


def test_the_turns_by_hand() -> None:
    """Two rows that see only each other: what was put into one is found in both by turns."""
    graph = affinity_matrix(np.array([[1], [0]]), np.ones((2, 1)))
    own = other = 0.0
    for turn in range(TURNS):
        here, there = (1.0, 0.0) if turn == 0 else (own, other)
        own, other = HOLD * there + (1 - HOLD), HOLD * here
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
