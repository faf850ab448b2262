"""Disagreement of the passes by hand: votes, divergence, variation ratio, standard deviation."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
import torch

from aral.acquisition import ACQUISITIONS, Predictions
from aral.acquisition.bald import bald_scores
from aral.acquisition.committee import consensus_divergence_scores, votes
from aral.randomness import Stream

from .pools import id_array, view, view_of

STREAM = Stream.root(0)
PASSES = torch.tensor(
    [
        [[0.6, 0.4, 0.0]] * 2 + [[0.4, 0.6, 0.0]] * 2,  # id 1: two votes against two, each weak
        [[1.0, 0.0, 0.0]] * 3 + [[0.0, 0.0, 1.0]],  # id 2: three against one, each certain
        [[0.5, 0.3, 0.2]] * 4,  # id 3: agreed, and unsure
    ]
)
POOL = view(Predictions(id_array(1, 2, 3), mc_probabilities=PASSES))


def test_vote_entropy() -> None:
    found = ACQUISITIONS["committee"](POOL, 3, STREAM)
    assert found.ids.tolist() == [1, 2, 3]
    assert found.scores.tolist() == pytest.approx([log(2), 0.75 * log(4 / 3) + 0.25 * log(4), 0.0])


def test_consensus_divergence() -> None:
    """Id 2: KL(one-hot ‖ (¾, 0, ¼)) is log 4/3 thrice and log 4 once. Id 1: both halves alike."""
    found = ACQUISITIONS["committee-divergence"](POOL, 3, STREAM)
    assert found.ids.tolist() == [2, 1, 3]
    one = 0.6 * log(0.6 / 0.5) + 0.4 * log(0.4 / 0.5)
    expected = [0.75 * log(4 / 3) + 0.25 * log(4), one, 0.0]
    assert found.scores.tolist() == pytest.approx(expected, abs=1e-7)


def test_mean_divergence_from_the_consensus_is_bald() -> None:
    pool = view_of(list(range(30)), [])
    np.testing.assert_allclose(
        consensus_divergence_scores(pool, STREAM), bald_scores(pool, STREAM), atol=1e-12
    )


SPREAD_PASSES = torch.tensor(
    [
        # Id 1: four passes of the same slight preference: means are unsure, votes are not, nothing spreads.
        [[0.55, 0.45]] * 4,
        # Id 2: three strong votes for class 0, one for class 1.
        [[0.9, 0.1]] * 3 + [[0.1, 0.9]],
        # Id 3: votes split evenly, each weak.
        [[0.6, 0.4], [0.4, 0.6]] * 2,
        # Id 4: sure and agreed.
        [[1.0, 0.0]] * 4,
    ]
)
SPREAD_POOL = view(Predictions(id_array(1, 2, 3, 4), mc_probabilities=SPREAD_PASSES))
CASES = [
    ("variation-ratio", {3: 0.5, 1: 0.45, 2: 1 - (3 * 0.9 + 0.1) / 4, 4: 0.0}),
    ("vote-variation-ratio", {3: 0.5, 2: 0.25}),
    # Id 2: mean 0.7, deviations 0.2, 0.2, 0.2, −0.6, mean square 0.12, in both classes; id 3: 0.1.
    ("mean-std", {2: 0.12**0.5, 3: 0.1}),
]


@pytest.mark.parametrize(("name", "expected"), CASES)
def test_scores_and_order(name: str, expected: dict[int, float]) -> None:
    found = ACQUISITIONS[name](SPREAD_POOL, 4, Stream.root(0))
    count = len(expected)
    assert found.ids[:count].tolist() == list(expected)
    assert found.scores[:count].tolist() == pytest.approx(list(expected.values()), abs=1e-6)
    assert found.scores[2:].max() == pytest.approx(0 if count == 2 else expected[2], abs=1e-6)


def test_a_tied_pass_splits_its_vote() -> None:
    passes = torch.tensor([[[0.4, 0.4, 0.2], [0.1, 0.1, 0.8]], [[1 / 3] * 3, [0.5, 0.2, 0.3]]])
    expected = [0.25, 0.25, 0.5, 2 / 3, 1 / 6, 1 / 6]
    assert votes(passes).flatten().tolist() == pytest.approx(expected)


def test_the_two_variation_ratios_disagree() -> None:
    one, two = (ACQUISITIONS[name](SPREAD_POOL, 2, Stream.root(0)).ids.tolist() for name, _ in CASES[:2])
    assert one == [3, 1] and two == [3, 2]
