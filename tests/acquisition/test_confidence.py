"""Least confidence, margin and entropy against numbers worked out by hand, on images they order differently."""

from __future__ import annotations

from math import log

import pytest
import torch

from aral.acquisition import ACQUISITIONS, Predictions
from aral.randomness import Stream

from .pools import id_array, view

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
    assert "0.150 apart" in ACQUISITIONS["margin"](POOL, 2, Stream.root(0)).reasons[1]


def test_two_classes_are_ordered_alike_by_all_three() -> None:
    p = torch.tensor([0.9, 0.2, 0.55, 0.35])
    pool = view(Predictions(id_array(1, 2, 3, 4), probabilities=torch.stack([p, 1 - p], dim=1)))
    orders = {tuple(ACQUISITIONS[name](pool, 4, Stream.root(0)).ids) for name, _ in CASES}
    assert orders == {(3, 4, 2, 1)}
