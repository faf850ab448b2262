"""Own labels: thresholds, hard labels, alignment and the masked cross-entropy, by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aral.losses.pseudo_labels import (
    agree,
    aligned,
    certain,
    confident,
    confident_by_margin,
    cross_entropy_where,
    hardened,
    out_of_distribution,
    sharpened,
)

PROBS = torch.tensor([[0.5, 0.5, 0.0], [0.9, 0.1, 0.0], [1.0, 0.0, 0.0]])


def test_certain_by_hand() -> None:
    """Entropies log 2 = 0.693, 0.325 and 0 nats."""
    found = [certain(PROBS, limit).tolist() for limit in (0.7, 0.69, 0.32, 1e-9)]
    assert found == [[True] * 3, [False, True, True], [False, False, True], [False, False, True]]


def test_confident_includes_its_threshold() -> None:
    assert confident(PROBS, 0.5).all()
    assert confident(PROBS, 0.9).tolist() == [False, True, True]
    assert confident(PROBS, 0.91).tolist() == [False, False, True]


def test_hard_labels() -> None:
    probs = torch.tensor([[0.2, 0.7, 0.1], [0.4, 0.2, 0.4]])
    assert hardened(probs).tolist() == [[0, 1, 0], [1, 0, 0]]


def test_cross_entropy_counts_unused_images_in_the_mean() -> None:
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, math.log(7.0)], [5.0, -5.0]])
    labels = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    used = torch.tensor([True, True, False])
    by_hand = (-math.log(3 / 4) - math.log(1 / 8)) / 3
    assert cross_entropy_where(logits, labels, used).item() == pytest.approx(by_hand, rel=1e-6)
    assert cross_entropy_where(logits, labels, torch.zeros(3, dtype=torch.bool)).item() == 0


def test_unused_images_give_no_gradient() -> None:
    logits = torch.zeros(2, 2, requires_grad=True)
    labels = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    cross_entropy_where(logits, labels, torch.tensor([True, False])).backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == [[-0.25, 0.25], [0, 0]]


def test_sharpening_by_hand() -> None:
    """At one half, probabilities are squared: 0.36 and 0.16 of 0.52."""
    probs = torch.tensor([[0.6, 0.4, 0.0], [1.0, 0.0, 0.0]])
    squared = torch.tensor([[0.36 / 0.52, 0.16 / 0.52, 0.0], [1.0, 0.0, 0.0]])
    torch.testing.assert_close(sharpened(probs, 0.5), squared)
    torch.testing.assert_close(sharpened(probs, 1.0), probs)


def test_alignment_by_hand() -> None:
    """Mean (0.7, 0.3) against equal shares: weights 5/7 and 5/3, rows brought back to one."""
    probs = torch.tensor([[0.9, 0.1], [0.5, 0.5]])
    found = aligned(probs, torch.tensor([0.5, 0.5]))
    one = 0.9 * 5 / 7 / (0.9 * 5 / 7 + 0.1 * 5 / 3)
    other = (5 / 7) / (5 / 7 + 5 / 3)
    torch.testing.assert_close(found[:, 0], torch.tensor([one, other]))
    torch.testing.assert_close(found.sum(dim=1), torch.ones(2))


@given(st.lists(st.floats(0.01, 5), min_size=3, max_size=3))
def test_equal_predictions_are_aligned_to_the_prior(weights: list[float]) -> None:
    prior = torch.tensor(weights) / sum(weights)
    same = torch.tensor([[0.6, 0.3, 0.1]]).repeat(4, 1)
    torch.testing.assert_close(aligned(same, prior), prior.repeat(4, 1), atol=1e-5, rtol=1e-4)


def test_a_leading_class_includes_its_threshold() -> None:
    probs = torch.tensor([[0.5, 0.25, 0.25], [0.25, 0.625, 0.125], [0.4, 0.3, 0.3]])
    assert confident_by_margin(probs, 0.25).tolist() == [True, True, False]
    assert confident_by_margin(probs, 0.375).tolist() == [False, True, False]


def test_what_a_row_lacks_is_the_chance_of_none() -> None:
    """Ahead of none by 0.25 and of the second by 0.5; behind none by 0.25; equal."""
    probs = torch.tensor([[0.625, 0.0], [0.25, 0.25], [0.5, 0.0]])
    assert confident_by_margin(probs, 0.25).tolist() == [True, False, False]
    assert out_of_distribution(probs, 0.25).tolist() == [False, True, False]


def test_two_agree_where_their_likeliest_class_is_the_same() -> None:
    one = torch.tensor([[0.9, 0.1], [0.51, 0.49], [0.2, 0.8], [0.5, 0.5]])
    other = torch.tensor([[0.6, 0.4], [0.49, 0.51], [0.1, 0.9], [0.7, 0.3]])
    assert agree(one, other).tolist() == [True, False, True, True]
