"""Stochastic BALD and BatchBALD: distributions, exact values, lazy greedy against all gains."""

from __future__ import annotations

from itertools import product
from math import exp, log

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aral.acquisition import ACQUISITIONS, PoolView, Predictions
from aral.acquisition import bald as module
from aral.acquisition.bald import (
    BatchBald,
    LabelConfigurations,
    Perturbation,
    SampledConfigurations,
    StochasticBald,
    all_configurations,
    bald_scores,
    gains,
    gumbel,
    ranks,
)
from aral.acquisition.interface import JointBatch
from aral.acquisition.uncertainty import MC_PASSES
from aral.randomness import Stream

from .pools import id_array, view, view_of

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


def random_passes(images: int, members: int, classes: int, seed: int) -> np.ndarray:
    logits = 2 * np.random.default_rng(seed).normal(size=(images, members, classes))
    weights = np.exp(logits)
    return weights / weights.sum(axis=2, keepdims=True)


def information(passes: np.ndarray, batch: list[int]) -> float:
    """I(y₁…y_b; ω) = H(y₁…y_b) − Σ H(y_i | ω), one configuration at a time."""
    _, members, classes = passes.shape
    joint = 0.0
    for labels in product(range(classes), repeat=len(batch)):
        likelihood = [
            np.prod([passes[i, m, y] for i, y in zip(batch, labels, strict=True)]) for m in range(members)
        ]
        p = float(np.mean(likelihood))
        joint -= p * log(p) if p > 0 else 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        conditional = -np.nansum(passes[batch] * np.log(passes[batch])) / members
    return joint - float(conditional)


def pool_of(passes: np.ndarray) -> PoolView:
    ids = np.arange(len(passes), dtype=np.int64)
    return view(Predictions(ids, mc_probabilities=torch.from_numpy(passes).float()))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), classes=st.integers(2, 3), members=st.integers(1, 5))
def test_gains_are_differences_of_joint_information(seed: int, classes: int, members: int) -> None:
    passes = random_passes(6, members, classes, seed)
    batch = [4, 1, 2]
    found = gains(torch.from_numpy(passes), all_configurations(torch.from_numpy(passes[batch])))
    expected = [information(passes, [*batch, i]) - information(passes, batch) for i in range(6)]
    assert found.tolist() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("seed", range(4))
def test_the_greedy_batch_is_the_one_of_the_definition(seed: int) -> None:
    """Every step compared with all candidates by brute force: nothing is lost by computing only some."""
    passes = random_passes(9, 4, 3, seed).astype(np.float32).astype(np.float64)
    found = JointBatch("batchbald", MC_PASSES, BatchBald())(pool_of(passes), 4, STREAM)
    batch: list[int] = []
    for image, score in zip(found.ids.tolist(), found.scores, strict=True):
        before = information(passes, batch) if batch else 0.0
        gain = {i: information(passes, [*batch, i]) - before for i in range(9) if i not in batch}
        assert image == max(gain, key=lambda i: gain[i])
        assert score == pytest.approx(gain[image], abs=1e-6)
        batch.append(image)


def test_few_images_at_a_time_give_the_same_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = pool_of(random_passes(40, 6, 3, 1))
    whole = ACQUISITIONS["batchbald"](pool, 8, STREAM)
    monkeypatch.setattr(module, "BLOCK", 3)
    assert ACQUISITIONS["batchbald"](pool, 8, STREAM).ids.tolist() == whole.ids.tolist()


def test_bald_takes_the_copy_and_batchbald_does_not() -> None:
    """1 and 2 are one image, fully disputed; 3 is disputed less, along another line of the passes.

    Gains: log 2, then BALD of 3 (it is independent of 1), then nothing for the copy.
    """
    a, b = [[1.0, 0.0]] * 2 + [[0.0, 1.0]] * 2, [[0.9, 0.1], [0.1, 0.9]] * 2
    pool = view(Predictions(id_array(1, 2, 3), mc_probabilities=torch.tensor([a, a, b])))
    assert set(ACQUISITIONS["bald"](pool, 2, STREAM).ids.tolist()) == {1, 2}
    found = ACQUISITIONS["batchbald"](pool, 3, STREAM)
    assert found.ids[0] in (1, 2) and found.ids[1] == 3
    bald_of_b = log(2) + 0.9 * log(0.9) + 0.1 * log(0.1)
    assert found.scores.tolist() == pytest.approx([log(2), bald_of_b, 0.0], abs=1e-6)


def sampled_configurations(batch: torch.Tensor, draws: int) -> LabelConfigurations:
    found = SampledConfigurations(batch.shape[1], draws)
    for place, image in enumerate(batch):
        found.extend(image, STREAM.child(place))
    return found.given()


def test_sampled_gains_come_near_the_exact_ones() -> None:
    passes = torch.from_numpy(random_passes(20, 8, 3, 2))
    exact = gains(passes, all_configurations(passes[:4]))
    errors = []
    for draws in (60, 6000):
        belief = sampled_configurations(passes[:4], draws)
        assert len(belief.weights) == -(-draws // 8) * 8 and belief.weights.sum().item() == pytest.approx(1)
        assert belief.posterior.sum(dim=1).tolist() == pytest.approx([1.0] * len(belief.weights))
        errors.append((gains(passes, belief) - exact).abs().max().item())
    # The documented bound: log K / √C.
    assert errors[1] < log(3) / 6000**0.5
    assert errors[1] < errors[0]


def test_sampling_never_draws_an_impossible_label() -> None:
    """Zeros at the ends and in the middle: each posterior stays finite and true to its source."""
    passes = torch.tensor([[[0.0, 1.0, 0.0], [0.5, 0.0, 0.5]], [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]]).double()
    posterior = sampled_configurations(passes, 400).posterior
    assert set(posterior.flatten().tolist()) == {0.0, 1.0}
    assert posterior[:, 0].mean().item() == 0.5


def test_beyond_the_limit_it_samples_and_chooses_nearly_as_well() -> None:
    passes = random_passes(12, 5, 3, 3)
    exact = JointBatch("exact", MC_PASSES, BatchBald(10_000))(pool_of(passes), 4, STREAM)
    sampled = JointBatch("sampled", MC_PASSES, BatchBald(300))
    # 3⁴ = 81 and 3⁵ = 243 are below 300: exact; a limit of 8 makes all but the first two steps sampled.
    assert sampled(pool_of(passes), 4, STREAM).ids.tolist() == exact.ids.tolist()
    few = JointBatch("few", MC_PASSES, BatchBald(8))
    batches = [few(pool_of(passes), 4, Stream.root(seed)) for seed in range(6)]
    assert len({tuple(batch.ids) for batch in batches}) > 1
    best = information(passes, exact.ids.tolist())
    assert np.mean([information(passes, batch.ids.tolist()) for batch in batches]) > 0.9 * best


def test_more_images_than_the_passes_can_tell_of() -> None:
    found = ACQUISITIONS["batchbald"](pool_of(random_passes(30, 3, 4, 4)), 30, STREAM)
    assert np.unique(found.ids).size == 30
    assert found.scores.sum() < log(3) + 0.1


def test_a_large_pool_is_cut_to_the_images_with_the_highest_bald_and_the_reasons_say_so() -> None:
    passes = random_passes(60, 6, 3, 6)
    pool = pool_of(passes)
    highest = np.argsort(-bald_scores(pool, STREAM))[:12]
    cut = JointBatch("cut", MC_PASSES, BatchBald(candidates=12))(pool, 3, STREAM)
    assert set(cut.ids.tolist()) <= set(highest.tolist())
    assert all("of the 12 images with the highest BALD" in reason for reason in cut.reasons)
    alone = JointBatch("alone", MC_PASSES, BatchBald())(pool_of(passes[np.sort(highest)]), 3, STREAM)
    assert cut.scores.tolist() == pytest.approx(alone.scores.tolist(), abs=1e-9)
    assert not any("highest BALD" in reason for reason in alone.reasons)
    # Never fewer than four times the batch.
    assert np.unique(JointBatch("few", MC_PASSES, BatchBald(candidates=2))(pool, 15, STREAM).ids).size == 15


def test_the_work_of_a_step_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However large the pool and the batch: no more conditional probabilities than candidates × configurations."""
    computed: list[int] = []
    original = module.gains

    def counted(passes: torch.Tensor, given: LabelConfigurations) -> torch.Tensor:
        computed.append(len(passes) * len(given.weights))
        return original(passes, given)

    monkeypatch.setattr(module, "gains", counted)
    pool = pool_of(random_passes(900, 8, 4, 7))
    found = JointBatch("bounded", MC_PASSES, BatchBald(configurations=64, candidates=100))(pool, 20, STREAM)
    assert np.unique(found.ids).size == 20
    assert 0 < sum(computed) <= 20 * 100 * 64


def test_numbers_worked_out_once_for_all() -> None:
    """Five images, three passes, two classes, in nats: joint entropies over all 2ⁿ labels, summed in plain Python.

    14 nearly repeats 12: BALD asks for both first, BatchBALD for 10 in between. The joint information of the
    batch is the sum of what its images add, as batchbald_redux reports it.
    """
    passes = {
        10: [[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]],
        11: [[0.8, 0.2], [0.3, 0.7], [0.6, 0.4]],
        12: [[0.6, 0.4], [0.9, 0.1], [0.1, 0.9]],
        13: [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]],
        14: [[0.6, 0.4], [0.88, 0.12], [0.12, 0.88]],
    }
    images = view(Predictions(id_array(*passes), mc_probabilities=torch.tensor(list(passes.values()))))
    single = ACQUISITIONS["bald"](images, 5, STREAM)
    assert single.ids.tolist() == [12, 14, 10, 11, 13]
    assert single.scores.tolist() == pytest.approx([0.249864, 0.221969, 0.184712, 0.089472, 0.0], abs=1e-6)
    batch = ACQUISITIONS["batchbald"](images, 4, STREAM)
    assert batch.ids.tolist() == [12, 10, 14, 11]
    assert np.cumsum(batch.scores).tolist() == pytest.approx(
        [0.249864, 0.428331, 0.548297, 0.594704], abs=1e-6
    )
