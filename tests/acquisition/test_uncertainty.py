"""Uncertainty scores by hand: of one pass, and of the mean over Monte-Carlo passes."""

from __future__ import annotations

import math
from math import log

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aral.acquisition import ACQUISITIONS, PoolView, Predictions
from aral.acquisition.bald import BALD, bald_scores
from aral.acquisition.uncertainty import MAX_ENTROPY, entropy, max_entropy_scores
from aral.randomness import Stream

from .pools import id_array, view

STREAM = Stream.root(0)
SURE, UNSURE, TORN, LEANING = 10, 20, 30, 40
PASSES = {
    SURE: [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]],  # confident, and of one mind
    UNSURE: [[1 / 3, 1 / 3, 1 / 3], [1 / 3, 1 / 3, 1 / 3]],  # uniformly unsure, and of one mind
    TORN: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],  # confident, but the passes disagree
    LEANING: [[0.8, 0.2, 0.0], [0.2, 0.8, 0.0]],  # half of each
}


def h(*p: float) -> float:
    return -sum(value * math.log(value) for value in p if value > 0)


# The last two have the same mean prediction (½, ½, 0).
ENTROPY = {SURE: 0.0, UNSURE: math.log(3), TORN: math.log(2), LEANING: math.log(2)}
DISAGREEMENT = {SURE: 0.0, UNSURE: 0.0, TORN: math.log(2), LEANING: math.log(2) - h(0.8, 0.2)}


def pool(passes: dict[int, list[list[float]]]) -> PoolView:
    return view(Predictions(id_array(*passes), mc_probabilities=torch.tensor(list(passes.values()))))


def test_scores_by_hand() -> None:
    assert max_entropy_scores(pool(PASSES), STREAM).tolist() == pytest.approx(list(ENTROPY.values()))
    assert bald_scores(pool(PASSES), STREAM).tolist() == pytest.approx(list(DISAGREEMENT.values()), abs=1e-7)


def test_entropy_and_bald_ask_for_different_images() -> None:
    """Entropy wants the image that nobody can tell; BALD the one on which confident passes disagree."""
    three = {image: PASSES[image] for image in (SURE, LEANING, UNSURE)}
    assert MAX_ENTROPY(pool(three), 3, STREAM).ids.tolist() == [UNSURE, LEANING, SURE]
    assert BALD(pool(three), 1, STREAM).ids.tolist() == [LEANING]
    assert MAX_ENTROPY(pool(PASSES), 1, STREAM).ids.tolist() == [UNSURE]
    assert BALD(pool(PASSES), 2, STREAM).ids.tolist() == [TORN, LEANING]


def test_full_orders_differ() -> None:
    passes = {
        1: [[0.9, 0.1], [0.1, 0.9]],  # H[mean] = log 2, disagreement log 2 − h(0.9, 0.1)
        2: [[0.5, 0.5], [0.5, 0.5]],  # log 2 − tiny would tie; moved by the next line
        3: [[0.7, 0.3], [0.3, 0.7]],
    }
    passes[1][1] = [0.3, 0.7]  # mean (0.6, 0.4)
    passes[3] = [[0.65, 0.35], [0.45, 0.55]]  # mean (0.55, 0.45)
    by_entropy = {1: h(0.6, 0.4), 2: math.log(2), 3: h(0.55, 0.45)}
    by_bald = {
        1: h(0.6, 0.4) - (h(0.9, 0.1) + h(0.3, 0.7)) / 2,
        2: 0.0,
        3: h(0.55, 0.45) - (h(0.65, 0.35) + h(0.45, 0.55)) / 2,
    }
    entropies, disagreements = MAX_ENTROPY(pool(passes), 3, STREAM), BALD(pool(passes), 3, STREAM)
    assert entropies.ids.tolist() == [2, 3, 1]
    assert disagreements.ids.tolist() == [1, 3, 2]
    assert entropies.scores.tolist() == pytest.approx([by_entropy[i] for i in (2, 3, 1)], rel=1e-6)
    assert disagreements.scores.tolist() == pytest.approx([by_bald[i] for i in (1, 3, 2)], abs=1e-7)


def test_entropy_by_hand_in_any_shape() -> None:
    found = entropy(torch.tensor([[[0.2, 0.8], [1.0, 0.0]], [[0.5, 0.5], [0.0, 1.0]]], dtype=torch.float64))
    assert found.shape == (2, 2)
    assert found.flatten().tolist() == pytest.approx([h(0.2, 0.8), 0.0, math.log(2), 0.0])


def test_zero_probabilities_give_numbers() -> None:
    one_hot = {image: np.roll(np.eye(4), image, axis=1).tolist() for image in range(4)}
    for scores in (max_entropy_scores(pool(one_hot), STREAM), bald_scores(pool(one_hot), STREAM)):
        assert scores.tolist() == pytest.approx([math.log(4)] * 4)


def test_means_are_over_the_passes_of_one_image() -> None:
    """An image's score does not change with its neighbours."""
    whole = bald_scores(pool(PASSES), STREAM)
    for place, image in enumerate(PASSES):
        assert bald_scores(pool({image: PASSES[image]}), STREAM)[0] == whole[place]


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=2, max_size=6))
def test_bounds(rows: list[list[float]]) -> None:
    """0 ≤ BALD ≤ H[mean] ≤ log K."""
    passes = [[(value + 1e-9) / (sum(row) + 3e-9) for value in row] for row in rows]
    high = max_entropy_scores(pool({0: passes}), STREAM)[0]
    assert -1e-6 <= bald_scores(pool({0: passes}), STREAM)[0] <= high + 1e-6
    assert high <= math.log(3) + 1e-6


def test_reasons_carry_the_number() -> None:
    assert MAX_ENTROPY(pool(PASSES), 1, STREAM).reasons == ("entropy of the mean prediction 1.10 nats",)
    assert BALD(pool(PASSES), 1, STREAM).reasons == ("BALD 0.693 nats",)


# Id 10 is sure; 20 is torn between two classes; 30 is spread over three; 40 has no zero but one favourite.
POOL = view(
    Predictions(
        id_array(10, 20, 30, 40),
        probabilities=torch.tensor(
            [[0.9, 0.1, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0], [0.45, 0.3, 0.25, 0.0], [0.7, 0.1, 0.1, 0.1]]
        ),
    )
)
CASES = [
    ("least-confidence", {30: 0.55, 20: 0.5, 40: 0.3, 10: 0.1}),
    ("margin", {20: 0.0, 30: -0.15, 40: -0.6, 10: -0.8}),
    (
        "entropy",
        {
            30: -0.45 * log(0.45) - 0.3 * log(0.3) - 0.25 * log(0.25),
            40: -0.7 * log(0.7) - 0.3 * log(0.1),
            20: log(2),
            10: -0.9 * log(0.9) - 0.1 * log(0.1),
        },
    ),
]


@pytest.mark.parametrize(("name", "expected"), CASES)
def test_scores_and_order(name: str, expected: dict[int, float]) -> None:
    found = ACQUISITIONS[name](POOL, 4, Stream.root(0))
    assert found.ids.tolist() == list(expected)
    assert found.scores.tolist() == pytest.approx(list(expected.values()), abs=1e-6)


def test_reasons_say_the_number() -> None:
    assert "0.150" in ACQUISITIONS["margin"](POOL, 2, Stream.root(0)).reasons[1]


def test_two_classes_are_ordered_alike_by_all_three() -> None:
    p = torch.tensor([0.9, 0.2, 0.55, 0.35])
    pool = view(Predictions(id_array(1, 2, 3, 4), probabilities=torch.stack([p, 1 - p], dim=1)))
    orders = {tuple(ACQUISITIONS[name](pool, 4, Stream.root(0)).ids) for name, _ in CASES}
    assert orders == {(3, 4, 2, 1)}


def test_small_probabilities_count_in_the_entropy() -> None:
    """By Python's logarithm; a probability of 0 adds nothing."""
    for row in ([0.999, 0.001, 0.0], [1 - 1e-9, 1e-9, 0.0], [1.0, 0.0, 0.0]):
        expected = -sum(p * log(p) for p in row if p > 0)
        assert entropy(torch.tensor([row], dtype=torch.float64)).item() == pytest.approx(expected, abs=1e-15)
