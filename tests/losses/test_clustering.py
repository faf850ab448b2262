"""Groups without labels: neighbours that disagree and groups that stay empty, by numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from aral.losses.clustering import disagreement, imbalance

from .by_hand import DTYPES, check_gradients, gradients, mean, near


def logits(rows: list[list[float]], dtype: torch.dtype = torch.float64, shift: float = 0.0) -> Tensor:
    """Logits whose softmax has these rows: logarithms, moved by a number that makes no difference."""
    return torch.tensor([[math.log(p) + shift for p in row] for row in rows], dtype=dtype)


ONE = [[0.8, 0.2], [0.5, 0.5], [0.1, 0.9]]
OTHER = [[0.5, 0.5], [0.75, 0.25], [0.9, 0.1]]


@DTYPES
def test_disagreement_by_hand(dtype: torch.dtype) -> None:
    """Σ p·q is 0.4 + 0.1, 0.375 + 0.125 and 0.09 + 0.09."""
    value = disagreement(logits(ONE, dtype, 3.0), logits(OTHER, dtype, -2.0))
    assert value.item() == near(mean([-math.log(0.5), -math.log(0.5), -math.log(0.18)]), dtype)
    assert value.dtype == dtype


def test_sure_pairs_cost_nothing_and_opposite_ones_much_but_not_infinitely() -> None:
    """With ±40, p·q is e^-40 a class for opposites, twice: −log 2e^-40 = 40 − log 2."""
    sure, opposite = torch.tensor([[40.0, 0.0]]), torch.tensor([[0.0, 40.0]])
    assert disagreement(sure, sure).item() == pytest.approx(0, abs=1e-6)
    assert disagreement(sure, opposite).item() == pytest.approx(40 - math.log(2), rel=1e-6)
    for dtype in (torch.float32, torch.bfloat16):
        extreme = torch.tensor([[300.0, 0.0, -300.0]], dtype=dtype)
        found = disagreement(extreme, extreme.flip(1))
        assert found.isfinite() and found > 200
    assert all(gradient.isfinite().all() for gradient in gradients(disagreement, extreme, extreme.flip(1)))


def test_agreement_unsure_costs_the_logarithm_of_the_groups() -> None:
    flat = torch.zeros(4, 5)
    assert disagreement(flat, flat).item() == pytest.approx(math.log(5), rel=1e-6)


def test_both_images_of_a_pair_learn() -> None:
    check_gradients(disagreement, logits(ONE), logits(OTHER))
    one, other = gradients(disagreement, logits(ONE), logits(OTHER))
    # The first neighbour is undecided: it is drawn to group 0, where the image is, and gives the image nothing
    # to follow. By its own logit −log Σ p·q falls by q_k·p_k / Σ p·q − q_k, over three pairs.
    assert other[0].tolist() == pytest.approx([(0.5 - 0.8) / 3, (0.5 - 0.2) / 3])
    assert one[0].tolist() == pytest.approx([0, 0], abs=1e-12)


@DTYPES
def test_imbalance_by_hand(dtype: torch.dtype) -> None:
    """Mean shares 0.8 and 0.2: log 2 + 0.8·log 0.8 + 0.2·log 0.2 = 0.1927."""
    value = imbalance(logits([[0.9, 0.1], [0.7, 0.3]], dtype))
    assert value.item() == near(math.log(2) + 0.8 * math.log(0.8) + 0.2 * math.log(0.2), dtype)
    assert value.item() == pytest.approx(0.1927, abs=1e-4)
    assert value.dtype == dtype


def test_imbalance_is_of_the_batch_not_of_an_image() -> None:
    """Three sure images of three groups are balanced; three of one group cost log 3, its largest value."""
    sure = 50.0 * torch.eye(3)
    assert imbalance(sure).item() == pytest.approx(0, abs=1e-6)
    assert imbalance(sure[[1, 1, 1]]).item() == pytest.approx(math.log(3), rel=1e-6)
    # Two of one group, one of another: H = log 3 − (2/3) log 2.
    assert imbalance(sure[[1, 1, 2]]).item() == pytest.approx(2 / 3 * math.log(2), rel=1e-5)


def test_imbalance_moves_towards_empty_groups() -> None:
    rows = logits([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1]])
    check_gradients(imbalance, rows)
    (gradient,) = gradients(imbalance, rows)
    assert (gradient[:, 0] > 0).all() and (gradient[:, 2] < 0).all()


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(-8, 8), min_size=3, max_size=3), min_size=1, max_size=6), st.floats(-5, 5))
def test_bounds_symmetry_and_shifts(rows: list[list[float]], shift: float) -> None:
    """0 ≤ imbalance ≤ log K, disagreement ≥ 0 and the same both ways; a constant on a row changes nothing."""
    one = torch.tensor(rows, dtype=torch.float64)
    other = one.flip(1)
    assert -1e-12 <= imbalance(one).item() <= math.log(3) + 1e-12
    assert disagreement(one, other).item() >= -1e-12
    torch.testing.assert_close(disagreement(one, other), disagreement(other, one))
    torch.testing.assert_close(disagreement(one + shift, other), disagreement(one, other))
    torch.testing.assert_close(imbalance(one + shift), imbalance(one))
