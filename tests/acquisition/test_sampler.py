"""The lowest S comes first (Algorithm 1): most surely unlabelled."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from aral.acquisition import Need, Predictions, TopScores
from aral.acquisition.sampler import ARAL, VAAL, unlabelled_scores
from aral.randomness import Stream

from .pools import id_array, view

STREAM = Stream.root(0)
both = pytest.mark.parametrize("strategy", [ARAL, VAAL], ids=["aral", "vaal"])


@both
def test_planted_lowest_logits_are_chosen_in_order(strategy: TopScores) -> None:
    logits = {90: 1.0, 12: -4.0, 55: 0.2, 7: -6.5, 33: 5.0, 41: -0.1}
    pool = view(Predictions(id_array(*logits), sampler_logits=torch.tensor(list(logits.values()))))
    found = strategy(pool, 3, STREAM)
    assert found.ids.tolist() == [7, 12, 41]
    assert found.scores.tolist() == pytest.approx([6.5, 4.0, 0.1])


@both
def test_planted_images_are_found_in_a_large_pool(strategy: TopScores) -> None:
    ids = np.random.default_rng(0).permutation(5000).astype(np.int64)
    logits = torch.from_numpy(np.random.default_rng(1).normal(size=5000)).float()
    planted = {17: -30.0, 4321: -20.0, 999: -10.0}
    for image, logit in planted.items():
        logits[int(np.flatnonzero(ids == image)[0])] = logit
    assert strategy(view(Predictions(ids, sampler_logits=logits)), 3, STREAM).ids.tolist() == [17, 4321, 999]


def test_score_is_minus_the_logit_and_reads_nothing_else() -> None:
    logits = torch.tensor([0.5, -2.0, 1.25])
    scores = unlabelled_scores(view(Predictions(id_array(1, 2, 3), sampler_logits=logits)), STREAM)
    assert scores.tolist() == [-0.5, 2.0, -1.25]
    assert ARAL.needs == VAAL.needs == frozenset({Need.SAMPLER_LOGITS})


def test_reason_states_the_probability_of_labelled() -> None:
    """σ(S) for S = −2 and S = 1."""
    pool = view(Predictions(id_array(1, 2), sampler_logits=torch.tensor([1.0, -2.0])))
    reasons = ARAL(pool, 2, STREAM).reasons
    assert reasons == tuple(
        f"sampler: labelled with probability {1 / (1 + math.exp(-s)):.3f}" for s in (-2.0, 1.0)
    )


def test_logits_that_are_not_finite_are_refused() -> None:
    pool = view(Predictions(id_array(1, 2), sampler_logits=torch.tensor([1.0, float("nan")])))
    with pytest.raises(ValueError, match="aral: 1 of 2 scores are not finite"):
        ARAL(pool, 1, STREAM)
