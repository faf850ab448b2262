"""Which picture belongs to which, worked out by hand and by another way of writing the loss."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aral.losses.contrast import confusion


def test_two_images_by_hand() -> None:
    """Right angles between the two images, both pictures of one the same: e^(1/τ) against two of e^0."""
    codes = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    for temperature in (1.0, 0.5):
        right = math.exp(1 / temperature)
        wanted = -math.log(right / (right + 2))
        assert float(confusion(codes, 2 * codes, temperature)) == pytest.approx(wanted)
    swapped = confusion(codes, codes.flip(0), 1.0)  # each is given the other's picture
    assert float(swapped) == pytest.approx(-math.log(1 / (math.e + 2)))


def test_pictures_that_are_all_the_same_are_picked_by_chance() -> None:
    same = torch.ones(5, 3)
    assert float(confusion(same, same, 0.1)) == pytest.approx(math.log(9))


@given(st.integers(0, 10**6), st.integers(1, 6), st.floats(0.1, 2))
def test_against_one_picture_at_a_time(seed: int, count: int, temperature: float) -> None:
    """The definition, sum by sum; and its gradient reaches both pictures of every image."""
    draw = torch.Generator().manual_seed(seed)
    one, other = (torch.randn(count, 4, generator=draw).requires_grad_() for _ in range(2))
    value = confusion(one, other, temperature)
    pictures = torch.cat([one, other]).detach().double()
    total = 0.0
    for here in range(2 * count):
        cosines = torch.cosine_similarity(pictures[here : here + 1], pictures) / temperature
        rest = [place for place in range(2 * count) if place != here]
        total += float(torch.logsumexp(cosines[rest], 0) - cosines[(here + count) % (2 * count)])
    assert float(value.detach()) == pytest.approx(total / (2 * count), rel=1e-4, abs=1e-5)
    if count > 1:
        value.backward()
        assert all((each.grad.abs().sum(dim=1) > 0).all() for each in (one, other))
