"""BADGE: the factorised gradients against the outer products, and the chances of the draw."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from aral.acquisition import ACQUISITIONS, Predictions
from aral.acquisition.badge import residuals, squared_gradient_distances, squared_gradient_norms
from aral.randomness import Stream

from .pools import id_array, view

STREAM = Stream.root(0)


def test_residuals() -> None:
    found = residuals(np.array([[0.2, 0.7, 0.1], [0.5, 0.5, 0.0]]))
    np.testing.assert_allclose(found, [[0.2, -0.3, 0.1], [-0.5, 0.5, 0.0]])


def test_factorised_distances_are_those_of_the_outer_products() -> None:
    random = np.random.default_rng(0)
    a, f = residuals(random.dirichlet(np.ones(4), size=30)), random.normal(size=(30, 6))
    gradients = np.einsum("nk,nf->nkf", a, f).reshape(30, -1)
    np.testing.assert_allclose(squared_gradient_norms(a, f), (gradients**2).sum(axis=1))
    for row in (0, 17):
        direct = ((gradients - gradients[row]) ** 2).sum(axis=1)
        np.testing.assert_allclose(squared_gradient_distances(a, f, row), direct, atol=1e-12)


def test_copies_are_exactly_nothing_apart() -> None:
    random = np.random.default_rng(1)
    a, f = residuals(random.dirichlet(np.ones(10), size=8)), 50 + random.normal(size=(8, 20))
    found = squared_gradient_distances(np.repeat(a, 5, axis=0), np.repeat(f, 5, axis=0), 12)
    assert (found == 0).tolist() == (np.arange(40) // 5 == 2).tolist()


# ‖a‖² is 0.02, 0.5, 0.5 and 0.5; ‖f‖² is 100, 4, 1 and 1. The gradients of 3 and 4 are equal.
POOL = view(
    Predictions(
        id_array(1, 2, 3, 4),
        probabilities=torch.tensor([[0.9, 0.1], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]),
        features=torch.tensor([[10.0, 0.0], [0.0, 2.0], [1.0, 0.0], [1.0, 0.0]]),
    )
)


def test_the_longest_gradient_is_first_and_the_others_by_squared_distance() -> None:
    """First 1 or 2, both of squared length 2; after 2, the D² of 1, 3 and 4 are 4, 2.5 and 2.5.

    From 1, whose a is (−0.1, 0.1): ⟨a, a'⟩ = 0.1 and ⟨f, f'⟩ = 10 for 3, so D² = 2 + 0.5 − 2 = 0.5.
    """
    seconds = {1: np.zeros(5), 2: np.zeros(5)}
    for seed in range(600):
        found = ACQUISITIONS["badge"](POOL, 2, Stream.root(seed))
        seconds[int(found.ids[0])][found.ids[1]] += 1
        assert found.scores[0] == pytest.approx(2**0.5)
    # p = 0.9 is a float32, so one of the two is a hair longer and always first.
    (first,) = [image for image, counts in seconds.items() if counts.sum()]
    weights = {1: [0, 0, 4, 0.5, 0.5], 2: [0, 4, 0, 2.5, 2.5]}[first]
    assert (seconds[first] / 600).tolist() == pytest.approx(
        (np.array(weights) / sum(weights)).tolist(), abs=0.06
    )


def test_copies_come_only_when_nothing_else_is_left() -> None:
    for seed in range(20):
        found = ACQUISITIONS["badge"](POOL, 4, Stream.root(seed)).ids.tolist()
        assert set(found[:3]) in ({1, 2, 3}, {1, 2, 4})


def test_certain_images_have_no_gradient() -> None:
    certain = view(
        Predictions(id_array(1, 2, 3), probabilities=torch.eye(3)[[0, 0, 1]], features=torch.ones(3, 2))
    )
    found = ACQUISITIONS["badge"](certain, 3, STREAM)
    assert sorted(found.ids.tolist()) == [1, 2, 3] and found.scores.tolist() == [0.0, 0.0, 0.0]
