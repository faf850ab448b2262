"""Mixtures of images and of classes: by hand, and what holds for every draw."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aral.data.mixing import Mixture
from aral.randomness import Stream


def test_by_hand() -> None:
    mixture = Mixture(torch.tensor([1, 2, 0]), torch.tensor([0.5, 0.75, 1.0]))
    images = torch.tensor([0.0, 4.0, 8.0]).reshape(3, 1, 1, 1)
    assert mixture(images).flatten().tolist() == [2.0, 5.0, 8.0]
    classes = torch.eye(3)
    assert mixture(classes).tolist() == [[0.5, 0.5, 0.0], [0.0, 0.75, 0.25], [0.0, 0.0, 1.0]]


@given(st.integers(1, 40), st.floats(0.05, 5), st.integers(0, 99))
def test_an_entry_keeps_most_of_itself_and_everyone_is_a_partner_once(
    count: int, concentration: float, seed: int
) -> None:
    mixture = Mixture.draw(count, concentration, Stream.root(seed))
    assert sorted(mixture.partner.tolist()) == list(range(count))
    assert bool(((mixture.kept >= 0.5) & (mixture.kept <= 1)).all())
    rows = mixture(torch.full((count, 4), 0.25))
    torch.testing.assert_close(rows, torch.full((count, 4), 0.25))


def test_a_stream_decides_and_a_small_concentration_keeps_more() -> None:
    one, again, other = (Mixture.draw(500, 0.75, Stream.root(seed)) for seed in (1, 1, 2))
    assert torch.equal(one.partner, again.partner) and torch.equal(one.kept, again.kept)
    assert not torch.equal(one.partner, other.partner) and not torch.equal(one.kept, other.kept)
    # E[max(λ, 1 − λ)] of Beta(1, 1) is 3/4.
    assert float(Mixture.draw(4000, 1.0, Stream.root(3)).kept.mean()) == pytest.approx(0.75, abs=0.01)
    kept = [float(Mixture.draw(4000, each, Stream.root(3)).kept.mean()) for each in (0.1, 0.75, 5.0)]
    assert kept == sorted(kept, reverse=True)
