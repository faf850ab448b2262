"""Query by committee: votes by hand, divergence by hand and as BALD by another route."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
import torch

from aral.acquisition import ACQUISITIONS, Predictions
from aral.acquisition.committee import consensus_divergence_scores
from aral.acquisition.uncertainty import bald_scores
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
