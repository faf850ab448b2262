"""The sampler's score alone, and combined with uncertainty and diversity."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from aral.acquisition import ACQUISITIONS, Need, PoolView, Predictions, TopScores
from aral.acquisition.interface import JointBatch
from aral.acquisition.sampler import (
    ARAL,
    ARAL_DIVERSE,
    VAAL,
    WithoutNearDuplicates,
    median_distance,
    unlabelled_scores,
    with_sampler,
)
from aral.acquisition.uncertainty import entropy_scores
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


# By −S the order is 1, 2, 3, 4; by entropy 2, 1, 4, 3.
SAMPLER = torch.tensor([-4.0, -3.0, 0.0, 2.0])
SURE = torch.tensor([0.7, 0.5, 0.99, 0.9])


def pool(features: list[float]) -> PoolView:
    places = torch.tensor(features).float()[:, None]
    return view(
        Predictions(
            id_array(1, 2, 3, 4),
            probabilities=torch.stack([SURE, 1 - SURE], dim=1),
            features=places,
            latents=-places,
            sampler_logits=SAMPLER,
        )
    )


def strategy(**options: object) -> JointBatch:
    chooser = replace(WithoutNearDuplicates(), **options)  # type: ignore[arg-type]
    return JointBatch("test", ARAL_DIVERSE.needs | {Need.LATENTS}, chooser)


def test_products_of_ranks() -> None:
    """Ranks by −S are 4, 3, 2, 1 of 4, by entropy 3, 4, 1, 2."""
    found = with_sampler(entropy_scores)(pool([0, 10, 20, 30]), STREAM)
    assert found.tolist() == pytest.approx([12 / 16, 12 / 16, 2 / 16, 2 / 16])


def test_far_apart_images_come_by_score() -> None:
    found = ACQUISITIONS["aral-diverse"](pool([0, 10, 20, 30]), 4, STREAM)
    assert set(found.ids[:2].tolist()) == {1, 2}
    assert found.scores.tolist() == pytest.approx([12 / 16, 12 / 16, 2 / 16, 2 / 16])
    assert not any("duplicate" in reason for reason in found.reasons)


@pytest.mark.parametrize("space", [Need.FEATURES, Need.LATENTS])
def test_a_near_duplicate_is_held_back_but_not_lost(space: Need) -> None:
    """1 and 2 have the best score and are 1 apart: within a radius of 1 only one of them is chosen early."""
    close = pool([0, 1, 20, 30])
    found = strategy(radius=1.0, space=space)(close, 4, STREAM)
    assert found.ids[0] in (1, 2) and set(found.ids[1:3].tolist()) == {3, 4}
    assert found.ids[3] in (1, 2) and found.reasons[3].startswith("near-duplicate")
    found = strategy(radius=0.99, space=space)(close, 4, STREAM)
    assert set(found.ids[:2].tolist()) == {1, 2}


def test_exact_copies_are_held_back_even_at_radius_zero() -> None:
    found = strategy(radius=0.0)(pool([5, 5, 20, 30]), 3, STREAM)
    assert set(found.ids[1:].tolist()) == {3, 4}


def test_median_distance() -> None:
    """Two points 3 apart; one point; and many normal ones."""
    assert median_distance(np.array([[0.0], [3.0]]), id_array(4, 9), 10, STREAM) == 3.0
    assert median_distance(np.array([[5.0]]), id_array(4), 10, STREAM) == 0.0
    normal = np.random.default_rng(0).normal(size=(4000, 1))
    # The difference of two standard normal numbers has a median size of 0.6745·√2.
    assert median_distance(normal, np.arange(4000), 4000, STREAM) == pytest.approx(0.954, abs=0.06)


def test_the_default_radius_is_a_fifth_of_the_median_distance() -> None:
    """Two images: the typical distance is theirs, so they never are near-duplicates but for a share above 1."""
    two = Predictions(
        id_array(1, 2),
        probabilities=torch.tensor([[0.5, 0.5], [0.6, 0.4]]),
        features=torch.tensor([[0.0], [1.0]]),
        sampler_logits=SAMPLER[:2],
    )
    assert "duplicate" not in ACQUISITIONS["aral-diverse"](view(two), 2, STREAM).reasons[1]
    assert strategy(share=1.01)(view(two), 2, STREAM).reasons[1].startswith("near-duplicate")
