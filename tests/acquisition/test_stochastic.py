"""Stochastic BALD: how often each image wins, against the chances that the definitions promise."""

from __future__ import annotations

from math import exp

import numpy as np
import pytest
import torch

from aral.acquisition import ACQUISITIONS, PoolView, Predictions
from aral.acquisition.stochastic import Perturbation, StochasticBald, gumbel, ranks
from aral.acquisition.uncertainty import bald_scores
from aral.randomness import Stream

from .pools import view, view_of

STREAM = Stream.root(5)
TRIALS = 6000
PASSES = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.9, 0.1], [0.1, 0.9]], [[0.6, 0.4], [0.4, 0.6]]])


def three_images_many_times() -> PoolView:
    """Ids 0, 3, 6, … are the first image, 1, 4, 7, … the second, 2, 5, 8, … the third."""
    return view(Predictions(np.arange(3 * TRIALS), mc_probabilities=PASSES.repeat(TRIALS, 1, 1)))


@pytest.mark.parametrize(("perturbation", "coldness"), [("power", 1.0), ("power", 2.0), ("softmax", 3.0)])
def test_chances_of_coming_first(perturbation: str, coldness: float) -> None:
    """The share of trials in which each of three images has the highest score: s^β or exp(β·s), normalised."""
    pool = three_images_many_times()
    bald = bald_scores(pool, STREAM)[:3]
    weights = bald**coldness if perturbation == "power" else np.array([exp(coldness * s) for s in bald])
    scores = StochasticBald(Perturbation(perturbation), coldness)(pool, STREAM)
    wins = np.bincount(scores.reshape(TRIALS, 3).argmax(axis=1), minlength=3) / TRIALS
    # Three standard errors of a share of 6000 are below 0.02.
    assert wins.tolist() == pytest.approx((weights / weights.sum()).tolist(), abs=0.02)


def test_softrank_adds_the_same_noise_to_the_log_of_the_rank() -> None:
    pool = view_of(list(range(40)), [])
    ids, bald = pool.unlabelled.ids, bald_scores(pool, STREAM)
    noise = gumbel(ids, STREAM.child("noise"))
    scores = StochasticBald(Perturbation.SOFTRANK, coldness=2.0)(pool, STREAM)
    rank = np.exp(-(scores - noise / 2))
    assert sorted(np.rint(rank).tolist()) == list(range(1, 41))
    assert (np.diff(bald[np.argsort(rank)]) <= 1e-12).all()


@pytest.mark.parametrize("perturbation", list(Perturbation))
def test_cold_enough_it_is_bald(perturbation: Perturbation) -> None:
    pool = view_of(list(range(30)), [])
    bald = bald_scores(pool, STREAM)
    cold = StochasticBald(perturbation, coldness=1e9)(pool, STREAM)
    assert (np.diff(bald[np.argsort(-cold)]) <= 1e-9).all()


def test_an_image_without_disagreement_comes_last_under_power() -> None:
    agreed = torch.tensor([[0.5, 0.5], [0.5, 0.5]])
    pool = view(Predictions(np.arange(4), mc_probabilities=torch.cat([PASSES, agreed[None]])))
    for seed in range(20):
        assert ACQUISITIONS["power-bald"](pool, 4, Stream.root(seed)).ids[-1] == 3


def test_gumbel_has_the_mean_and_variance_of_a_gumbel_number() -> None:
    numbers = gumbel(np.arange(40_000), STREAM)
    assert numbers.mean() == pytest.approx(0.57722, abs=0.02)
    assert numbers.var() == pytest.approx(np.pi**2 / 6, abs=0.05)


def test_ranks() -> None:
    assert ranks(np.array([2.0, 5.0, 2.0, 7.0]), np.array([0.9, 0.5, 0.1, 0.3])).tolist() == [4, 2, 3, 1]
